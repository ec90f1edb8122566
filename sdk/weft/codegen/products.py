"""MATMUL instructions of one convolution step."""

from __future__ import annotations

from weft.codegen.convolution_plan import ConvolutionPlan
from weft.codegen.matmul_loops import Operands, matmul_loops
from weft.schedule.convolution import ConvolutionMode, input_extent
from weft.schedule.mapping import repeat
from weft.schedule.steps import Step
from weft_sim.isa import DEPTHWISE_ROWS, Instruction, Matmul, MatmulMode

__all__ = ["products"]


def products(
    plan: ConvolutionPlan, step: Step, x: int, weights: int, accumulator: int, lanes: int
) -> list[Instruction]:
    """The step's products; `x` and `weights` are byte addresses of their slots, `accumulator` a row."""
    match plan.shape.mode:
        case ConvolutionMode.DEPTHWISE:
            return _depthwise(plan, step, x // lanes, weights // lanes, accumulator, lanes)
        case ConvolutionMode.GROUPED:
            return _grouped(plan, step, x // lanes, weights // lanes, accumulator, lanes)
        case _:
            return [_dense(plan, step, x // lanes, weights // lanes, accumulator, lanes, step.blocks, step.reduces)]


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
    step: Step,
    x: int,
    weights: int,
    accumulator: int,
    lanes: int,
    blocks: int,
    reduces: int,
) -> Instruction:
    """Outer tasks: output block, input block, kernel row, kernel column; inner tasks: rows, columns."""
    strides, (stride_y, stride_x) = plan.input_strides(step), plan.shape.strides
    kernel_rows, kernel_columns = plan.shape.kernel
    taps, dense = kernel_rows * kernel_columns, plan.shape.mode == ConvolutionMode.DENSE
    x += (step.reduce - step.reduce_group.first) * strides.block if dense else 0
    between = (step.reduce_group.count if dense else reduces) * taps * lanes
    weight_tiles = Operands(
        (0, strides.block, plan.shape.dilations[0] * strides.row, plan.shape.dilations[1] * strides.column),
        (between, taps * lanes, kernel_columns * lanes, lanes),
        (step.rows * step.columns, 0, 0, 0),
    )
    positions = Operands((stride_y * strides.row, stride_x * strides.column), (0, 0), (step.columns, 1))
    return Matmul(
        **_operands(plan), input=x, weight=weights, accumulator=accumulator,
        input_lanes=lanes, weight_rows=lanes, accumulate=int(not step.first), reduce_mask=0b1110,
        **matmul_loops(
            repeat(blocks, reduces, kernel_rows, kernel_columns), weight_tiles,
            repeat(step.rows, step.columns), positions,
        ),
    )  # fmt: skip


def _grouped(
    plan: ConvolutionPlan, step: Step, x: int, weights: int, accumulator: int, lanes: int
) -> list[Instruction]:
    """One instruction per output block, over the input blocks that its groups read."""
    strides, resident = plan.input_strides(step), plan.input_group(step)
    first = plan.block_offsets[step.block]
    result = []
    for index in range(step.blocks):
        needed = plan.needed[step.block + index]
        start = x + (needed.start - resident.start) * strides.block
        offset = (plan.block_offsets[step.block + index] - first) // lanes
        rows = accumulator + index * step.rows * step.columns
        result.append(_dense(plan, step, start, weights + offset, rows, lanes, 1, len(needed)))
    return result


def _depthwise(
    plan: ConvolutionPlan, step: Step, x: int, weights: int, accumulator: int, lanes: int
) -> list[Instruction]:
    """One instruction per group of kernel rows that the window holds."""
    strides = plan.input_strides(step)
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
                outer_count_0=step.blocks, outer_input_stride_0=strides.block,
                outer_weight_stride_0=kernel_rows * kernel_columns,
                outer_accumulator_stride_0=step.rows * step.columns,
                inner_count_1=input_extent(step.rows, rows, stride_y, 1), inner_input_stride_1=strides.row,
                inner_accumulator_stride_1=step.columns,
                inner_count_2=input_extent(step.columns, kernel_columns, stride_x, 1),
                inner_input_stride_2=strides.column, inner_accumulator_stride_2=1,
            )
        )  # fmt: skip
    return result
