"""MATMULs and the requantizing pass of one piece of a convolution whose operands lie in the scratchpad."""

from __future__ import annotations

from weft.codegen.chain.layout import Resident
from weft.codegen.chain.pieces import Piece
from weft.codegen.depthwise import operand_fields
from weft.codegen.epilogue import output_clamp
from weft.codegen.window import InputStrides
from weft.ir.operators import Convolution
from weft_sim.isa import PARAMETER_VECTORS, Instruction, Matmul, Source, Vector

__all__ = ["dense_product", "requantize"]


def dense_product(
    operator: Convolution, piece: Piece, x: int, strides: InputStrides, reduces: int, taps: tuple[int, int],
    weights: int, accumulator: int, lanes: int,
) -> Instruction:  # fmt: skip
    """`x` and `weights` are vectors; `taps` (1, 1) for gathered windows, which are read without strides."""
    gathered = taps != operator.weights.shape[2:]
    stride_y, stride_x = (1, 1) if gathered else operator.strides
    dilation_y, dilation_x = operator.dilations
    block = reduces * taps[0] * taps[1] * lanes
    return Matmul(
        **operand_fields(operator), input=x, weight=weights, accumulator=accumulator,
        input_lanes=lanes, weight_rows=lanes, reduce_mask=0b1110,
        outer_count_0=piece.blocks, outer_weight_stride_0=block,
        outer_accumulator_stride_0=piece.rows * piece.columns,
        outer_count_1=reduces, outer_input_stride_1=strides.block, outer_weight_stride_1=taps[0] * taps[1] * lanes,
        outer_count_2=taps[0], outer_input_stride_2=dilation_y * strides.row,
        outer_weight_stride_2=taps[1] * lanes,
        outer_count_3=taps[1], outer_input_stride_3=dilation_x * strides.column, outer_weight_stride_3=lanes,
        inner_count_1=piece.rows, inner_input_stride_1=stride_y * strides.row, inner_accumulator_stride_1=piece.columns,
        inner_count_2=piece.columns, inner_input_stride_2=stride_x * strides.column, inner_accumulator_stride_2=1,
    )  # fmt: skip


def requantize(
    operator: Convolution, piece: Piece, accumulator: int, y: Resident, parameters: int, lanes: int
) -> Instruction:
    """y = clamp(rint(float32(acc + bias) · multiplier[channel]) + zero point); `parameters` is a vector."""
    positions = piece.rows * piece.columns
    return Vector(
        **output_clamp(operator.output, operator.low, operator.high),
        a_source=Source.ACCUMULATOR_S32, b_source=Source.IMMEDIATE, parameters=1,
        parameter=parameters, parameter_stride=PARAMETER_VECTORS,
        a=accumulator, d=y.vector(lanes, piece.block, piece.row, piece.column),
        count_0=piece.blocks, a_stride_0=positions, d_stride_0=y.strides.block,
        count_3=piece.rows, a_stride_3=piece.columns, d_stride_3=y.strides.row,
        count_4=piece.columns, a_stride_4=1, d_stride_4=1,
    )  # fmt: skip
