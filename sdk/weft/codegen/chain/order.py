"""The program order of a chain's steps: loads as early as their room is free, everything else in sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from weft_sim.isa import Instruction

__all__ = ["Step", "in_order"]

LOOKAHEAD = 16
"""Steps that loads are put ahead of their use at most; half as far as there are steps before, at the beginning."""
SLACK = 1
"""Steps between the last use of some room and the load that takes it: dispatch then seldom waits for that use."""
Span = tuple[int, int]


@dataclass
class Step:
    """Instructions of one piece by stage, in sequential meaning: loads, fills, products, vectors, stores. `written`:
    scratchpad bytes that the loads write; `used`: bytes that the other stages touch, in a few covering spans. `made`:
    channel blocks of the member's output that it writes."""

    source: str
    made: range = range(0)
    loads: list[Instruction] = field(default_factory=list)
    fills: list[Instruction] = field(default_factory=list)
    products: list[Instruction] = field(default_factory=list)
    vectors: list[Instruction] = field(default_factory=list)
    stores: list[Instruction] = field(default_factory=list)
    written: list[Span] = field(default_factory=list)
    used: list[Span] = field(default_factory=list)


def in_order(steps: Sequence[Step]) -> list[tuple[Instruction, str]]:
    """Every instruction with the node that it belongs to. Loads keep their order among each other; what fills
    borders waits for its turn, so that it never holds back weights."""
    due: list[list[Step]] = [[] for _ in steps]
    place = 0
    for index, step in enumerate(steps):
        place = max(place, _earliest(steps, index))
        due[place].append(step)
    order: list[tuple[Instruction, str]] = []
    for index, step in enumerate(steps):
        for early in due[index]:
            order += [(instruction, early.source) for instruction in early.loads]
        for stage in (step.fills, step.products, step.vectors, step.stores):
            order += [(instruction, step.source) for instruction in stage]
    return order


def _earliest(steps: Sequence[Step], index: int) -> int:
    """The first step before which the loads of step `index` may stand."""
    first = max(0, index - min(LOOKAHEAD, index // 2))
    for place in range(index - 1, first - 1, -1):
        if _meet(steps[place].used, steps[index].written):
            return min(index, place + 1 + SLACK)
    return first


def _meet(a: Sequence[Span], b: Sequence[Span]) -> bool:
    return any(first[0] < second[1] and second[0] < first[1] for first in a for second in b)
