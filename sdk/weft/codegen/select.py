"""Select: the difference of both operands times 0 or 1, added to the second: three VPU passes, all on whole numbers.

Where the condition only asks whether q is at least some t, or less, 0 or 1 is q − (t − 1), or t − q, clamped to [0, 1];
else it comes from a table.
"""

from __future__ import annotations

from typing import Any

from weft.codegen.context import Context
from weft.codegen.epilogue import output_clamp, source
from weft.codegen.iteration import Iteration
from weft.codegen.transfer import Loop, load, store
from weft.ir.select import Select
from weft.schedule.areas import Areas
from weft_runtime.executable import REGISTER_CONSTANTS
from weft_sim.isa import TABLE_ENTRIES, Destination, Instruction, Operation, Source, Table, Vector
from weft_sim.machine import MachineConfig

__all__ = ["emit_select", "select_fits"]

MAX_COUNT = 65535


def _step(operator: Select) -> dict[str, Any] | None:
    """The condition as (q − zero) · scale, clamped to [0, 1], where it is a threshold."""
    if operator.threshold is None:
        return None
    first, holds_above = operator.threshold
    zero, scale = (first - 1, 1.0) if holds_above else (first, -1.0)
    return {"a_zero": zero, "a_scale": scale, "a_round": 1, "a_low": 0.0, "a_high": 1.0}


def select_fits(operator: Select, config: MachineConfig) -> bool:
    """Whether there is room for the table and for a vector of each operand."""
    areas = Areas.of(config)
    return areas.parameter_bytes >= 4 * TABLE_ENTRIES and _limit(areas, config.lanes) >= 1


def _limit(areas: Areas, lanes: int) -> int:
    """Vectors of a chunk: a and c share a slot."""
    return min(
        areas.x_bytes // (2 * lanes), areas.weight_bytes // lanes, areas.output_bytes // lanes, areas.accumulator_rows,
        MAX_COUNT,
    )  # fmt: skip


def emit_select(operator: Select, context: Context) -> list[Iteration]:
    """One iteration per chunk that fits the slots; a table is loaded once, in the first chunk's constants.

    A condition of one element is loaded into all lanes of one vector.
    """
    c, a, b = (context.storage[tensor.name] for tensor in operator.inputs)
    y = context.storage[operator.output.name]
    lanes, mapped = context.lanes, _step(operator)
    prepared: tuple[list[Instruction], list[Instruction]] = ([], [])
    if mapped is None:
        slot, parameters = context.next_table(), context.next_slot("parameters")
        offset = context.constants.add(operator.table.astype("<f4").tobytes())
        loaded = load(REGISTER_CONSTANTS, offset, parameters, 4 * TABLE_ENTRIES, [])
        prepared = (loaded, [Table(slot=slot, source=parameters // lanes)])
        mapped = {"table": slot + 1}
    names = tuple(dict.fromkeys(tensor.name for tensor in operator.inputs))
    vectors = y.layout.nbytes // lanes
    size = max(1, min(_limit(context.areas, lanes), -(-vectors // 4)))
    iterations: list[Iteration] = []
    for start in range(0, vectors, size):
        count = min(size, vectors - start)
        x, second, output, rows = (context.next_slot(kind) for kind in ("x", "weights", "output", "accumulators"))
        mask = x + count * lanes
        iteration = Iteration(operator.name, names, (operator.output.name,))
        if not iterations:
            iteration.constants += prepared[0]
            iteration.vectors += prepared[1]
        iteration.loads += load(a.register, a.offset + start * lanes, x, count * lanes, [])
        iteration.loads += load(b.register, b.offset + start * lanes, second, count * lanes, [])
        if operator.decides_for_all:
            iteration.loads += load(c.register, c.offset, mask, 1, [Loop(lanes, 0, 1)])
        else:
            iteration.loads += load(c.register, c.offset + start * lanes, mask, count * lanes, [])
        iteration.vectors += _passes(operator, (x, mask, second, output), rows, mapped, count, lanes)
        iteration.stores += store(y.register, y.offset + start * lanes, output, count * lanes, [])
        iterations.append(iteration)
    return iterations


def _passes(
    operator: Select, slots: tuple[int, int, int, int], rows: int, mapped: dict[str, Any], count: int, lanes: int
) -> list[Vector]:  # fmt: skip
    x, mask, second, output = (each // lanes for each in slots)
    condition, a, b = operator.inputs
    steps = {"count_4": count, "a_stride_4": 1, "b_stride_4": 1, "d_stride_4": 1}
    difference = {"destination": Destination.ACCUMULATOR_F32, "d": rows}
    return [
        Vector(
            a_source=source(a), a=x, b_source=source(b), b=second, operation=Operation.SUBTRACT, **difference, **steps
        ),
        Vector(
            a_source=source(condition), a=mask, **mapped, b_source=Source.ACCUMULATOR_F32, b=rows,
            operation=Operation.MULTIPLY, **difference,
            **(steps | {"a_stride_4": int(not operator.decides_for_all)}),
        ),
        Vector(
            a_source=Source.ACCUMULATOR_F32, a=rows, b_source=source(b), b=second, b_zero=b.zero_point,
            operation=Operation.ADD, d=output, **output_clamp(operator.output, operator.low, operator.high), **steps,
        ),
    ]  # fmt: skip
