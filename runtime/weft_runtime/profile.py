"""What a run cost: cycles, stalls and bytes, per region, ONNX node and unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from weft_runtime.dispatch import Work
from weft_runtime.executable import Processor, Region
from weft_runtime.interpreter import Decision
from weft_sim.isa import Unit
from weft_sim.result import RunResult, UnitCounters

__all__ = ["LAUNCH", "HostProfile", "NodeProfile", "Profile", "RegionProfile"]

LAUNCH = "(launch)"
"""The name under which cycles stand that no ONNX node causes."""


@dataclass(frozen=True)
class NodeProfile:
    """One ONNX node's part of a region.

    `cycles` is its share of the region's time: every cycle is charged to the oldest instruction, in program
    order, that has not retired, so the shares of a region add up to its cycles although units overlap.
    `active` holds, per unit, the cycles in which the unit worked on the node: from start to retirement of its
    instructions, overlaps within the unit counted once. Other nodes may be active in other units at the same
    time.
    """

    name: str
    region: str
    cycles: int
    instructions: int
    active: Mapping[str, int]


@dataclass(frozen=True)
class RegionProfile:
    """One launch of a region (of the last sample, if a run had several), which served so many samples at once."""

    region: Region
    processor: Processor
    result: RunResult
    samples: int = 1

    @property
    def name(self) -> str:
        """The region's name."""
        return self.region.name

    @property
    def cycles(self) -> int:
        """Cycles from the first instruction fetch to the last byte stored."""
        return self.result.cycles

    @cached_property
    def nodes(self) -> tuple[NodeProfile, ...]:
        """The region's ONNX nodes, in order of their first instruction; empty on devices without time."""
        events = self.result.events
        if not len(events) or not self.region.sources:
            return ()
        charged = charged_cycles(events)
        names = [self.region.sources[index] or LAUNCH for index in events["index"].tolist()]
        ids = {name: position for position, name in enumerate(dict.fromkeys([*names, LAUNCH]))}
        nodes = np.array([ids[name] for name in names])
        cycles = np.bincount(nodes, weights=charged, minlength=len(ids)).astype(np.int64)
        # After the last instruction has retired, the machine still drains: nobody's share.
        cycles[ids[LAUNCH]] += self.cycles - int(charged.sum())
        counts = np.bincount(nodes, minlength=len(ids))
        active = np.zeros((len(ids), len(Unit)), np.int64)
        for unit in Unit:
            own = np.flatnonzero(events["unit"] == unit)
            np.add.at(active[:, unit], nodes[own], _spans(events[own]))
        return tuple(
            NodeProfile(
                name,
                self.name,
                int(cycles[position]),
                int(counts[position]),
                {unit.name.lower(): int(active[position, unit]) for unit in Unit if active[position, unit]},
            )
            for name, position in ids.items()
            if counts[position] or cycles[position]
        )


@dataclass(frozen=True)
class HostProfile:
    """One host graph: seconds of CPU wall time per sample, and how often it ran per sample."""

    name: str
    seconds: float
    runs: float = 1.0


@dataclass(frozen=True)
class Profile:
    """One `Session.run`. Cycles, MACs, seconds, transfers and bytes are per sample (the mean, where samples
    differ).

    `launches` of regions are per sample, too: a launch for four samples is a quarter of one for each. `macs` counts the
    whole ONNX model. `host_seconds` is spent in ONNX Runtime, `wall_seconds` in all of the
    run. `transfers` counts tensors moved to or from the device, `transfer_bytes` their packed bytes. `paths` has the
    decisions of each sample, in order, where the model's path depends on its input; then `macs` counts what ran, and
    `regions` holds the launches of the last sample, and `works` all that occupied host, bus and devices for it, in
    order, unless samples ran together.
    """

    device: str
    processors: tuple[Processor, ...]
    samples: int
    cycles: int
    macs: int
    host_seconds: float
    wall_seconds: float
    transfers: int
    transfer_bytes: int
    regions: tuple[RegionProfile, ...]
    host: tuple[HostProfile, ...]
    paths: tuple[tuple[Decision, ...], ...] = ()
    launches: float = 0.0
    works: tuple[Work, ...] = ()

    @property
    def target(self) -> str:
        """The processors' names, joined by commas."""
        return ",".join(processor.name for processor in self.processors)

    @property
    def clock_mhz(self) -> int:
        """The first processor's clock: that of the time axis in pictures."""
        return self.processors[0].clock_mhz if self.processors else 1

    @property
    def utilization(self) -> float:
        """MACs of the whole model ÷ (cycles × peak MACs per cycle), where several processors took turns each region
        with its own; 0 on devices without time."""
        peak = sum(region.cycles / region.samples * region.processor.macs_per_cycle for region in self.regions)
        return self.macs / peak if peak else 0.0

    @property
    def device_seconds(self) -> float:
        """Every region's cycles at its processor's clock; of a launch for several samples, one sample's part."""
        return sum(region.processor.seconds(region.cycles) / region.samples for region in self.regions)

    @property
    def nodes(self) -> tuple[NodeProfile, ...]:
        """The nodes of all regions, in order of execution."""
        return tuple(node for region in self.regions for node in region.nodes)

    @property
    def units(self) -> dict[str, UnitCounters]:
        """Busy and stalled cycles per unit, summed over the regions."""
        busy: dict[str, int] = {}
        stalls: dict[str, dict[str, int]] = {}
        for region in self.regions:
            for unit, counters in region.result.units.items():
                busy[unit] = busy.get(unit, 0) + counters.busy
                causes = stalls.setdefault(unit, {})
                for cause, cycles in counters.stalls.items():
                    causes[cause] = causes.get(cause, 0) + cycles
        return {unit: UnitCounters(busy[unit], stalls[unit]) for unit in busy}

    @property
    def read_bytes(self) -> int:
        """Bytes that the regions read from DRAM."""
        return sum(region.result.read_bytes for region in self.regions)

    @property
    def write_bytes(self) -> int:
        """Bytes that the regions wrote to DRAM."""
        return sum(region.result.write_bytes for region in self.regions)

    def to_dict(self) -> dict[str, Any]:
        """The figures of the whole run as plain JSON values."""
        return {
            "device": self.device,
            "target": self.target,
            "samples": self.samples,
            "cycles": self.cycles,
            "macs": self.macs,
            "utilization": self.utilization,
            "device_seconds": self.device_seconds,
            "host_seconds": self.host_seconds,
            "wall_seconds": self.wall_seconds,
            "launches": self.launches,
            "transfers": self.transfers,
            "transfer_bytes": self.transfer_bytes,
            "read_bytes": self.read_bytes,
            "write_bytes": self.write_bytes,
            "paths": [[{"name": each.name, "outcome": each.outcome} for each in path] for path in self.paths],
        }

    def __str__(self) -> str:
        from weft_runtime.profile_text import (
            render,
        )  # rendering reads this class, so it cannot be imported above

        return render(self)


def charged_cycles(events: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Cycles for which each executed instruction was the oldest unfinished one; events are in dispatch
    order."""
    ends = events["end"].astype(np.int64)
    frontier = np.maximum.accumulate(ends)
    before = np.concatenate((np.zeros(1, np.int64), frontier[:-1]))
    return np.asarray(np.maximum(ends - before, 0))


def _spans(events: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Of one unit's events, the cycles from start to end that no event before it has covered."""
    if not len(events):
        return np.zeros(0, np.int64)
    ends = np.maximum.accumulate(events["end"].astype(np.int64))
    covered = np.append(np.int64(0), ends[:-1])
    starts = np.maximum(events["start"].astype(np.int64), covered)
    return np.asarray(np.maximum(events["end"].astype(np.int64) - starts, 0))
