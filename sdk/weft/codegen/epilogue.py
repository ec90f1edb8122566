"""What follows the products of a convolution tile: bias, requantization, clamp, and the store."""

from __future__ import annotations

from weft.codegen.context import Context
from weft.codegen.convolution_plan import ConvolutionPlan
from weft.codegen.transfer import Loop, store
from weft.ir.operators import Tensor
from weft.schedule.steps import Step
from weft_sim.isa import PARAMETER_VECTORS, Destination, Instruction, Source, Vector

__all__ = ["destination", "output_clamp", "requantize_tile", "source", "store_tile"]


def destination(tensor: Tensor) -> Destination:
    """Where the VPU puts values of that tensor."""
    return Destination.SCRATCHPAD_S8 if tensor.dtype == "int8" else Destination.SCRATCHPAD_U8


def source(tensor: Tensor) -> Source:
    """How the VPU reads values of that tensor."""
    return Source.SCRATCHPAD_S8 if tensor.dtype == "int8" else Source.SCRATCHPAD_U8


def output_clamp(tensor: Tensor, low: int, high: int) -> dict[str, float | int]:
    """Fields that round to the tensor's q and clamp it to [low, high]: both bounds are whole, so clamping before
    rounding is the same."""
    return {
        "destination": destination(tensor), "d_zero": tensor.zero_point,
        "low": float(low - tensor.zero_point), "high": float(high - tensor.zero_point),
    }  # fmt: skip


def _output_strides(plan: ConvolutionPlan, step: Step) -> tuple[int, int]:
    """Vectors between channel blocks and between positions of the output tile."""
    return (1, step.blocks) if plan.y.blocks_innermost else (step.rows * step.columns, 1)


def requantize_tile(
    plan: ConvolutionPlan, step: Step, accumulator: int, output: int, parameters: int, context: Context
) -> list[Instruction]:
    """y = clamp(rint(float32(acc + bias) · multiplier[channel]) + zero point)."""
    positions = step.rows * step.columns
    block, position = _output_strides(plan, step)
    operator = plan.operator
    return [
        Vector(
            **output_clamp(operator.output, operator.low, operator.high),
            a_source=Source.ACCUMULATOR_S32, b_source=Source.IMMEDIATE, parameters=1,
            parameter=parameters // context.lanes, parameter_stride=PARAMETER_VECTORS,
            a=accumulator, d=output // context.lanes,
            count_0=step.blocks, a_stride_0=positions, d_stride_0=block,
            count_4=positions, a_stride_4=1, d_stride_4=position,
        )
    ]  # fmt: skip


def store_tile(plan: ConvolutionPlan, step: Step, output: int, context: Context) -> list[Instruction]:
    """The output tile to DRAM."""
    lanes, y = context.lanes, plan.y
    block, position = _output_strides(plan, step)
    offset = plan.y_storage.offset + step.image * y.image_stride + step.block * y.block_stride
    offset += step.row * y.row_stride + step.column * y.column_stride
    blocks = Loop(step.blocks, y.block_stride, block * lanes)
    rows = Loop(step.rows, y.row_stride, step.columns * position * lanes)
    columns = Loop(step.columns, y.column_stride, position * lanes)
    loops = [rows, columns, blocks] if plan.y.blocks_innermost else [blocks, rows, columns]
    return store(plan.y_storage.register, offset, output, lanes, loops)
