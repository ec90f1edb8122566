"""Maximum and average pooling in the VPU; averages add in the order of ONNX Runtime's kernels, so bits agree."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from weft.codegen.average import average_passes
from weft.codegen.context import Context
from weft.codegen.epilogue import divide, output_clamp, source
from weft.codegen.exact import dequantized, reciprocal_for_values
from weft.codegen.iteration import Iteration
from weft.codegen.storage import Geometry, geometry
from weft.codegen.transfer import Loop, store
from weft.codegen.window import InputStrides, clip_window, load_window
from weft.ir.operators import AveragePool, MaxPool
from weft.schedule.areas import Areas
from weft.schedule.convolution import cuts, input_extent
from weft_sim.isa import Destination, Instruction, Operation, Reduction, Source, Vector
from weft_sim.machine import MachineConfig

__all__ = ["PoolTile", "emit_average_pool", "emit_max_pool", "pool_tile"]

Pool = MaxPool | AveragePool


@dataclass(frozen=True)
class PoolTile:
    """Channel blocks and output rows of a tile; all columns."""

    blocks: int
    rows: int


@dataclass(frozen=True)
class PoolStep:
    """One tile in place: counts clipped, strides of its input in the scratchpad (vectors), slots."""

    image: int
    block: int
    blocks: int
    row: int
    rows: int
    columns: int
    input_rows: int
    input_columns: int
    x: int
    output: int
    accumulator: int


def pool_tile(operator: Pool, config: MachineConfig) -> PoolTile | None:
    """The largest tile that fits, or None."""
    areas, lanes = Areas.of(config), config.lanes
    _, channels, rows, columns = operator.output.view
    dilations = operator.dilations if isinstance(operator, MaxPool) else (1, 1)
    input_columns = input_extent(columns, operator.kernel[1], operator.strides[1], dilations[1])
    for tile_rows, blocks in itertools.product(cuts(rows), cuts(-(-channels // lanes))):
        input_rows = input_extent(tile_rows, operator.kernel[0], operator.strides[0], dilations[0])
        outputs = blocks * tile_rows * columns
        working = blocks * (tile_rows * (input_columns + 2 * columns) + 8)
        fits_output = outputs * lanes <= areas.output_bytes and working <= areas.accumulator_rows
        if fits_output and blocks * input_rows * input_columns * lanes <= areas.x_bytes:
            return PoolTile(blocks, tile_rows)
    return None


def emit_max_pool(operator: MaxPool, tile: PoolTile, context: Context) -> list[Iteration]:
    """Windows padded with the smallest value, which never wins."""
    lowest = operator.inputs[0].limits[0] & 0xFF
    iterations = []
    for step, iteration in _steps(operator, tile, context, operator.pads, operator.dilations, lowest):
        iteration.vectors += _maximum(operator, step, context.lanes)
        iterations.append(iteration)
    return iterations


def emit_average_pool(operator: AveragePool, tile: PoolTile, context: Context) -> list[Iteration]:
    """Sums of dequantized values, divided twice as the QDQ text says: by the count, then by the output's scale."""
    iterations = []
    for step, iteration in _steps(operator, tile, context, operator.pads, (1, 1), operator.inputs[0].zero_byte):
        iteration.vectors += average_passes(
            operator, step.row, step.blocks, step.rows, step.columns, step.input_rows, step.input_columns,
            step.x // context.lanes, step.output // context.lanes, step.accumulator,
        )  # fmt: skip
        iterations.append(iteration)
    return iterations


def _steps(
    operator: Pool, tile: PoolTile, context: Context, pads: tuple[int, int, int, int], dilations: tuple[int, int],
    border: int,
) -> Iterator[tuple[PoolStep, Iteration]]:  # fmt: skip
    x_storage, y_storage = context.storage[operator.inputs[0].name], context.storage[operator.output.name]
    x, y = geometry(x_storage.layout, fold=False), geometry(y_storage.layout, fold=False)
    lanes, kernel, strides = context.lanes, operator.kernel, operator.strides
    places = itertools.product(range(y.images), range(0, y.blocks, tile.blocks), range(0, y.rows, tile.rows))
    columns = clip_window(0, y.columns, kernel[1], strides[1], dilations[1], pads[1], x.columns)
    for image, block, row in places:
        blocks, count = min(tile.blocks, y.blocks - block), min(tile.rows, y.rows - row)
        rows = clip_window(row, count, kernel[0], strides[0], dilations[0], pads[0], x.rows)
        slots = (context.next_slot("x"), context.next_slot("output"), context.next_slot("accumulators"))
        step = PoolStep(image, block, blocks, row, count, y.columns, rows.total, columns.total, *slots)
        iteration = Iteration(operator.name, (operator.inputs[0].name,), (operator.output.name,))
        layout = InputStrides(rows.total * columns.total, columns.total, 1)
        iteration.loads += load_window(
            x_storage, x, image, range(block, block + blocks), rows, columns, layout, step.x, border, lanes
        )
        iteration.stores += store(
            y_storage.register, _output_offset(y_storage.offset, y, step), step.output, lanes,
            [
                Loop(blocks, y.block_stride, count * y.columns * lanes),
                Loop(count, y.row_stride, y.columns * lanes),
                Loop(y.columns, y.column_stride, lanes),
            ],
        )  # fmt: skip
        yield step, iteration


def _output_offset(offset: int, y: Geometry, step: PoolStep) -> int:
    return offset + step.image * y.image_stride + step.block * y.block_stride + step.row * y.row_stride


def _maximum(operator: MaxPool, step: PoolStep, lanes: int) -> list[Instruction]:
    x, y = operator.inputs[0], operator.output
    clamp = output_clamp(y, operator.low, operator.high)
    reciprocal = reciprocal_for_values(dequantized(x), y, operator.low, operator.high)
    windows = {
        "a_source": source(x), "a": step.x // lanes, "a_zero": x.zero_point, "a_scale": float(x.scale),
        "b_source": Source.IMMEDIATE, "operation": Operation.PASS, "reduction": Reduction.MAXIMUM, "reduce_loops": 2,
        "count_0": step.blocks, "a_stride_0": step.input_rows * step.input_columns,
        "d_stride_0": step.rows * step.columns,
        "count_1": step.rows, "a_stride_1": operator.strides[0] * step.input_columns, "d_stride_1": step.columns,
        "count_2": step.columns, "a_stride_2": operator.strides[1], "d_stride_2": 1,
        "count_3": operator.kernel[0], "a_stride_3": operator.dilations[0] * step.input_columns,
        "count_4": operator.kernel[1], "a_stride_4": operator.dilations[1],
    }  # fmt: skip
    if reciprocal is not None:
        return [Vector(**windows, **clamp, d=step.output // lanes, scale=float(np.float32(reciprocal)))]
    count = step.blocks * step.rows * step.columns
    return [
        Vector(**windows, destination=Destination.ACCUMULATOR_F32, d=step.accumulator),
        divide(step.accumulator, step.output // lanes, count, float(y.scale), clamp),
    ]
