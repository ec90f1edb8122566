"""What instructions access, and a log of it by space, unit and kind that finds the latest conflicting access
quickly."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from weft_sim.footprint import Footprint, footprint, overlap
from weft_sim.isa.architecture import Space, Unit
from weft_sim.isa.instruction import Instruction
from weft_sim.machine import MachineConfig
from weft_sim.registers import RegisterValue

__all__ = ["Access", "AccessLog", "AccessTable", "accesses"]

Access = tuple[Space, bool, Footprint]
"""Space, whether it is written, and which units of it."""

_SHORT = 24


def accesses(
    config: MachineConfig, instruction: Instruction, registers: Sequence[RegisterValue], dram_bytes: int
) -> list[Access]:
    """Everything that the instruction reads and writes.

    A base register of None is one that a mailbox decides: its DRAM accesses may then be anywhere; of one that is an
    area, anywhere in it; of several, in any of them.
    """
    register = getattr(instruction, "register", None)
    base = 0 if register is None else registers[register]
    place = range(dram_bytes) if base is None else base
    areas = (place,) if isinstance(place, range) else place
    known = [value if isinstance(value, int) else 0 for value in registers]
    found: list[Access] = []
    for stream in instruction.streams(config, known):
        if stream.space == Space.DRAM and isinstance(areas, tuple):
            whole = (Footprint(area.start, area.stop - 1, len(area), ()) for area in areas)
            found += [(stream.space, stream.write, area) for area in whole]
        else:
            found.append((stream.space, stream.write, footprint(stream)))
    return found


class AccessTable:
    """`accesses` of instruction objects, each found once for a value of the base register that it uses: passes
    over the same instructions share a table."""

    def __init__(self, config: MachineConfig, dram_bytes: int) -> None:
        self.config, self.dram_bytes = config, dram_bytes
        self._found: dict[tuple[int, RegisterValue], tuple[Instruction, list[Access]]] = {}
        """By identity, with the instruction itself, so that no other takes its place."""

    def of(self, instruction: Instruction, registers: Sequence[RegisterValue]) -> Sequence[Access]:
        """Everything that the instruction reads and writes."""
        register = getattr(instruction, "register", None)
        key = id(instruction), None if register is None else registers[register]
        entry = self._found.get(key)
        if entry is None:
            entry = instruction, accesses(self.config, instruction, registers, self.dram_bytes)
            self._found[key] = entry
        return entry[1]


class AccessLog:
    """All accesses so far, each under its instruction's position within its unit."""

    def __init__(self) -> None:
        self._lists: dict[tuple[Space, Unit, bool], _AccessList] = {}

    def add(self, unit: Unit, position: int, found: Sequence[Access]) -> None:
        """Books the accesses of the unit's instruction at `position`."""
        for space, write, area in found:
            key = (space, unit, write)
            if key not in self._lists:
                self._lists[key] = _AccessList()
            self._lists[key].append(position, area)

    def conflicts(self, unit: Unit, access: Access, known: Sequence[int]) -> Iterator[tuple[Unit, int, Footprint]]:
        """For each other unit the latest access that conflicts and is not known to have retired.

        Yields (unit, position, footprint), where at least one of the two accesses writes and they share a
        unit of the space; a unit may come twice, once for its reads and once for its writes.
        """
        space, write, area = access
        for other in Unit:
            if other == unit:
                continue
            for kind in (True, False) if write else (True,):
                entries = self._lists.get((space, other, kind))
                found = None if entries is None else entries.latest(area, known[other])
                if found is not None:
                    yield (other, *found)


class _AccessList:
    """Accesses of one unit, space and kind, in program order."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.areas: list[Footprint] = []
        self.bounds: npt.NDArray[np.int64] = np.zeros((2, 256), np.int64)

    def append(self, position: int, area: Footprint) -> None:
        count = len(self.areas)
        if count == self.bounds.shape[1]:
            self.bounds = np.concatenate([self.bounds, np.zeros_like(self.bounds)], axis=1)
        self.bounds[0, count] = area.low
        self.bounds[1, count] = area.high
        self.positions.append(position)
        self.areas.append(area)

    def latest(self, area: Footprint, known: int) -> tuple[int, Footprint] | None:
        """The last entry at position `known` or later that shares a unit with `area`."""
        if not self.positions or self.positions[-1] < known:
            return None
        first = bisect_left(self.positions, known)
        for entry in self._candidates(area, first):
            if overlap(self.areas[entry], area):
                return self.positions[entry], self.areas[entry]
        return None

    def _candidates(self, area: Footprint, first: int) -> Sequence[int]:
        """Entries from `first` on, latest first; where they are many, those whose bounds meet the area's."""
        count = len(self.areas)
        if count - first <= _SHORT:
            return range(count - 1, first - 1, -1)
        lows, highs = self.bounds[0, first:count], self.bounds[1, first:count]
        meeting: list[int] = (first + np.flatnonzero((lows <= area.high) & (highs >= area.low))[::-1]).tolist()
        return meeting
