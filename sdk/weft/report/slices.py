"""What each unit did when: the events of a run as slices on one time axis, the common ground of all
timelines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from weft.report.errors import ReportError
from weft_runtime.executable import Region
from weft_runtime.profile import LAUNCH, Profile
from weft_sim.isa import INSTRUCTION_BYTES, Unit, decode
from weft_sim.isa.instruction import StaticFault

__all__ = ["RegionSpan", "Slice", "Timeline", "timeline_of"]


@dataclass(frozen=True)
class RegionSpan:
    """A region's place on the time axis, in cycles since the first region's launch."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Slice:
    """One executed instruction. Cycles count from the launch of its region, which `offset` places on the time
    axis.

    `shown` is `start`, or the end of the unit's instruction before if that is later: a unit works on several
    instructions at once but retires them in order, and slices of one lane must not overlap. So a slice is as
    long as its instruction was the oldest in its unit.
    """

    unit: str
    node: str
    region: str
    instruction: int
    opcode: str
    offset: int
    issue: int
    start: int
    end: int
    shown: int


@dataclass(frozen=True)
class Timeline:
    """Slices by unit name, each in order of execution; regions run back to back, without the host's time
    between them."""

    regions: tuple[RegionSpan, ...]
    units: dict[str, tuple[Slice, ...]]

    @property
    def cycles(self) -> int:
        """Length of the time axis."""
        return self.regions[-1].end if self.regions else 0


def timeline_of(profile: Profile) -> Timeline:
    """The slices of a profile's regions. Raises ReportError if they ran on a device that records no
    events."""
    regions: list[RegionSpan] = []
    units: dict[str, list[Slice]] = {unit.name.lower(): [] for unit in Unit}
    offset = 0
    for each in profile.regions:
        if not len(each.result.events):
            raise ReportError(
                f"device {profile.device!r} recorded no events for region {each.name!r}; "
                "timelines need device 'sim' with event recording on"
            )
        for unit in Unit:
            units[unit.name.lower()].extend(_slices(each.region, each.result.events, unit, offset))
        regions.append(RegionSpan(each.name, offset, offset + each.cycles))
        offset += each.cycles
    return Timeline(tuple(regions), {name: tuple(slices) for name, slices in units.items()})


def _slices(region: Region, events: npt.NDArray[Any], unit: Unit, offset: int) -> list[Slice]:
    own = events[events["unit"] == unit]
    if not len(own):
        return []
    ends = np.maximum.accumulate(own["end"])
    shown = np.minimum(np.maximum(own["start"], np.append(own["start"][:1], ends[:-1])), own["end"])
    opcodes = {index: _mnemonic(region, index) for index in np.unique(own["index"]).tolist()}
    times = zip(own["issue"].tolist(), own["start"].tolist(), own["end"].tolist(), shown.tolist(), strict=True)
    return [
        Slice(
            unit.name.lower(),
            region.sources[index] or LAUNCH,
            region.name,
            index,
            opcodes[index],
            offset,
            *each,
        )
        for index, each in zip(own["index"].tolist(), times, strict=True)
    ]


def _mnemonic(region: Region, index: int) -> str:
    found = decode(region.instructions[index * INSTRUCTION_BYTES : (index + 1) * INSTRUCTION_BYTES])
    return "ILLEGAL" if isinstance(found, StaticFault) else found.MNEMONIC
