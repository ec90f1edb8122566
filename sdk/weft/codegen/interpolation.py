"""Linear interpolation in the VPU: for each combination of weights four passes, one per neighbour, in ONNX Runtime's
order of additions, then a division by the output's scale."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from weft.codegen.context import Context
from weft.codegen.epilogue import source
from weft.codegen.iteration import Iteration
from weft.codegen.quotient import FREE_ROWS, Quotient
from weft.codegen.storage import geometry
from weft.codegen.transfer import Loop, store
from weft.codegen.window import InputStrides, Window, load_window
from weft.ir.interpolation import AxisTaps, Interpolation, Run
from weft.schedule.areas import Areas
from weft.schedule.convolution import cuts
from weft_sim.isa import Destination, Instruction, Operation, Source, Vector
from weft_sim.machine import MachineConfig

__all__ = ["InterpolationTile", "emit_interpolation", "interpolation_tile"]

TILES = 4


@dataclass(frozen=True)
class InterpolationTile:
    """Channel blocks, and output rows and columns of a tile."""

    blocks: int
    rows: int
    columns: int


@dataclass(frozen=True)
class _Axis:
    """One axis of a tile in place: outputs from `start` on, inputs from `first` on."""

    taps: AxisTaps
    start: int
    count: int

    @property
    def window(self) -> Window:
        """The inputs that the outputs read."""
        first, count = self.taps.extent(self.start, self.count)
        return Window(0, first, count, 0)

    def runs(self) -> list[Run]:
        return self.taps.runs(self.start, self.count)


@dataclass(frozen=True)
class _Step:
    """A tile in place: vector address of the input, first accumulator row."""

    operator: Interpolation
    blocks: int
    rows: _Axis
    columns: _Axis
    x: int
    sums: int


def interpolation_tile(operator: Interpolation, config: MachineConfig) -> InterpolationTile | None:
    """As many rows as fit, though in several tiles where there is enough to overlap; None if not one position fits."""
    areas, lanes = Areas.of(config), config.lanes
    _, channels, height, width = operator.output.view
    blocks = -(-channels // lanes)
    for columns, tile_blocks, rows in itertools.product(cuts(width), cuts(blocks), cuts(height)):
        outputs = tile_blocks * rows * columns
        if outputs * lanes > areas.output_bytes or outputs + min(outputs, FREE_ROWS) > areas.accumulator_rows:
            continue
        if TILES * outputs > blocks * height * width and (rows > 1 and rows * columns > 1):
            continue
        high, wide = _largest(operator.rows, rows), _largest(operator.columns, columns)
        if tile_blocks * high * wide * lanes <= areas.x_bytes:
            return InterpolationTile(tile_blocks, rows, columns)
    return None


def _largest(taps: AxisTaps, count: int) -> int:
    """The most inputs that `count` neighbouring outputs of a tile read."""
    size = len(taps.positions)
    return max(taps.extent(start, min(count, size - start))[1] for start in range(0, size, count))


def emit_interpolation(operator: Interpolation, tile: InterpolationTile, context: Context) -> list[Iteration]:
    """One iteration per tile."""
    x_storage, y_storage = context.storage[operator.inputs[0].name], context.storage[operator.output.name]
    x, y = geometry(x_storage.layout, fold=False), geometry(y_storage.layout, fold=False)
    lanes = context.lanes
    quotient = Quotient(operator.output, operator.low, operator.high, context)
    iterations: list[Iteration] = []
    places = itertools.product(
        range(y.images), range(0, y.blocks, tile.blocks), range(0, y.rows, tile.rows), range(0, y.columns, tile.columns)
    )
    for image, block, row, column in places:
        blocks = min(tile.blocks, y.blocks - block)
        rows = _Axis(operator.rows, row, min(tile.rows, y.rows - row))
        columns = _Axis(operator.columns, column, min(tile.columns, y.columns - column))
        slots = (context.next_slot("x"), context.next_slot("output"), context.next_slot("accumulators"))
        high, wide = rows.window, columns.window
        iteration = Iteration(operator.name, (operator.inputs[0].name,), (operator.output.name,))
        layout = InputStrides(high.total * wide.total, wide.total, 1)
        iteration.loads += load_window(
            x_storage, x, image, range(block, block + blocks), high, wide, layout, slots[0], 0, lanes
        )
        if not iterations:
            quotient.prepare(iteration)
        step = _Step(operator, blocks, rows, columns, slots[0] // lanes, slots[2])
        iteration.vectors += _passes(step)
        count = blocks * rows.count * columns.count
        iteration.vectors += quotient.passes(step.sums, step.sums + count, slots[1] // lanes, count)
        offset = y_storage.offset + image * y.image_stride + block * y.block_stride
        offset += row * y.row_stride + column * y.column_stride
        iteration.stores += store(
            y_storage.register, offset, slots[1], lanes,
            [
                Loop(blocks, y.block_stride, rows.count * columns.count * lanes),
                Loop(rows.count, y.row_stride, columns.count * lanes),
                Loop(columns.count, y.column_stride, lanes),
            ],
        )  # fmt: skip
        iterations.append(iteration)
    return iterations


def _passes(step: _Step) -> list[Instruction]:
    passes: list[Instruction] = []
    for rows, columns in itertools.product(step.rows.runs(), step.columns.runs()):
        passes += _weighted(step, rows, columns)
    return passes


def _weighted(step: _Step, rows: Run, columns: Run) -> list[Instruction]:
    """Σ x · w over the four neighbours, the first row's first. A weight of 0 adds nothing (0 + v is v)."""
    x = step.operator.inputs[0]
    high, wide = step.rows.window, step.columns.window
    plane = step.rows.count * step.columns.count
    target = step.sums + (rows.start - step.rows.start) * step.columns.count + columns.start - step.columns.start
    corner = step.x + (rows.first - high.start) * wide.total + columns.first - wide.start
    places = {
        "d": target, "count_2": step.blocks, "a_stride_2": high.total * wide.total, "d_stride_2": plane,
        "count_3": rows.count, "a_stride_3": rows.advance * wide.total, "d_stride_3": rows.step * step.columns.count,
        "count_4": columns.count, "a_stride_4": columns.advance, "d_stride_4": columns.step,
    }  # fmt: skip
    passes: list[Instruction] = []
    for row, column in itertools.product((0, 1), (0, 1)):
        weight = np.float32(rows.weights[row] * columns.weights[column])
        if weight == 0:
            continue
        term: dict[str, Any] = {
            **places, "destination": Destination.ACCUMULATOR_F32, "a_source": source(x), "a_zero": x.zero_point,
            "a_scale": float(x.scale), "a_rescale": float(weight),
            "a": corner + row * rows.apart * wide.total + column * columns.apart,
        }  # fmt: skip
        if not passes:
            passes.append(Vector(**term, b_source=Source.IMMEDIATE))
            continue
        sums = {"b": target, **{f"b_stride_{loop}": places[f"d_stride_{loop}"] for loop in (2, 3, 4)}}
        passes.append(Vector(**term, **sums, operation=Operation.ADD, b_source=Source.ACCUMULATOR_F32))
    return passes
