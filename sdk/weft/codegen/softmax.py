"""Softmax and its logarithm: q − max through a table of exponentials, a sum, one reciprocal per position."""

from __future__ import annotations

from typing import Any

import numpy as np

from weft.codegen.context import Context
from weft.codegen.epilogue import output_clamp
from weft.codegen.iteration import Iteration
from weft.codegen.rows import Rows, RowTile, emit_rows, row_groups
from weft.ir.rows import Softmax
from weft_sim.isa import TABLE_ENTRIES, Destination, Instruction, Operation, Reduction, Source, Table, Vector
from weft_sim.machine import MachineConfig

__all__ = ["emit_softmax", "softmax_tile"]

WORK_ROWS = 4
ROOTS = 5
SERIES = (9, 7, 5, 3, 1)
FLOAT: dict[str, Any] = {"a_source": Source.ACCUMULATOR_F32, "destination": Destination.ACCUMULATOR_F32}


def softmax_tile(operator: Softmax, config: MachineConfig) -> RowTile | None:
    """The tile, or None if not even `lanes` positions fit."""
    return row_groups(operator.inputs[0], operator.output, WORK_ROWS, 4 * TABLE_ENTRIES, config)


def emit_softmax(operator: Softmax, tile: RowTile, context: Context) -> list[Iteration]:
    """One iteration per tile of positions; the table is loaded once."""
    slot = context.next_table()

    def compute(rows: Rows) -> list[Instruction]:
        return _exponentials(rows, slot) + (_logarithm if operator.logarithm else _quotient)(operator, rows, slot)

    def prepare(source: int) -> list[Instruction]:
        return [Table(slot=slot, source=source)]

    return emit_rows(
        operator.name, operator.inputs[0], operator.output, tile, context, _table(operator), compute, prepare
    )


def _table(operator: Softmax) -> bytes:
    """exp(d · s) at index d mod 256, for d = 0 … −255."""
    differences = -np.arange(TABLE_ENTRIES)
    entries = np.zeros(TABLE_ENTRIES, "<f4")
    entries[differences % TABLE_ENTRIES] = np.exp(differences * np.float64(operator.inputs[0].scale))
    return entries.tobytes()


def _exponentials(rows: Rows, slot: int) -> list[Instruction]:
    """q − max in place of q, and the sums of exp in the first work rows."""
    largest = rows.work
    return [
        Vector(
            a_source=Source.ACCUMULATOR_S32, b_source=Source.IMMEDIATE, destination=Destination.ACCUMULATOR_F32,
            a=rows.first, d=largest, **rows.over_axis, d_stride_3=1, reduction=Reduction.MAXIMUM, reduce_loops=1,
        ),
        Vector(
            a_source=Source.ACCUMULATOR_S32, b_source=Source.ACCUMULATOR_F32, destination=Destination.ACCUMULATOR_F32,
            operation=Operation.SUBTRACT, a=rows.first, b=largest, d=rows.first, **rows.over_axis, b_stride_3=1,
            d_stride_3=rows.channels, d_stride_4=1,
        ),
        Vector(
            **FLOAT, b_source=Source.IMMEDIATE, table=slot + 1, a=rows.first, d=rows.work, **rows.over_axis,
            d_stride_3=1, reduction=Reduction.SUM, reduce_loops=1,
        ),
    ]  # fmt: skip


def _quotient(operator: Softmax, rows: Rows, slot: int) -> list[Instruction]:
    reciprocal = rows.work + rows.groups
    return [
        Vector(  # a is 1 whatever the row holds: rounded, and clamped to [1, 1]
            **FLOAT, b_source=Source.ACCUMULATOR_F32, operation=Operation.DIVIDE, a_round=1, a_low=1.0, a_high=1.0,
            a=rows.work, b=rows.work, d=reciprocal, **_over_groups(rows),
        ),
        Vector(
            a_source=Source.ACCUMULATOR_F32, b_source=Source.ACCUMULATOR_F32, table=slot + 1,
            operation=Operation.MULTIPLY, a=rows.first, b=reciprocal, **_to_output(operator, rows),
        ),
    ]  # fmt: skip


def _logarithm(operator: Softmax, rows: Rows, slot: int) -> list[Instruction]:
    """ln(sum) by r = sum^(1/32) and ln r = 2·artanh((r − 1)/(r + 1)), five terms: r is at most 1.7 for sums to 2²⁴."""
    sums, above, below, square = (rows.work + index * rows.groups for index in range(WORK_ROWS))
    each = _over_groups(rows)
    immediate: dict[str, Any] = {**FLOAT, "b_source": Source.IMMEDIATE, **each}
    both: dict[str, Any] = {**FLOAT, "b_source": Source.ACCUMULATOR_F32, **each}
    passes: list[Instruction] = [
        Vector(**immediate, operation=Operation.SQUARE_ROOT, a=sums, d=sums) for _ in range(ROOTS)
    ]
    passes += [
        Vector(**immediate, operation=Operation.ADD, b_scale=-1.0, a=sums, d=above),
        Vector(**immediate, operation=Operation.ADD, b_scale=1.0, a=sums, d=below),
        Vector(**both, operation=Operation.DIVIDE, a=above, b=below, d=above),
        Vector(**both, operation=Operation.MULTIPLY, a=above, b=above, d=square),
        Vector(**immediate, operation=Operation.ADD, a_scale=0.0, b_scale=1.0 / SERIES[0], a=square, d=below),
    ]
    for divisor in SERIES[1:]:
        passes.append(Vector(**both, operation=Operation.MULTIPLY, a=below, b=square, d=below))
        passes.append(Vector(**immediate, operation=Operation.ADD, b_scale=1.0 / divisor, a=below, d=below))
    passes.append(Vector(**both, operation=Operation.MULTIPLY, a=below, b=above, d=sums, scale=float(2 << ROOTS)))
    passes.append(
        Vector(
            a_source=Source.ACCUMULATOR_F32, b_source=Source.ACCUMULATOR_F32, operation=Operation.SUBTRACT,
            a=rows.first, a_scale=float(operator.inputs[0].scale), b=sums, **_to_output(operator, rows),
        )
    )  # fmt: skip
    return passes


def _over_groups(rows: Rows) -> dict[str, int]:
    return {"count_4": rows.groups, "a_stride_4": 1, "b_stride_4": 1, "d_stride_4": 1}


def _to_output(operator: Softmax, rows: Rows) -> dict[str, Any]:
    """One value of operand b per group; results as q."""
    low, high = operator.output.limits
    return {
        **output_clamp(operator.output, low, high), **rows.over_axis, "b_stride_3": 1, "d": rows.result,
        "d_stride_3": rows.channels, "d_stride_4": 1, "scale": float(np.float32(1) / operator.output.scale),
    }  # fmt: skip
