"""MATMULs in the MXU's window mode, for tiles of a convolution and for pieces of a chain."""

from __future__ import annotations

from typing import Protocol

from weft.codegen.window import InputStrides
from weft.ir.operators import Convolution
from weft.schedule.convolution import input_extent
from weft_sim.isa import DEPTHWISE_ROWS, Instruction, Matmul, MatmulMode

__all__ = ["Outputs", "depthwise_products", "operand_fields"]


class Outputs(Protocol):
    """A box of outputs: channel blocks, rows and columns."""

    @property
    def blocks(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def columns(self) -> int: ...


def operand_fields(operator: Convolution) -> dict[str, int]:
    """The fields of a MATMUL that say how its bytes are read."""
    return {
        "input_signed": int(operator.inputs[0].dtype == "int8"),
        "weight_signed": int(operator.weights.dtype.kind == "i"),
        "input_zero": operator.inputs[0].zero_point,
        "weight_zero": operator.weight_zero_point,
    }


def depthwise_products(
    operator: Convolution, outputs: Outputs, steps: tuple[int, int], x: int, strides: InputStrides, weights: int,
    accumulator: int, lanes: int,
) -> list[Instruction]:  # fmt: skip
    """One instruction per group of kernel rows that the window holds. `x` and `weights` are vectors, `accumulator` a
    row; `steps`: rows and columns between neighbouring windows in the scratchpad."""
    kernel_rows, kernel_columns = (int(extent) for extent in operator.weights.shape[2:])
    at_once = min(kernel_rows, DEPTHWISE_ROWS, lanes // kernel_columns)
    result: list[Instruction] = []
    for row in range(0, kernel_rows, at_once):
        rows = min(at_once, kernel_rows - row)
        result.append(
            Matmul(
                **operand_fields(operator), mode=MatmulMode.DEPTHWISE, input=x + row * strides.row,
                weight=weights + row * kernel_columns, accumulator=accumulator,
                input_lanes=lanes, weight_rows=rows * kernel_columns, accumulate=int(row > 0),
                window_rows=rows, window_columns=kernel_columns,
                row_shift=steps[0].bit_length() - 1, column_shift=steps[1].bit_length() - 1,
                outer_count_0=outputs.blocks, outer_input_stride_0=strides.block,
                outer_weight_stride_0=kernel_rows * kernel_columns,
                outer_accumulator_stride_0=outputs.rows * outputs.columns,
                inner_count_1=input_extent(outputs.rows, rows, steps[0], 1), inner_input_stride_1=strides.row,
                inner_accumulator_stride_1=outputs.columns,
                inner_count_2=input_extent(outputs.columns, kernel_columns, steps[1], 1),
                inner_input_stride_2=strides.column, inner_accumulator_stride_2=1,
            )
        )  # fmt: skip
    return result
