"""MATMUL instructions of one convolution tile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.codegen.convolution_plan import ConvolutionPlan
from weft.codegen.matmul_loops import Operands, matmul_loops
from weft.schedule.convolution import ConvolutionMode, input_extent
from weft.schedule.mapping import repeat
from weft_sim.isa import DEPTHWISE_ROWS, Instruction, Matmul, MatmulMode

if TYPE_CHECKING:
    from weft.codegen.convolution import Tile

__all__ = ["products"]


def products(
    plan: ConvolutionPlan, tile: Tile, x: int, weights: int, accumulator: int, lanes: int
) -> list[Instruction]:
    """The tile's products; `x` and `weights` are byte addresses of their slots, `accumulator` a row."""
    match plan.shape.mode:
        case ConvolutionMode.DEPTHWISE:
            return _depthwise(plan, tile, x // lanes, weights // lanes, accumulator, lanes)
        case ConvolutionMode.GROUPED:
            return _grouped(plan, tile, x // lanes, weights // lanes, accumulator, lanes)
        case _:
            return [_dense(plan, tile, x // lanes, weights // lanes, accumulator, lanes, tile.blocks, tile.reduces)]


def _operands(plan: ConvolutionPlan) -> dict[str, int]:
    operator = plan.operator
    return {
        "input_signed": int(operator.inputs[0].dtype == "int8"),
        "weight_signed": int(operator.weights.dtype.kind == "i"),
        "input_zero": operator.inputs[0].zero_point,
        "weight_zero": operator.weight_zero_point,
    }


def _dense(
    plan: ConvolutionPlan,
    tile: Tile,
    x: int,
    weights: int,
    accumulator: int,
    lanes: int,
    blocks: int,
    reduces: int,
) -> Instruction:
    """Outer tasks: output block, input block, kernel row, kernel column; inner tasks: rows, columns."""
    strides, (stride_y, stride_x) = plan.input_strides(tile), plan.shape.strides
    kernel_rows, kernel_columns = plan.shape.kernel
    taps = kernel_rows * kernel_columns
    weight_tiles = Operands(
        (0, strides.block, plan.shape.dilations[0] * strides.row, plan.shape.dilations[1] * strides.column),
        (reduces * taps * lanes, taps * lanes, kernel_columns * lanes, lanes),
        (tile.rows * tile.columns, 0, 0, 0),
    )
    positions = Operands((stride_y * strides.row, stride_x * strides.column), (0, 0), (tile.columns, 1))
    return Matmul(
        **_operands(plan), input=x, weight=weights, accumulator=accumulator,
        input_lanes=lanes, weight_rows=lanes, accumulate=int(not tile.first), reduce_mask=0b1110,
        **matmul_loops(
            repeat(blocks, reduces, kernel_rows, kernel_columns), weight_tiles,
            repeat(tile.rows, tile.columns), positions,
        ),
    )  # fmt: skip


def _grouped(
    plan: ConvolutionPlan, tile: Tile, x: int, weights: int, accumulator: int, lanes: int
) -> list[Instruction]:
    """One instruction per output block, over the input blocks that its groups read."""
    strides, resident = plan.input_strides(tile), plan.input_range(tile)
    first = plan.block_offsets[tile.block]
    result = []
    for index in range(tile.blocks):
        needed = plan.needed[tile.block + index]
        start = x + (needed.start - resident.start) * strides.block
        offset = (plan.block_offsets[tile.block + index] - first) // lanes
        rows = accumulator + index * tile.rows * tile.columns
        result.append(_dense(plan, tile, start, weights + offset, rows, lanes, 1, len(needed)))
    return result


def _depthwise(
    plan: ConvolutionPlan, tile: Tile, x: int, weights: int, accumulator: int, lanes: int
) -> list[Instruction]:
    """One instruction per group of kernel rows that the window holds."""
    strides = plan.input_strides(tile)
    kernel_rows, kernel_columns = plan.shape.kernel
    stride_y, stride_x = plan.shape.strides
    at_once = min(kernel_rows, DEPTHWISE_ROWS, lanes // kernel_columns)
    result: list[Instruction] = []
    for row in range(0, kernel_rows, at_once):
        rows = min(at_once, kernel_rows - row)
        result.append(
            Matmul(
                **_operands(plan), mode=MatmulMode.DEPTHWISE, input=x + row * strides.row,
                weight=weights + row * kernel_columns, accumulator=accumulator,
                input_lanes=lanes, weight_rows=rows * kernel_columns, accumulate=int(row > 0),
                window_rows=rows, window_columns=kernel_columns,
                row_shift=stride_y.bit_length() - 1, column_shift=stride_x.bit_length() - 1,
                outer_count_0=tile.blocks, outer_input_stride_0=strides.block,
                outer_weight_stride_0=kernel_rows * kernel_columns,
                outer_accumulator_stride_0=tile.rows * tile.columns,
                inner_count_1=input_extent(tile.rows, rows, stride_y, 1), inner_input_stride_1=strides.row,
                inner_accumulator_stride_1=tile.columns,
                inner_count_2=input_extent(tile.columns, kernel_columns, stride_x, 1),
                inner_input_stride_2=strides.column, inner_accumulator_stride_2=1,
            )
        )  # fmt: skip
    return result
