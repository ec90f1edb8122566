"""Normalization over height and width: sums over a plane lane by lane, in the order of ONNX Runtime's kernel."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from weft.codegen.affine import channel_records
from weft.codegen.context import Context
from weft.codegen.epilogue import source
from weft.codegen.iteration import Iteration
from weft.codegen.quotient import FREE_ROWS, Quotient
from weft.codegen.transfer import load, store
from weft.ir.instance_norm import PACKET, InstanceNorm
from weft.schedule.areas import Areas
from weft_runtime.executable import REGISTER_CONSTANTS
from weft_sim.isa import PARAMETER_VECTORS, Destination, Instruction, Operation, Reduction, Source, Vector
from weft_sim.machine import MachineConfig

__all__ = ["emit_instance_norm", "instance_norm_blocks"]

PAIR = 2 * PACKET
WORK_ROWS = PAIR + 3
TILES = 4
RECORD = 2 * PARAMETER_VECTORS
MAX_COUNT = 65535


@dataclass(frozen=True)
class _Tile:
    """Accumulator rows: values [block][plane], partial sums [block][PAIR], then one row per block of means, factors
    and offsets. `x`, `constants`: vector addresses; constants are a zero vector, then two records per block
    (the bias, the scale)."""

    operator: InstanceNorm
    blocks: int
    x: int
    constants: int
    values: int

    @property
    def plane(self) -> int:
        return self.operator.plane

    @property
    def partial(self) -> int:
        return self.values + self.blocks * self.plane

    def row(self, index: int) -> int:
        """First of the rows (one per block) of means (0), factors (1) or offsets (2); what follows (3) is free."""
        return self.partial + self.blocks * PAIR + index * self.blocks

    def over_plane(self, **fields: Any) -> dict[str, Any]:
        """Loops 3 and 4: blocks, positions; operand b one row per block; the result in place of the values."""
        return {
            "destination": Destination.ACCUMULATOR_F32, "d": self.values, "count_3": self.blocks, "b_stride_3": 1,
            "count_4": self.plane, "a_stride_3": self.plane, "a_stride_4": 1, "d_stride_3": self.plane,
            "d_stride_4": 1, **fields,
        }  # fmt: skip

    def from_input(self) -> dict[str, Any]:
        """Operand a: the dequantized input."""
        tensor = self.operator.inputs[0]
        return {"a_source": source(tensor), "a_zero": tensor.zero_point, "a_scale": float(tensor.scale), "a": self.x}

    def per_block(self, a: int, d: int, operation: Operation, **fields: Any) -> Instruction:
        """One row per block."""
        return Vector(
            **{
                "destination": Destination.ACCUMULATOR_F32, "a_source": Source.ACCUMULATOR_F32,
                "b_source": Source.IMMEDIATE, "operation": operation, "a": a, "d": d,
                "count_0": self.blocks, "a_stride_0": 1, "b_stride_0": 1, "d_stride_0": 1, **fields,
            }
        )  # fmt: skip


def instance_norm_blocks(operator: InstanceNorm, config: MachineConfig) -> int | None:
    """Channel blocks per tile, whole planes; None if not even one block fits."""
    areas, lanes = Areas.of(config), config.lanes
    plane, blocks = operator.plane, -(-operator.output.view[1] // lanes)
    fitting = min(
        (areas.accumulator_rows - FREE_ROWS) // (plane + WORK_ROWS),
        min(areas.x_bytes, areas.output_bytes) // (plane * lanes),
        (areas.weight_bytes // lanes - 1) // RECORD,
        MAX_COUNT // plane,
    )
    return min(fitting, -(-blocks // TILES)) if fitting > 0 else None


def emit_instance_norm(operator: InstanceNorm, blocks: int, context: Context) -> list[Iteration]:
    """One iteration per tile: some channel blocks of one image."""
    x, y, lanes = operator.inputs[0], operator.output, context.lanes
    x_storage, y_storage = context.storage[x.name], context.storage[y.name]
    images, total = y.view[0], -(-y.view[1] // lanes)
    constants = context.constants.add(channel_records(operator.bias, operator.scale, lanes))
    quotient = Quotient(y, operator.low, operator.high, context)
    iterations: list[Iteration] = []
    for image, block in itertools.product(range(images), range(0, total, blocks)):
        count = min(blocks, total - block)
        slots = [context.next_slot(kind) for kind in ("x", "output", "weights", "accumulators")]
        first, size = (image * total + block) * operator.plane * lanes, count * operator.plane * lanes
        iteration = Iteration(operator.name, (x.name,), (y.name,))
        iteration.loads += load(REGISTER_CONSTANTS, constants, slots[2], lanes, [])
        record = constants + lanes + block * RECORD * lanes
        iteration.loads += load(REGISTER_CONSTANTS, record, slots[2] + lanes, count * RECORD * lanes, [])
        iteration.loads += load(x_storage.register, x_storage.offset + first, slots[0], size, [])
        tile = _Tile(operator, count, slots[0] // lanes, slots[2] // lanes, slots[3])
        if not iterations:
            quotient.prepare(iteration)
        iteration.vectors += [*_mean(tile), *_factor(tile), *_result(tile)]
        iteration.vectors += quotient.passes(tile.values, tile.row(3), slots[1] // lanes, count * operator.plane)
        iteration.stores += store(y_storage.register, y_storage.offset + first, slots[1], size, [])
        iterations.append(iteration)
    return iterations


def _mean(tile: _Tile) -> list[Instruction]:
    mean = tile.row(0)
    return [
        Vector(**tile.over_plane(**tile.from_input()), b_source=Source.IMMEDIATE),
        *_sum(tile, mean),
        tile.per_block(mean, mean, Operation.DIVIDE, b_scale=float(tile.plane)),
    ]


def _sum(tile: _Tile, target: int) -> list[Instruction]:
    """The values' sums over the plane, one row per block, in the order that InstanceNorm states."""
    whole, rest = divmod(tile.plane, PAIR)
    rows: dict[str, Any] = {"destination": Destination.ACCUMULATOR_F32, "a_source": Source.ACCUMULATOR_F32}
    first, stride = tile.values, tile.plane
    passes: list[Instruction] = []
    if whole:
        first, stride = tile.partial, PAIR
        passes.append(
            Vector(
                **rows, b_source=Source.IMMEDIATE, a=tile.values, d=first, reduction=Reduction.SUM, reduce_loops=1,
                count_2=tile.blocks, a_stride_2=tile.plane, d_stride_2=PAIR, count_3=PAIR, a_stride_3=1, d_stride_3=1,
                count_4=whole, a_stride_4=PAIR,
            )
        )  # fmt: skip
        passes.append(_add(tile, first, PAIR, first + PACKET, PAIR, PACKET))
        if rest:
            passes.append(_add(tile, first, PAIR, tile.values + whole * PAIR, tile.plane, PACKET))
    passes.append(_add(tile, first, stride, first + 2, stride, 2))
    last = {"a": first, "b": first + 1, "d": target, "a_stride_0": stride, "b_stride_0": stride}
    both: dict[str, Any] = {**rows, "b_source": Source.ACCUMULATOR_F32, "operation": Operation.ADD}
    return [*passes, Vector(**both, **last, count_0=tile.blocks, d_stride_0=1)]


def _add(tile: _Tile, a: int, a_stride: int, b: int, b_stride: int, count: int) -> Instruction:
    """Row a + i := row a + i plus row b + i for i < count, in every block."""
    return Vector(
        a_source=Source.ACCUMULATOR_F32, b_source=Source.ACCUMULATOR_F32, destination=Destination.ACCUMULATOR_F32,
        operation=Operation.ADD, a=a, b=b, d=a, count_3=tile.blocks, a_stride_3=a_stride, b_stride_3=b_stride,
        d_stride_3=a_stride, count_4=count, a_stride_4=1, b_stride_4=1, d_stride_4=1,
    )  # fmt: skip


def _factor(tile: _Tile) -> list[Instruction]:
    """factors := 1 / sqrt(variance + epsilon) · scale; offsets := bias − mean · factor."""
    mean, factor, offset = (tile.row(index) for index in range(3))
    rows: dict[str, Any] = {"b_source": Source.ACCUMULATOR_F32}
    bias, scale = tile.constants + 1, tile.constants + 1 + PARAMETER_VECTORS
    lanes: dict[str, Any] = {"parameters": 1, "parameter_stride": RECORD}
    values: dict[str, Any] = {"a_source": Source.ACCUMULATOR_F32, "a": tile.values}
    return [
        Vector(**tile.over_plane(**tile.from_input()), **rows, b=mean, operation=Operation.SUBTRACT),
        Vector(**tile.over_plane(**values), b_source=Source.EXCHANGE, exchange=0, operation=Operation.MULTIPLY),
        *_sum(tile, factor),
        tile.per_block(factor, factor, Operation.DIVIDE, b_scale=float(tile.plane)),
        tile.per_block(factor, factor, Operation.ADD, b_scale=float(tile.operator.epsilon)),
        tile.per_block(factor, factor, Operation.SQUARE_ROOT),
        tile.per_block(  # a is 1 whatever the row holds: rounded, and clamped to [1, 1]
            factor, factor, Operation.DIVIDE, **rows, b=factor, a_round=1, a_low=1.0, a_high=1.0
        ),
        tile.per_block(factor, factor, Operation.PASS, **lanes, parameter=scale),
        tile.per_block(mean, mean, Operation.MULTIPLY, **rows, b=factor),
        tile.per_block(  # zero plus one, times each lane's bias
            tile.constants, offset, Operation.PASS, **lanes, parameter=bias, a_source=Source.SCRATCHPAD_S8, a_stride_0=0
        ),
        tile.per_block(offset, offset, Operation.SUBTRACT, **rows, b=mean),
    ]


def _result(tile: _Tile) -> list[Instruction]:
    rows: dict[str, Any] = {"b_source": Source.ACCUMULATOR_F32}
    values: dict[str, Any] = {"a_source": Source.ACCUMULATOR_F32, "a": tile.values}
    return [
        Vector(**tile.over_plane(**tile.from_input()), **rows, b=tile.row(1), operation=Operation.MULTIPLY),
        Vector(**tile.over_plane(**values), **rows, b=tile.row(2), operation=Operation.ADD),
    ]
