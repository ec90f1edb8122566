"""Layer normalization over the lanes: sums by exchanging lanes, so every lane of a row's statistics holds the whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from weft.codegen.context import Context
from weft.codegen.epilogue import output_clamp, source
from weft.codegen.iteration import Iteration
from weft.codegen.transfer import load, store
from weft.ir.rows import LayerNorm
from weft.schedule.areas import Areas
from weft_runtime.executable import REGISTER_CONSTANTS
from weft_sim.isa import PARAMETER_VECTORS, Destination, Instruction, Operation, Reduction, Source, Vector
from weft_sim.machine import MachineConfig

__all__ = ["emit_layer_norm", "layer_norm_rows"]

FLOAT: dict[str, Any] = {"destination": Destination.ACCUMULATOR_F32}
TILES = 8


@dataclass(frozen=True)
class _Tile:
    """`rows` matrix rows of `blocks` vectors: values [row][block], then the block's biases, sums and squares [row].

    `constants`: vector address of a zero vector, the records of the lanes that count in the last block, of the biases
    (with bias 1, so that zero gives the scale itself), and of the scales.
    """

    operator: LayerNorm
    lanes: int
    rows: int
    x: int
    output: int
    values: int
    constants: int

    @property
    def blocks(self) -> int:
        return -(-self.operator.inputs[0].shape[-1] // self.lanes)

    @property
    def biases(self) -> int:
        return self.values + self.rows * self.blocks

    @property
    def sums(self) -> int:
        return self.biases + self.blocks

    @property
    def squares(self) -> int:
        return self.sums + self.rows

    def record(self, index: int) -> int:
        """Vector address of parameter record `index`: 0 the mask, then biases, then scales."""
        return self.constants + 1 + index * PARAMETER_VECTORS

    def values_as_a(self, **fields: Any) -> dict[str, Any]:
        """Operand a: all values in place, b and d as given; loop 3 rows, loop 4 blocks."""
        return {
            "a_source": Source.ACCUMULATOR_F32, "a": self.values, "count_3": self.rows, "a_stride_3": self.blocks,
            "count_4": self.blocks, "a_stride_4": 1, **FLOAT, **fields,
        }  # fmt: skip

    def in_place(self) -> dict[str, int]:
        return {"d": self.values, "d_stride_3": self.blocks, "d_stride_4": 1}


def layer_norm_rows(operator: LayerNorm, config: MachineConfig) -> int | None:
    """Rows per tile, or None if not even one fits."""
    areas, lanes = Areas.of(config), config.lanes
    blocks = -(-operator.inputs[0].shape[-1] // lanes)
    constants = lanes * (1 + PARAMETER_VECTORS * (1 + 2 * blocks))
    rows = min(
        (areas.accumulator_rows - blocks) // (blocks + 2), min(areas.x_bytes, areas.output_bytes) // (blocks * lanes)
    )
    total = operator.inputs[0].view[0]
    return min(rows, -(-total // TILES)) if rows > 0 and constants <= areas.weight_bytes else None


def emit_layer_norm(operator: LayerNorm, rows: int, context: Context) -> list[Iteration]:
    """One iteration per tile of rows."""
    x, y = operator.inputs[0], operator.output
    x_storage, y_storage = context.storage[x.name], context.storage[y.name]
    lanes = context.lanes
    data = _constants(operator, lanes)
    offset, place = context.constants.add(data), context.next_slot("weights")
    total, run = x.view[0], -(-x.view[1] // lanes) * lanes
    iterations: list[Iteration] = []
    for first in range(0, total, rows):
        count = min(rows, total - first)
        slots = [context.next_slot(kind) for kind in ("x", "output", "accumulators")]
        tile = _Tile(operator, lanes, count, slots[0] // lanes, slots[1] // lanes, slots[2], place // lanes)
        iteration = Iteration(operator.name, (x.name,), (y.name,))
        if not iterations:
            iteration.constants += load(REGISTER_CONSTANTS, offset, place, len(data), [])
        iteration.loads += load(x_storage.register, x_storage.offset + first * run, slots[0], count * run, [])
        iteration.vectors += [*_center(tile), *_deviation(tile), *_scale(tile)]
        iteration.stores += store(y_storage.register, y_storage.offset + first * run, slots[1], count * run, [])
        iterations.append(iteration)
    return iterations


def _constants(operator: LayerNorm, lanes: int) -> bytes:
    size = operator.scale.size
    blocks = -(-size // lanes)
    mask = np.arange((blocks - 1) * lanes, blocks * lanes) < size
    padded = np.zeros((2, blocks * lanes), np.float32)
    padded[0, :size], padded[1, :size] = operator.bias, operator.scale
    records = [_record(0, mask.astype(np.float32))]
    records += [_record(1, block) for block in padded[0].reshape(blocks, lanes)]
    records += [_record(0, block) for block in padded[1].reshape(blocks, lanes)]
    return bytes(lanes) + b"".join(records)


def _record(bias: int, scales: npt.NDArray[np.float32]) -> bytes:
    return np.full(scales.size, bias, "<i4").tobytes() + scales.astype("<f4").tobytes()


def _center(tile: _Tile) -> Iterator[Instruction]:
    """values := (q − z) − mean, 0 in lanes beyond the axis. The sums of whole numbers are exact."""
    x = tile.operator.inputs[0]
    yield Vector(
        **{**tile.values_as_a(**tile.in_place()), "a_source": source(x), "a": tile.x, "a_zero": x.zero_point},
        b_source=Source.IMMEDIATE,
    )
    yield from _mask(tile)
    yield from _total(tile, tile.sums, b_source=Source.IMMEDIATE, operation=Operation.PASS)
    yield _over_rows(tile, tile.sums, Operation.DIVIDE, float(x.shape[-1]))
    yield Vector(
        **tile.values_as_a(**tile.in_place()), operation=Operation.SUBTRACT, b_source=Source.ACCUMULATOR_F32,
        b=tile.sums, b_stride_3=1,
    )  # fmt: skip
    yield from _mask(tile)


def _mask(tile: _Tile) -> Iterator[Instruction]:
    """Zero in the last block's lanes beyond the axis."""
    if tile.operator.scale.size % tile.lanes == 0:
        return
    last = tile.values + tile.blocks - 1
    yield Vector(
        **FLOAT, a_source=Source.ACCUMULATOR_F32, b_source=Source.IMMEDIATE, parameters=1, parameter=tile.record(0),
        a=last, d=last, count_4=tile.rows, a_stride_4=tile.blocks, d_stride_4=tile.blocks,
    )  # fmt: skip


def _total(tile: _Tile, rows: int, **operation: Any) -> Iterator[Instruction]:
    """Sums over a row's blocks, then over lanes: after exchanges at distances 1, 2, 4 … every lane holds the sum."""
    yield Vector(**tile.values_as_a(d=rows, d_stride_3=1), **operation, reduction=Reduction.SUM, reduce_loops=1)
    distance = 1
    while distance < tile.lanes:
        yield Vector(
            **FLOAT, a_source=Source.ACCUMULATOR_F32, b_source=Source.EXCHANGE, exchange=distance,
            operation=Operation.ADD, a=rows, d=rows, count_4=tile.rows, a_stride_4=1, d_stride_4=1,
        )  # fmt: skip
        distance *= 2


def _over_rows(tile: _Tile, rows: int, operation: Operation, immediate: float, **fields: Any) -> Instruction:
    return Vector(
        **{
            **FLOAT, "a_source": Source.ACCUMULATOR_F32, "b_source": Source.IMMEDIATE, "b_scale": immediate,
            "operation": operation, "a": rows, "d": rows, "count_4": tile.rows, "a_stride_4": 1, "d_stride_4": 1,
            **fields,
        }
    )  # fmt: skip


def _deviation(tile: _Tile) -> Iterator[Instruction]:
    """squares := 1 / sqrt(variance + epsilon), values := values · that."""
    squares = tile.squares
    yield from _total(tile, squares, b_source=Source.EXCHANGE, exchange=0, operation=Operation.MULTIPLY)
    yield _over_rows(tile, squares, Operation.DIVIDE, float(tile.operator.scale.size))
    yield _over_rows(tile, squares, Operation.ADD, float(tile.operator.offset))
    yield _over_rows(tile, squares, Operation.SQUARE_ROOT, 1.0)
    yield _over_rows(  # a is 1 whatever the row holds: rounded, and clamped to [1, 1]
        tile, squares, Operation.DIVIDE, 1.0, a_round=1, a_low=1.0, a_high=1.0, b_source=Source.ACCUMULATOR_F32,
        b=squares, b_stride_4=1,
    )  # fmt: skip
    yield Vector(
        **tile.values_as_a(**tile.in_place()), operation=Operation.MULTIPLY, b_source=Source.ACCUMULATOR_F32,
        b=squares, b_stride_3=1,
    )  # fmt: skip


def _scale(tile: _Tile) -> Iterator[Instruction]:
    """The biases as rows (zero plus one, times each lane's bias), then values · scale + bias, quantized."""
    operator, blocks = tile.operator, tile.blocks
    yield Vector(
        **FLOAT, a_source=Source.SCRATCHPAD_S8, b_source=Source.IMMEDIATE, a=tile.constants, d=tile.biases,
        parameters=1, parameter=tile.record(1), parameter_stride=PARAMETER_VECTORS, count_0=blocks, d_stride_0=1,
    )  # fmt: skip
    yield Vector(
        **output_clamp(operator.output, operator.low, operator.high),
        scale=float(np.float32(1) / operator.output.scale),
        a_source=Source.ACCUMULATOR_F32, b_source=Source.ACCUMULATOR_F32, operation=Operation.ADD,
        parameters=1, parameter=tile.record(1 + blocks), parameter_stride=PARAMETER_VECTORS,
        a=tile.values, b=tile.biases, d=tile.output,
        count_0=blocks, a_stride_0=1, b_stride_0=1, d_stride_0=1,
        count_4=tile.rows, a_stride_4=blocks, d_stride_4=blocks,
    )  # fmt: skip
