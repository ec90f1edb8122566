"""MATMUL instructions of one convolution step."""

from __future__ import annotations

from weft.codegen.convolution_plan import ConvolutionPlan
from weft.codegen.depthwise import depthwise_products, operand_fields
from weft.codegen.matmul_loops import Operands, matmul_loops
from weft.schedule.convolution import ConvolutionMode
from weft.schedule.mapping import repeat
from weft.schedule.steps import Step
from weft_sim.isa import Instruction, Matmul

__all__ = ["products"]


def products(
    plan: ConvolutionPlan, step: Step, x: int, weights: int, accumulator: int, lanes: int
) -> list[Instruction]:
    """The step's products; `x` and `weights` are byte addresses of their slots, `accumulator` a row."""
    match plan.shape.mode:
        case ConvolutionMode.DEPTHWISE:
            strides = plan.input_strides(step)
            return depthwise_products(
                plan.operator, step, plan.shape.strides, x // lanes, strides, weights // lanes, accumulator, lanes
            )
        case ConvolutionMode.GROUPED:
            return _grouped(plan, step, x // lanes, weights // lanes, accumulator, lanes)
        case _:
            return [_dense(plan, step, x // lanes, weights // lanes, accumulator, lanes, step.blocks, step.reduces)]


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
        **operand_fields(plan.operator), input=x, weight=weights, accumulator=accumulator,
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
