"""The order and the tokens of a small program, found once for all programs that differ in numbers only.

Which instruction comes when, what it waits for and how long everything takes follow from units, addresses and counts.
Scales, zero points, clamps and the constants themselves have no part in it, so the sub-networks of a program that are
equal but for weights and scales are arranged once (see docs/dynamic.md).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Generic, TypeVar

from weft.codegen.iteration import Iteration, interleave
from weft_sim.accesses import AccessTable
from weft_sim.isa import Fill, Halt, Instruction, Vector
from weft_sim.isa.instruction import OPCODES
from weft_sim.synchronize import synchronize

__all__ = ["MOST_PROGRAMS", "Arranged", "Memo", "arrange"]

NUMBERS = {
    Vector: (
        "a_zero", "b_zero", "d_zero", "a_scale", "a_low", "a_high", "a_rescale", "b_scale", "scale", "low", "high",
    ),
    Fill: ("value",),
}  # fmt: skip
"""Fields that decide neither about addresses nor about time."""
MOST_INSTRUCTIONS = 1000
"""Of a program that is remembered: the larger ones seldom come twice, and take memory."""
MOST_PROGRAMS = 64
Value = TypeVar("Value")


class Memo(Generic[Value]):
    """The last results by key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        """What was put for this key, unless it was long ago."""
        if key in self._found:
            self._found.move_to_end(key)
        return self._found.get(key)

    def put(self, key: Hashable, value: Value) -> None:
        """Remembers a result."""
        self._found[key] = value
        if len(self._found) > self._most:
            self._found.popitem(last=False)


@dataclass(frozen=True)
class Arranged:
    """A whole program with its tokens, the ONNX node of each instruction, and a key that programs share which differ in
    numbers only (None where it was not looked for)."""

    instructions: tuple[Instruction, ...]
    sources: tuple[str, ...]
    shape: Hashable | None


@dataclass(frozen=True)
class _Order:
    """Places in the sequential program, and tokens, of the instructions in their order; HALT is behind them."""

    places: tuple[int, ...]
    tokens: tuple[tuple[int, int], ...]


_ORDERS: Memo[_Order] = Memo(MOST_PROGRAMS)


def arrange(iterations: Sequence[Iteration], table: AccessTable, registers: Sequence[int]) -> Arranged:
    """The iterations interleaved and synchronized, with HALT at the end."""
    flat = [(instruction, each.source) for each in iterations for stage in _stages(each) for instruction in stage]
    flat.append((Halt(), ""))
    if len(flat) > MOST_INSTRUCTIONS:
        order, places = _ordered(iterations, table, registers, flat)
        return Arranged(tuple(order), tuple(flat[place][1] for place in places), None)
    shape = _shape(iterations, table, registers)
    known = _ORDERS.get(shape)
    if known is None:
        order, places = _ordered(iterations, table, registers, flat)
        _ORDERS.put(shape, _Order(places, tuple((each.wait, each.signal) for each in order)))
        return Arranged(tuple(order), tuple(flat[place][1] for place in places), shape)
    found = zip(known.places, known.tokens, strict=True)
    instructions = tuple(flat[place][0].with_tokens(*tokens) for place, tokens in found)
    return Arranged(instructions, tuple(flat[place][1] for place in known.places), shape)


def _ordered(
    iterations: Sequence[Iteration], table: AccessTable, registers: Sequence[int], flat: list[tuple[Instruction, str]]
) -> tuple[list[Instruction], tuple[int, ...]]:
    numbers = {id(instruction): place for place, (instruction, _) in enumerate(flat)}
    assert len(numbers) == len(flat), "an instruction stands in two places; this is a bug in Weft"
    order = [instruction for instruction, _ in interleave(iterations, table, registers)] + [flat[-1][0]]
    places = tuple(numbers[id(instruction)] for instruction in order)
    return synchronize(table.config, order, registers, table), places


def _stages(each: Iteration) -> tuple[list[Instruction], ...]:
    return (each.constants, each.loads, each.products, each.vectors, each.stores)


def _shape(iterations: Sequence[Iteration], table: AccessTable, registers: Sequence[int]) -> Hashable:
    programs = tuple(tuple(tuple(map(_without_numbers, stage)) for stage in _stages(each)) for each in iterations)
    return table.config, tuple(registers), programs


def _without_numbers(instruction: Instruction) -> tuple[Any, ...]:
    """The opcode, and everything else that matters."""
    found: tuple[Any, ...] = _KEPT[instruction.OPCODE](instruction.values)
    return found


def _kept(kind: type[Instruction]) -> Any:
    numbers = NUMBERS.get(kind, ())
    return itemgetter(*(index for index, field in enumerate(kind.FIELDS) if field.name not in numbers))


_KEPT = {opcode: _kept(kind) for opcode, kind in OPCODES.items()}
