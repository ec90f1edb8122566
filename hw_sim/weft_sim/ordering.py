"""Happens-before between instructions: what has certainly retired when an instruction issues.

Each unit issues in order and retires in order, so what an instruction knows is one number for each unit: how
many of that unit's instructions have retired (a vector clock). An instruction knows

- what the instruction before it in its unit knew, since units issue in order;
- what the last instruction of FETCH's own before it in program order knew, since FETCH dispatches nothing
  while one waits;
- for each token it takes: that the instruction which gave it has retired, with all before it in that unit,
  and what that one knew. The n-th wait on a channel takes the n-th signal's token or a later one's, and
  signals come in order;
- on the VPU and in FETCH, that its predecessor has retired: these execute one instruction at a time.
"""

from __future__ import annotations

from weft_sim.isa.architecture import Unit

__all__ = ["Clock", "Ordering"]

Clock = list[int]
"""For each unit, how many of its instructions are known to have retired."""

_ONE_AT_A_TIME = (Unit.FETCH, Unit.VPU)
_UNITS = range(len(Unit))


class Ordering:
    """The clocks of a sequence of instructions, built in program order."""

    def __init__(self) -> None:
        self.clocks: list[list[Clock]] = [[] for _ in Unit]
        self.indices: list[list[int]] = [[] for _ in Unit]
        """For each unit, the program-order index of each of its instructions."""
        self._latest: list[Clock] = [[0] * len(Unit) for _ in Unit]

    def begin(self, unit: Unit) -> Clock:
        """What the next instruction of `unit` knows before it takes any token."""
        clock = [max(pair) for pair in zip(self._latest[unit], self._latest[Unit.FETCH], strict=True)]
        clock[Unit.FETCH] = len(self.indices[Unit.FETCH])
        if unit in _ONE_AT_A_TIME:
            clock[unit] = len(self.indices[unit])
        return clock

    def take(self, clock: Clock, source: Unit, position: int) -> None:
        """Adds the knowledge that instruction `position` (counted within unit `source`) has retired."""
        known = self.clocks[source][position]
        for unit in _UNITS:
            if known[unit] > clock[unit]:
                clock[unit] = known[unit]
        if clock[source] <= position:
            clock[source] = position + 1

    def finish(self, unit: Unit, clock: Clock, index: int) -> int:
        """Books the instruction with its final clock; returns its position within its unit."""
        self.clocks[unit].append(clock)
        self.indices[unit].append(index)
        self._latest[unit] = clock
        return len(self.clocks[unit]) - 1
