"""The VPU passes of an average pooling tile, adding in the order of ONNX Runtime's float kernels.

`SumOrder.PARTIAL` joins its four sums as (s0 + s2) + (s1 + s3), then adds the remaining elements one by one. Padding is
stored as the zero point and adds 0.0, which changes no sum. Only the divisor tells the border from the inside.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from weft.codegen.epilogue import output_clamp, source
from weft.ir.operators import AveragePool, SumOrder
from weft_sim.isa import TIMING, Destination, Instruction, Operation, Reduction, Source, Vector

__all__ = ["average_passes"]

PARTIAL_SUMS = 4
MANY_BLOCKS = 1 + TIMING["VPU_LATENCY"] // (PARTIAL_SUMS * (TIMING["SUM_INTERVAL"] - 1))
"""Blocks from which on passes of single additions are faster than a reduction that waits for its own sums."""


@dataclass(frozen=True)
class _Tile:
    """Counts of the tile, vector addresses of input and output, and the first accumulator row it may use. `first_row`
    is the first output row's number in the image."""

    operator: AveragePool
    first_row: int
    blocks: int
    rows: int
    columns: int
    input_rows: int
    input_columns: int
    x: int
    output: int
    accumulator: int

    def input_fields(self) -> dict[str, Any]:
        """Operand a: dequantized input."""
        tensor = self.operator.inputs[0]
        return {
            "a_source": source(tensor), "a_zero": tensor.zero_point, "a_scale": float(tensor.scale),
            "b_source": Source.IMMEDIATE, "destination": Destination.ACCUMULATOR_F32,
        }  # fmt: skip


def average_passes(
    operator: AveragePool, first_row: int, blocks: int, rows: int, columns: int, input_rows: int, input_columns: int,
    x: int, output: int, accumulator: int,
) -> list[Instruction]:  # fmt: skip
    """Sums in the right order, division by the window's size, division by the output's scale."""
    tile = _Tile(operator, first_row, blocks, rows, columns, input_rows, input_columns, x, output, accumulator)
    adders = {SumOrder.PARTIAL: _global, SumOrder.COLUMNS: _columns_first, SumOrder.ROWS: _sequential}
    passes, sums = adders[operator.order](tile)
    return [*passes, *_means(tile, sums), _quantized(tile, sums)]


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
    partial = _interleaved_passes(tile, whole) if tile.blocks >= MANY_BLOCKS else _interleaved_reduction(tile, whole)
    halves = _add_rows(first, first + 2, tile.blocks, PARTIAL_SUMS, 2)
    sums = first + PARTIAL_SUMS * tile.blocks
    whole_sum = _add_rows(first, first + 1, tile.blocks, PARTIAL_SUMS, 1).replace(d=sums, d_stride_3=1)
    passes: list[Instruction] = [*partial, halves, whole_sum]
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


def _interleaved_reduction(tile: _Tile, whole: int) -> list[Instruction]:
    """Four partial sums of `whole` values each in one instruction, SUM_INTERVAL cycles for each value."""
    size = tile.input_rows * tile.input_columns
    return [
        Vector(
            **tile.input_fields(), a=tile.x, d=tile.accumulator, reduction=Reduction.SUM, reduce_loops=1,
            count_2=tile.blocks, a_stride_2=size, d_stride_2=PARTIAL_SUMS,
            count_3=PARTIAL_SUMS, a_stride_3=1, d_stride_3=1, count_4=whole, a_stride_4=PARTIAL_SUMS,
        )
    ]  # fmt: skip


def _interleaved_passes(tile: _Tile, whole: int) -> list[Instruction]:
    """The same sums in the same order, one value of every sum in each pass: a cycle for each value, and the pipeline's
    latency for each pass, which pays with many blocks side by side."""
    size, tensor = tile.input_rows * tile.input_columns, tile.operator.inputs[0]
    rows: dict[str, Any] = {
        "count_3": tile.blocks, "d_stride_3": PARTIAL_SUMS, "count_4": PARTIAL_SUMS, "d_stride_4": 1,
        "d": tile.accumulator, "a_stride_4": 1,
    }  # fmt: skip
    result: list[Instruction] = [Vector(**tile.input_fields(), **rows, a=tile.x, a_stride_3=size)]
    for index in range(1, whole):
        result.append(
            Vector(
                **rows, a_source=Source.ACCUMULATOR_F32, a=tile.accumulator, a_stride_3=PARTIAL_SUMS,
                b_source=source(tensor), b=tile.x + index * PARTIAL_SUMS, b_stride_3=size, b_stride_4=1,
                b_zero=tensor.zero_point, b_scale=float(tensor.scale), operation=Operation.ADD,
                destination=Destination.ACCUMULATOR_F32,
            )
        )  # fmt: skip
    return result


def _add_rows(a: int, b: int, groups: int, group_stride: int, count: int) -> Vector:
    """Row a + i := row a + i plus row b + i, for i < count, in every group of rows."""
    return Vector(
        a_source=Source.ACCUMULATOR_F32, b_source=Source.ACCUMULATOR_F32, destination=Destination.ACCUMULATOR_F32,
        operation=Operation.ADD, a=a, b=b, d=a,
        count_3=groups, a_stride_3=group_stride, b_stride_3=group_stride, d_stride_3=group_stride,
        count_4=count, a_stride_4=1, b_stride_4=1, d_stride_4=1,
    )  # fmt: skip


def _means(tile: _Tile, sums: int) -> Iterator[Instruction]:
    """The sums divided by their counts: a pass for each rectangle of outputs that have the same."""
    operator = tile.operator
    row_counts = operator.row_counts[tile.first_row : tile.first_row + tile.rows]
    heights, widths = _runs(row_counts), _runs(operator.column_counts)
    for (row, rows, high), (column, columns, wide) in itertools.product(heights, widths):
        place = sums + row * tile.columns + column
        yield Vector(
            a_source=Source.ACCUMULATOR_F32, b_source=Source.IMMEDIATE, b_scale=float(high * wide),
            operation=Operation.DIVIDE, destination=Destination.ACCUMULATOR_F32, a=place, d=place,
            count_2=tile.blocks, a_stride_2=tile.rows * tile.columns, d_stride_2=tile.rows * tile.columns,
            count_3=rows, a_stride_3=tile.columns, d_stride_3=tile.columns,
            count_4=columns, a_stride_4=1, d_stride_4=1,
        )  # fmt: skip


def _runs(counts: Sequence[int]) -> list[tuple[int, int, int]]:
    """Start, length and value of each run of equal numbers."""
    found, start = [], 0
    for value, run in itertools.groupby(counts):
        length = len(list(run))
        found.append((start, length, value))
        start += length
    return found


def _quantized(tile: _Tile, sums: int) -> Instruction:
    operator = tile.operator
    return Vector(
        **output_clamp(operator.output, operator.low, operator.high), a_source=Source.ACCUMULATOR_F32, a=sums,
        b_source=Source.IMMEDIATE, b_scale=float(operator.output.scale), operation=Operation.DIVIDE, d=tile.output,
        count_4=tile.blocks * tile.rows * tile.columns, a_stride_4=1, d_stride_4=1,
    )  # fmt: skip
