"""What report and trace show of a deployment in simulated time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from weft.deployment import Figures, Occupation, Played, part_name
from weft_runtime.dispatch import Phase
from weft_runtime.executable import Executable

__all__ = ["MOST_OCCUPATIONS", "DeploymentView", "page_data", "request_events"]

MOST_OCCUPATIONS = 20_000
BINS = 40

Event = dict[str, Any]


@dataclass(frozen=True)
class DeploymentView:
    """A played deployment with its figures, the executable that it was about, and a title in words."""

    played: Played
    figures: Figures
    executable: Executable
    title: str

    @property
    def task_names(self) -> list[str]:
        """What each task of a request is called: the host graph, or the region and what happens to it."""
        names = []
        for task in self.played.setting.tasks:
            step = self.executable.steps[task.step]
            if task.phase is Phase.HOST:
                names.append(self.executable.host_graphs[step.index].name)
            else:
                names.append(f"{self.executable.regions[step.index].name} {task.phase.value}")
        return names

    @property
    def part_names(self) -> list[str]:
        """Host, bus and the devices."""
        processors = [each.name for each in self.executable.processors]
        return [part_name(part, processors, self.played.setting.devices) for part in self.played.parts]

    def shown(self) -> tuple[Sequence[Occupation], str]:
        """The first occupations, as many as are shown, and a note where these are not all."""
        every = self.played.occupations
        if len(every) <= MOST_OCCUPATIONS:
            return every, ""
        first = every[:MOST_OCCUPATIONS]
        return (
            first,
            f"The first {len({each.request for each in first}):,} of {len(self.played.served):,} requests are drawn.",
        )


def page_data(view: DeploymentView) -> dict[str, Any]:
    """The deployment for the HTML page, as JSON values; times in nanoseconds."""
    shown, note = view.shown()
    lanes: list[list[Any]] = [[name, []] for name in view.part_names]
    rows = {part: lanes[index][1] for index, part in enumerate(view.played.parts)}
    for each in shown:
        if each.end > each.start:
            rows[each.part].append([each.start, each.end, each.request, each.task])
    return {
        "title": view.title,
        "note": note,
        "figures": view.figures.to_dict(),
        "tasks": view.task_names,
        "lanes": lanes,
        "span": max((each.end for each in shown), default=0),
        "histogram": _histogram([each.end - each.arrival for each in view.played.served]),
    }


def _histogram(latencies: Sequence[int]) -> dict[str, Any]:
    """Counts of BINS equally wide classes from the least latency to the most."""
    if not latencies:
        return {"low": 0, "width": 1, "counts": [0] * BINS}
    low, high = min(latencies), max(latencies)
    width = max(1.0, (high - low) / BINS)
    counts = [0] * BINS
    for each in latencies:
        counts[min(BINS - 1, int((each - low) / width))] += 1
    return {"low": low, "width": width, "counts": counts}


def request_events(view: DeploymentView, process: int) -> list[Event]:
    """Trace events of a process of its own: a lane for each part; a flow ties the tasks of a request together, and an
    asynchronous slice shows it from arrival to answer. Timestamps are microseconds of simulated time."""
    names = view.task_names
    lanes = {part: index + 1 for index, part in enumerate(view.played.parts)}
    shown, note = view.shown()
    title = f"deployment: {view.title} {note}".rstrip()
    events: list[Event] = [{"ph": "M", "name": "process_name", "pid": process, "tid": 0, "args": {"name": title}}]
    for part, name in zip(view.played.parts, view.part_names, strict=True):
        events.append({"ph": "M", "name": "thread_name", "pid": process, "tid": lanes[part], "args": {"name": name}})
        sort = {"sort_index": lanes[part]}
        events.append({"ph": "M", "name": "thread_sort_index", "pid": process, "tid": lanes[part], "args": sort})
    requests = {each.request for each in shown}
    for served in view.played.served:
        if served.number in requests:
            common = {
                "name": f"request {served.number}",
                "cat": "request",
                "pid": process,
                "tid": 0,
                "id": served.number,
            }
            events.append({**common, "ph": "b", "ts": served.arrival / 1000})
            events.append({**common, "ph": "e", "ts": served.end / 1000})
    lasts = {each.request: index for index, each in enumerate(shown)}
    begun: set[int] = set()
    for index, each in enumerate(shown):
        place = {"pid": process, "tid": lanes[each.part], "ts": each.start / 1000}
        arguments = {"request": each.request, "task": names[each.task]}
        slice_name = f"{names[each.task]} #{each.request}"
        duration = (each.end - each.start) / 1000
        events.append({"ph": "X", "name": slice_name, "cat": "task", **place, "dur": duration, "args": arguments})
        flow = "s" if each.request not in begun else "f" if lasts[each.request] == index else "t"
        if flow == "s" and lasts[each.request] == index:
            continue
        begun.add(each.request)
        binding = {"bp": "e"} if flow == "f" else {}
        events.append({"ph": flow, "name": "request", "cat": "flow", "id": each.request, **place, **binding})
    return events
