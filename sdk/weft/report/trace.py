"""Chrome trace-event JSON, for Perfetto (ui.perfetto.dev) and chrome://tracing.

Format: the Trace Event Format's JSON object form with complete events (`ph` X) and metadata events (`ph` M).
Process 1 is the device in simulated time: one lane per unit, and one that shows the regions, back to back
from 0. Process 2 is the host in measured time: its graphs, back to back from 0. Process 3 is a deployment in
simulated time: its requests are flows (`ph` s, t, f) through host, bus and devices, and asynchronous slices (`ph` b,
e). The three clocks have nothing to do with each other.
"""

from __future__ import annotations

import json
import os
from typing import Any

from weft.report.deployment import DeploymentView, request_events
from weft.report.files import write_text
from weft.report.slices import RegionSpan, Slice, timeline_of
from weft_runtime.profile import Profile
from weft_sim.isa import Unit

__all__ = ["trace_events", "write_trace"]

DEVICE, HOST, REQUESTS = 1, 2, 3
REGION_LANE = 0

Event = dict[str, Any]


def write_trace(profile: Profile, path: str | os.PathLike[str], deployment: DeploymentView | None = None) -> None:
    """Write the trace of a run. Timestamps are microseconds: cycles ÷ the machine's clock.

    Raises ReportError if the device recorded no events or the file cannot be written.
    """
    events = trace_events(profile)
    other = profile.to_dict()
    if deployment is not None:
        events += request_events(deployment, REQUESTS)
        other["deployment"] = deployment.figures.to_dict()
    document = {"traceEvents": events, "displayTimeUnit": "ns", "otherData": other}
    write_text(path, json.dumps(document, separators=(",", ":")))


def trace_events(profile: Profile) -> list[Event]:
    """The trace as a list of events: metadata first, then regions, then each unit's instructions in order."""
    timeline = timeline_of(profile)
    clock = profile.clock_mhz
    events = [_metadata("process_name", DEVICE, REGION_LANE, f"{profile.target} ({profile.device}, {clock} MHz)")]
    events += _lane(DEVICE, REGION_LANE, "regions")
    for unit in Unit:
        events += _lane(DEVICE, unit + 1, unit.name.lower())
    events += [_region(span, clock) for span in timeline.regions]
    events += [_instruction(each, clock) for unit in Unit for each in timeline.units[unit.name.lower()]]
    return events + _host(profile)


def _metadata(kind: str, process: int, lane: int, name: str) -> Event:
    return {"ph": "M", "name": kind, "pid": process, "tid": lane, "args": {"name": name}}


def _lane(process: int, lane: int, name: str) -> list[Event]:
    order = {
        "ph": "M",
        "name": "thread_sort_index",
        "pid": process,
        "tid": lane,
        "args": {"sort_index": lane},
    }
    return [_metadata("thread_name", process, lane, name), order]


def _region(span: RegionSpan, clock: int) -> Event:
    arguments = {"start_cycle": span.start, "end_cycle": span.end}
    return _complete(span.name, "region", DEVICE, REGION_LANE, span.start / clock, span.end / clock, arguments)


def _instruction(each: Slice, clock: int) -> Event:
    arguments = {
        "instruction": each.instruction,
        "opcode": each.opcode,
        "region": each.region,
        "issue": each.issue,
        "start": each.start,
        "end": each.end,
    }
    start, end = (each.offset + each.shown) / clock, (each.offset + each.end) / clock
    return _complete(each.node, each.opcode, DEVICE, Unit[each.unit.upper()] + 1, start, end, arguments)


def _host(profile: Profile) -> list[Event]:
    if not profile.host:
        return []
    events = [_metadata("process_name", HOST, 0, "host (measured)"), *_lane(HOST, 0, "ONNX Runtime")]
    start = 0.0
    for each in profile.host:
        end = start + each.seconds * 1e6
        events.append(_complete(each.name, "host", HOST, 0, start, end, {"seconds": each.seconds}))
        start = end
    return events


def _complete(
    name: str, category: str, process: int, lane: int, start: float, end: float, arguments: dict[str, Any]
) -> Event:
    return {
        "ph": "X",
        "name": name,
        "cat": category,
        "pid": process,
        "tid": lane,
        "ts": start,
        "dur": end - start,
        "args": arguments,
    }
