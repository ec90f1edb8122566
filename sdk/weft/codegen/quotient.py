"""Division by the output's scale, exact for every float32, in three passes of one vector per cycle.

The divider takes a vector every 32 cycles. Here a product with the reciprocal, moved up by less than half a step,
gives q or q + 1, and a table of the largest values that still belong below each q + 1 decides which. The table is found
by dividing, so the answer is the divider's for every value (infinities and the bounds included).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from weft.codegen.context import Context
from weft.codegen.epilogue import divide, output_clamp
from weft.codegen.iteration import Iteration
from weft.codegen.transfer import load
from weft.ir.operators import Tensor
from weft_runtime.executable import REGISTER_CONSTANTS
from weft_sim.isa import TABLE_ENTRIES, Destination, Instruction, Operation, Source, Table, Vector

__all__ = ["FREE_ROWS", "Quotient", "thresholds"]

FREE_ROWS = 128
"""Most accumulator rows that a division needs beside its values."""
LIFT = 2.0**-10
"""Steps: more than the product's rounding errors (at most 512 · 2⁻²²), far less than a half."""
SEARCHED = 8
"""Neighbours of a threshold that are tried, in steps of its own last place."""


def thresholds(scale: np.float32, low: int, high: int) -> npt.NDArray[np.float32] | None:
    """float32 [256]: at k mod 256, low < k ≤ high, the largest v with rint(v / scale) < k; −∞ for k = low. None where
    reciprocal or quotients leave the normal numbers. low, high: of q less the zero point."""
    tiny, huge = 2.0**-100, 2.0**100
    if not tiny < float(scale) < huge:
        return None
    wanted = np.arange(low + 1, high + 1)
    middle = ((wanted - 0.5) * np.float64(scale)).astype(np.float32)
    candidates = [middle]
    for direction in (np.float32(-np.inf), np.float32(np.inf)):
        value = middle
        for _ in range(SEARCHED):
            value = np.nextafter(value, direction)
            candidates.append(value)
    ordered = np.sort(np.stack(candidates), axis=0)
    below = np.rint(ordered / scale) < wanted
    if not (np.all(below[0]) and not np.any(below[-1])):
        return None
    table = np.full(TABLE_ENTRIES, -np.inf, np.float32)
    table[wanted % TABLE_ENTRIES] = np.take_along_axis(ordered, (below.sum(0) - 1)[None], axis=0)[0]
    return table


class Quotient:
    """The end of an operator whose results are floats in accumulator rows: divided, rounded, clamped."""

    def __init__(self, output: Tensor, low: int, high: int, context: Context) -> None:
        self._output, self._clamp = output, output_clamp(output, low, high)
        table = thresholds(output.scale, low - output.zero_point, high - output.zero_point)
        fits = context.areas.parameter_bytes >= 4 * TABLE_ENTRIES
        self._table = None if table is None or not fits else table.astype("<f4").tobytes()
        self._slot = context.next_table() if self._table is not None else 0
        self._context = context

    def prepare(self, iteration: Iteration) -> None:
        """Loads the table; to be called once, for the operator's first iteration."""
        if self._table is None:
            return
        place, offset = self._context.next_slot("parameters"), self._context.constants.add(self._table)
        iteration.constants += load(REGISTER_CONSTANTS, offset, place, len(self._table), [])
        iteration.vectors.append(Table(slot=self._slot, source=place // self._context.lanes))

    def passes(self, rows: int, free: int, output: int, count: int) -> list[Instruction]:
        """From `count` accumulator rows to as many vectors at `output`; rows from `free` on are overwritten."""
        scale = float(self._output.scale)
        if self._table is None:
            return [divide(rows, output, count, scale, self._clamp)]
        result: list[Instruction] = []
        for first in range(0, count, FREE_ROWS):
            result += self._part(rows + first, free, output + first, min(FREE_ROWS, count - first))
        return result

    def _part(self, rows: int, free: int, output: int, count: int) -> list[Instruction]:
        bounds = {"low": self._clamp["low"], "high": self._clamp["high"]}
        each: dict[str, Any] = {"count_4": count, "a_stride_4": 1, "b_stride_4": 1, "d_stride_4": 1}
        lifted: dict[str, Any] = {"a_source": Source.ACCUMULATOR_S32, "a": free, "b_source": Source.ACCUMULATOR_F32}
        return [
            Vector(
                **each, **bounds, a_source=Source.ACCUMULATOR_F32, a=rows, b_source=Source.IMMEDIATE, b_scale=LIFT,
                a_scale=float(np.float32(1) / self._output.scale), operation=Operation.ADD,
                destination=Destination.ACCUMULATOR_S32, d=free,
            ),
            Vector(
                **each, **lifted, b=rows, table=self._slot + 1, operation=Operation.GREATER_EQUAL,
                destination=Destination.ACCUMULATOR_F32, d=rows,
            ),
            Vector(**each, **lifted, **self._clamp, b=rows, operation=Operation.SUBTRACT, d=output),
        ]  # fmt: skip
