"""The VPU passes of an average pooling tile, adding in the order of ONNX Runtime's three float kernels.

Which kernel ONNX Runtime takes follows from the shapes (measured against it, see docs/numerics.md):
- *global*: the window is the whole image and strides are 1: four interleaved partial sums over the flattened image,
  joined as (s0 + s2) + (s1 + s3), then the remaining elements one by one;
- *columns first*: two-dimensional, column stride at most 2, kernel extents at most 32: each column of the window is
  summed over its rows, then the column sums from left to right;
- *sequential*: everything else, row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from weft.codegen.epilogue import output_clamp, source
from weft.ir.operators import AveragePool
from weft_sim.isa import Destination, Instruction, Operation, Reduction, Source, Vector

__all__ = ["average_passes"]

PARTIAL_SUMS = 4
LARGEST_SMALL_KERNEL = 32


@dataclass(frozen=True)
class _Tile:
    """Counts of the tile, vector addresses of input and output, and the first accumulator row it may use."""

    operator: AveragePool
    blocks: int
    rows: int
    columns: int
    input_rows: int
    input_columns: int
    x: int
    output: int
    accumulator: int

    @property
    def outputs(self) -> int:
        return self.blocks * self.rows * self.columns

    def input_fields(self) -> dict[str, Any]:
        """Operand a: dequantized input."""
        tensor = self.operator.inputs[0]
        return {
            "a_source": source(tensor), "a_zero": tensor.zero_point, "a_scale": float(tensor.scale),
            "b_source": Source.IMMEDIATE, "destination": Destination.ACCUMULATOR_F32,
        }  # fmt: skip


def average_passes(
    operator: AveragePool, blocks: int, rows: int, columns: int, input_rows: int, input_columns: int, x: int,
    output: int, accumulator: int,
) -> list[Instruction]:  # fmt: skip
    """Sums in the right order, division by the window's size, division by the output's scale."""
    tile = _Tile(operator, blocks, rows, columns, input_rows, input_columns, x, output, accumulator)
    kernel = operator.kernel
    spatial = len(operator.inputs[0].shape) - 2
    covers = kernel == operator.inputs[0].view[2:]
    strides_are_one = operator.is_global or operator.strides == (1, 1)
    if covers and strides_are_one:
        passes, sums = _global(tile)
    elif spatial == 2 and operator.strides[1] <= 2 and max(kernel) <= LARGEST_SMALL_KERNEL:
        passes, sums = _columns_first(tile)
    else:
        passes, sums = _sequential(tile)
    return passes + _divisions(tile, sums, kernel[0] * kernel[1])


def _sequential(tile: _Tile) -> tuple[list[Instruction], int]:
    operator = tile.operator
    return [
        Vector(
            **tile.input_fields(), a=tile.x, d=tile.accumulator, reduction=Reduction.SUM, reduce_loops=2,
            count_0=tile.blocks, a_stride_0=tile.input_rows * tile.input_columns,
            d_stride_0=tile.rows * tile.columns,
            count_1=tile.rows, a_stride_1=operator.strides[0] * tile.input_columns, d_stride_1=tile.columns,
            count_2=tile.columns, a_stride_2=operator.strides[1], d_stride_2=1,
            count_3=operator.kernel[0], a_stride_3=tile.input_columns,
            count_4=operator.kernel[1], a_stride_4=1,
        )
    ], tile.accumulator  # fmt: skip


def _columns_first(tile: _Tile) -> tuple[list[Instruction], int]:
    operator = tile.operator
    column_rows = tile.blocks * tile.rows
    sums = tile.accumulator + column_rows * tile.input_columns
    return [
        Vector(
            **tile.input_fields(), a=tile.x, d=tile.accumulator, reduction=Reduction.SUM, reduce_loops=1,
            count_1=tile.blocks, a_stride_1=tile.input_rows * tile.input_columns,
            d_stride_1=tile.rows * tile.input_columns,
            count_2=tile.rows, a_stride_2=operator.strides[0] * tile.input_columns, d_stride_2=tile.input_columns,
            count_3=tile.input_columns, a_stride_3=1, d_stride_3=1,
            count_4=operator.kernel[0], a_stride_4=tile.input_columns,
        ),
        Vector(
            a_source=Source.ACCUMULATOR_F32, b_source=Source.IMMEDIATE, destination=Destination.ACCUMULATOR_F32,
            a=tile.accumulator, d=sums, reduction=Reduction.SUM, reduce_loops=1,
            count_2=column_rows, a_stride_2=tile.input_columns, d_stride_2=tile.columns,
            count_3=tile.columns, a_stride_3=operator.strides[1], d_stride_3=1,
            count_4=operator.kernel[1], a_stride_4=1,
        ),
    ], sums  # fmt: skip


def _global(tile: _Tile) -> tuple[list[Instruction], int]:
    size = tile.input_rows * tile.input_columns
    whole, rest = divmod(size, PARTIAL_SUMS)
    if not whole:
        return _sequential(tile)
    first = tile.accumulator
    partial = Vector(
        **tile.input_fields(), a=tile.x, d=first, reduction=Reduction.SUM, reduce_loops=1,
        count_2=tile.blocks, a_stride_2=size, d_stride_2=PARTIAL_SUMS,
        count_3=PARTIAL_SUMS, a_stride_3=1, d_stride_3=1, count_4=whole, a_stride_4=PARTIAL_SUMS,
    )  # fmt: skip
    halves = _add_rows(first, first + 2, tile.blocks, PARTIAL_SUMS, 2)
    sums = first + PARTIAL_SUMS * tile.blocks
    whole_sum = _add_rows(first, first + 1, tile.blocks, PARTIAL_SUMS, 1).replace(d=sums, d_stride_3=1)
    passes: list[Instruction] = [partial, halves, whole_sum]
    tensor = tile.operator.inputs[0]
    for index in range(size - rest, size):
        passes.append(
            Vector(
                a_source=Source.ACCUMULATOR_F32, a=sums, b_source=source(tensor), b=tile.x + index,
                b_zero=tensor.zero_point, b_scale=float(tensor.scale), operation=Operation.ADD,
                destination=Destination.ACCUMULATOR_F32, d=sums,
                count_4=tile.blocks, a_stride_4=1, b_stride_4=size, d_stride_4=1,
            )
        )  # fmt: skip
    return passes, sums


def _add_rows(a: int, b: int, groups: int, group_stride: int, count: int) -> Vector:
    """Row a + i := row a + i plus row b + i, for i < count, in every group of rows."""
    return Vector(
        a_source=Source.ACCUMULATOR_F32, b_source=Source.ACCUMULATOR_F32, destination=Destination.ACCUMULATOR_F32,
        operation=Operation.ADD, a=a, b=b, d=a,
        count_3=groups, a_stride_3=group_stride, b_stride_3=group_stride, d_stride_3=group_stride,
        count_4=count, a_stride_4=1, b_stride_4=1, d_stride_4=1,
    )  # fmt: skip


def _divisions(tile: _Tile, sums: int, count: int) -> list[Instruction]:
    operator = tile.operator
    rows: dict[str, Any] = {
        "a_source": Source.ACCUMULATOR_F32, "b_source": Source.IMMEDIATE, "operation": Operation.DIVIDE,
        "a": sums, "count_4": tile.outputs, "a_stride_4": 1, "d_stride_4": 1,
    }  # fmt: skip
    clamp = output_clamp(operator.output, operator.low, operator.high)
    return [
        Vector(**rows, destination=Destination.ACCUMULATOR_F32, d=sums, b_scale=float(count)),
        Vector(**{**rows, **clamp}, d=tile.output, b_scale=float(operator.output.scale)),
    ]
