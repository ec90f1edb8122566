"""Layer by layer: where the cycles went, what moved, and how far from the machine's two roofs it was."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft.report.accesses import executed, transferred_bytes
from weft_runtime.executable import NodeReport
from weft_runtime.profile import LAUNCH, Profile, RegionProfile
from weft_sim.isa import Store, Unit

__all__ = ["CAUSES", "Layer", "layers_of", "where_time_went"]

CAUSES = ("multiplying", "load", "store", "vector", "control", "start-up", "waiting")
"""Each cycle of a layer is one of these: the matrix unit multiplies (for whatever layer); or it does not, and the
oldest unfinished instruction, which the cycle is charged to, is at work in another unit, is starting (weights, DRAM
latency), or waits for a token or for room."""

WORKING = {Unit.FETCH: "control", Unit.LOAD: "load", Unit.STORE: "store", Unit.MXU: "start-up", Unit.VPU: "vector"}
MOST_INSTRUCTIONS = 200_000
PATTERN = re.compile(r"\w+ pattern of (.+)", re.DOTALL)


@dataclass(frozen=True)
class Layer:
    """One operator on an accelerator. `cycles` add up to the region's; `time` splits them by CAUSES. `nodes` are the
    ONNX nodes that it stands for. Bytes are those of its own LOADs and STOREs."""

    name: str
    region: str
    processor: str
    operator: str
    nodes: tuple[str, ...]
    cycles: int
    macs: int
    peak: int
    time: Mapping[str, int]
    active: Mapping[str, int]
    read_bytes: int
    write_bytes: int
    instructions: int

    @property
    def utilization(self) -> float:
        """Multiply-accumulates ÷ (charged cycles × peak); above 1 where a layer's work hides behind its neighbours'."""
        return self.macs / (self.cycles * self.peak) if self.cycles and self.peak else 0.0


def layers_of(profile: Profile, reports: Sequence[NodeReport] = ()) -> list[Layer]:
    """The layers of all regions in order of execution. `reports` (`Executable.nodes`) adds MACs and node names."""
    by_name = {each.name: each for each in reports}
    members = _members(reports)
    found: list[Layer] = []
    for region in profile.regions:
        times, moved = where_time_went(region), _moved(region)
        for node in region.nodes:
            report = by_name.get(node.name)
            read, written = moved.get(node.name, (0, 0))
            found.append(
                Layer(
                    node.name, region.name, region.processor.name,
                    report.op if report else "", tuple(members.get(node.name, ())),
                    node.cycles, report.macs if report else 0, region.processor.macs_per_cycle,
                    times.get(node.name, {}), node.active, read, written,
                    node.instructions,
                )
            )  # fmt: skip
    return found


def where_time_went(profile: RegionProfile) -> dict[str, dict[str, int]]:
    """Cycles by CAUSES for every node of a region; their sums are the nodes' cycles."""
    events = profile.result.events
    if not len(events) or not profile.region.sources:
        return {}
    ends = np.maximum.accumulate(events["end"].astype(np.int64))
    before = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
    issued = np.clip(events["issue"].astype(np.int64), before, ends)
    started = np.clip(np.maximum(events["start"].astype(np.int64), issued), before, ends)
    multiplied = _Covered(events[events["unit"] == Unit.MXU])
    result: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(CAUSES, 0))
    marks = [multiplied(each) for each in (before, issued, started, ends)]
    spans = ((before, issued), (issued, started), (started, ends))
    for phase, (first, last) in enumerate(spans):
        length = last - first
        busy = marks[phase + 1] - marks[phase]
        for position in np.flatnonzero(length).tolist():
            node = profile.region.sources[int(events["index"][position])] or LAUNCH
            cause = ("waiting", "start-up", WORKING[Unit(int(events["unit"][position]))])[phase]
            result[node]["multiplying"] += int(busy[position])
            result[node][cause] += int(length[position] - busy[position])
    if profile.cycles > ends[-1]:
        result[LAUNCH]["store"] += int(profile.cycles - ends[-1])
    return dict(result)


class _Covered:
    """The number of cycles before a moment in which one of these events ran."""

    def __init__(self, events: npt.NDArray[np.void]) -> None:
        ends = np.maximum.accumulate(events["end"].astype(np.int64))
        covered = np.concatenate((np.zeros(1, np.int64), ends[:-1])) if len(ends) else ends
        starts = np.minimum(np.maximum(events["start"].astype(np.int64), covered), ends)
        total = np.cumsum(ends - starts)
        self._moments = np.concatenate(([0], np.stack([starts, ends], axis=1).ravel()))
        self._totals = np.concatenate(([0], np.stack([total - (ends - starts), total], axis=1).ravel()))

    def __call__(self, moments: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.rint(np.interp(moments, self._moments, self._totals)).astype(np.int64)


def _moved(profile: RegionProfile) -> dict[str, tuple[int, int]]:
    read: dict[str, int] = defaultdict(int)
    written: dict[str, int] = defaultdict(int)
    for each in executed(profile, MOST_INSTRUCTIONS):
        target = written if isinstance(each.instruction, Store) else read
        target[each.node] += transferred_bytes(each.instruction)
    return {name: (read[name], written[name]) for name in {**read, **written}}


def _members(reports: Sequence[NodeReport]) -> dict[str, list[str]]:
    """The ONNX nodes of each operator, by the name of the node that it is named after."""
    found: dict[str, list[str]] = {}
    for each in reports:
        if not each.region:
            continue
        match = PATTERN.fullmatch(each.reason)
        found.setdefault(match[1] if match else each.name, []).append(each.name)
    return found
