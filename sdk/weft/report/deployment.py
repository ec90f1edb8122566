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

    def task_name(self, occupation: Occupation) -> str:
        """What the task is called: the host graph, or the region and what happens to it, or a value that the host
        fetches."""
        task = self.played.setting.tasks_of(occupation.request)[occupation.task]
        if task.phase is Phase.HOST:
            index = task.step if self.executable.control is not None else self.executable.steps[task.step].index
            return self.executable.host_graphs[index].name
        return f"{self.executable.regions[task.region].name if task.region >= 0 else 'value'} {task.phase.value}"

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
    names: dict[str, int] = {}
    for each in shown:
        if each.end > each.start:
            name = names.setdefault(view.task_name(each), len(names))
            rows[each.part].append([each.start, each.end, each.request, name])
    return {
        "title": view.title,
        "note": note,
        "figures": view.figures.to_dict(),
        "tasks": list(names),
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
        name = view.task_name(each)
        arguments = {"request": each.request, "task": name}
        slice_name = f"{name} #{each.request}"
        duration = (each.end - each.start) / 1000
        events.append({"ph": "X", "name": slice_name, "cat": "task", **place, "dur": duration, "args": arguments})
        flow = "s" if each.request not in begun else "f" if lasts[each.request] == index else "t"
        if flow == "s" and lasts[each.request] == index:
            continue
        begun.add(each.request)
        binding = {"bp": "e"} if flow == "f" else {}
        events.append({"ph": flow, "name": "request", "cat": "flow", "id": each.request, **place, **binding})
    return events
