"""A self-contained HTML page about one run: totals, requests, zoomable timeline, layers, roofline, memory, partition.

It loads nothing from anywhere, and its size is bounded: what is drawn in less detail says so.
"""

from __future__ import annotations

import json
import os
from importlib import resources
from typing import Any

from weft.report.control_flow import control_flow_graph
from weft.report.deployment import DeploymentView, page_data
from weft.report.explanation import picture_url
from weft.report.files import write_text
from weft.report.flow_picture import render_flow
from weft.report.layers import CAUSES, Layer, layers_of
from weft.report.memory_map import MOST_INSTRUCTIONS, ROWS, MemoryMap, memory_map
from weft.report.picture import render_picture
from weft.report.slices import Slice, timeline_of
from weft_runtime.executable import Executable, NodeReport
from weft_runtime.npu import is_npu, machine_of
from weft_runtime.profile import Profile

__all__ = ["MOST_SLICES", "render_html", "write_html"]

DATA, STYLE, SCRIPT = "/*DATA*/null", "/*STYLE*/", "/*SCRIPT*/"
SCRIPTS = ("base.js", "lanes.js", "charts.js", "main.js")
MOST_SLICES = 24_000
MOST_LAYERS = 5_000
MOST_TENANTS = 4_000


def write_html(
    profile: Profile,
    path: str | os.PathLike[str],
    title: str = "Weft run",
    nodes: tuple[NodeReport, ...] = (),
    executable: Executable | None = None,
    deployment: DeploymentView | None = None,
) -> None:
    """Write the page. Raises ReportError if the device recorded no events or the file cannot be written."""
    write_text(path, render_html(profile, title, nodes, executable, deployment))


def render_html(
    profile: Profile,
    title: str = "Weft run",
    nodes: tuple[NodeReport, ...] = (),
    executable: Executable | None = None,
    deployment: DeploymentView | None = None,
) -> str:
    """The page as text. `nodes` (by default those of `executable`) adds where each node of the model runs, and why;
    `executable` the picture of the partition; `deployment` the requests."""
    if executable is not None:
        nodes = nodes or executable.nodes
    data = _data(profile, title, nodes)
    data |= _partition(executable, title)
    data |= _control(executable, profile, title)
    data["requests"] = None if deployment is None else page_data(deployment)
    text = json.dumps(data, separators=(",", ":"))
    # Names come from untrusted models: no character of theirs may end the script element.
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    page = _file("page.html").replace(STYLE, _file("style.css"), 1)
    page = page.replace(SCRIPT, "\n".join(_file(name) for name in SCRIPTS), 1)
    return page.replace(DATA, safe, 1)


def _file(name: str) -> str:
    return resources.files("weft.report").joinpath("page", name).read_text(encoding="utf-8")


def _data(profile: Profile, title: str, nodes: tuple[NodeReport, ...]) -> dict[str, Any]:
    timeline = timeline_of(profile)
    names: dict[str, int] = {}
    total = sum(map(len, timeline.units.values()))
    units = {
        unit: [_row(run, names) for run in _runs(slices, max(100, MOST_SLICES * len(slices) // max(1, total)))]
        for unit, slices in timeline.units.items()
        if slices
    }
    layers = layers_of(profile, nodes)
    memory, note = _memory(profile, names)
    return {
        "title": title,
        "totals": profile.to_dict(),
        "cycles": timeline.cycles,
        "clock_mhz": profile.clock_mhz,
        "regions": [[span.name, span.start, span.end] for span in timeline.regions],
        "units": units,
        "drawn": {"instructions": total, "slices": sum(map(len, units.values()))},
        "causes": CAUSES,
        "layers": [_layer(each) for each in layers[:MOST_LAYERS]],
        "machines": _machines(profile),
        "memory": memory,
        "memory_rows": ROWS,
        "memory_note": note,
        "counters": {
            unit: {"busy": counters.busy, "stalls": dict(counters.stalls)} for unit, counters in profile.units.items()
        },
        "host": [{"name": each.name, "seconds": each.seconds} for each in profile.host],
        "nodes": [
            {
                "name": node.name, "op": node.op, "device": node.device, "reason": node.reason, "region": node.region,
                "cycles": node.estimated_cycles, "macs": node.macs,
            }
            for node in nodes
        ],
        "names": list(names),
    }  # fmt: skip


def _layer(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name, "region": layer.region, "op": layer.operator,
        "where": f"{layer.processor}, {layer.region}", "nodes": layer.nodes, "cycles": layer.cycles,
        "macs": layer.macs, "utilization": layer.utilization,
        "time": [layer.time.get(cause, 0) for cause in CAUSES], "active": dict(layer.active),
        "read": layer.read_bytes, "written": layer.write_bytes,
    }  # fmt: skip


def _runs(slices: tuple[Slice, ...], most: int) -> list[list[Slice]]:
    """Neighbours that are drawn as one: of one node, and no farther apart than it takes to have at most `most` of them.
    Where even that is too many, neighbours of several nodes become one."""
    runs = [[each] for each in slices]
    gap = 1
    while len(runs) > most:
        merged = [runs[0]]
        for run in runs[1:]:
            last = merged[-1]
            near = run[0].offset + run[0].shown - last[-1].offset - last[-1].end <= gap
            if near and (last[0].node == run[0].node or gap > 1 << 16):
                last.extend(run)
            else:
                merged.append(run)
        runs, gap = merged, gap * 4
    return runs


def _row(run: list[Slice], names: dict[str, int]) -> list[Any]:
    """start, end, node name's index, first instruction, its opcode, and how many there are: on the common time axis."""
    first, last = run[0], run[-1]
    name = names.setdefault(first.node, len(names))
    row = [first.offset + first.shown, last.offset + last.end, name, first.instruction, first.opcode]
    return row if len(run) == 1 else [*row, len(run)]


def _machines(profile: Profile) -> list[dict[str, Any]]:
    used = {region.processor.name: region.processor for region in profile.regions}
    return [
        {
            "name": each.name,
            "peak": each.macs_per_cycle,
            "bytes_per_cycle": machine_of(each).dram_bytes_per_cycle if is_npu(each) else 0,
        }
        for each in used.values()
    ]


def _memory(profile: Profile, names: dict[str, int]) -> tuple[list[dict[str, Any]], str]:
    maps, offset, partial = [], 0, False
    for region in profile.regions:
        found = memory_map(region)
        partial |= found.seen < min(found.instructions, MOST_INSTRUCTIONS + 1)
        maps.append(_map(region.name, found, offset, names))
        offset += region.cycles
    note = f"Only the first {MOST_INSTRUCTIONS:,} instructions of a region were looked at." if partial else ""
    return maps, note


def _map(name: str, found: MemoryMap, offset: int, names: dict[str, int]) -> dict[str, Any]:
    def index(node: str) -> int:
        return names.setdefault(node, len(names)) if node else -1

    row_bytes = found.scratchpad_bytes / ROWS
    areas = [
        {
            "name": area,
            "bytes": size,
            "rectangles": [
                [each.low, each.high, each.first + offset, each.last + offset, index(each.node)]
                for each in found.tenants
                if each.area == area
            ][:MOST_TENANTS],
        }
        for area, size in found.area_bytes.items()
    ]
    rows = [
        [round(row * row_bytes), round((row + 1) * row_bytes), first + offset, last + offset, index(node)]
        for row, first, last, node in found.runs
    ]
    return {"region": name, "areas": areas, "scratchpad_bytes": found.scratchpad_bytes, "rows": rows}


def _control(executable: Executable | None, profile: Profile, title: str) -> dict[str, Any]:
    """The control-flow graph of a model that has one, as a data URL."""
    if executable is None or executable.control is None:
        return {"control": "", "control_note": ""}
    graph = control_flow_graph(executable, profile.paths)
    url = picture_url(render_flow(graph, title, len(profile.paths)))
    note = "" if url else "The picture is too large for this page; weft explain --control-flow writes it to a file."
    return {"control": url, "control_note": note}


def _partition(executable: Executable | None, title: str) -> dict[str, Any]:
    """The candidates that were compared, and the picture as a data URL: an image runs no scripts."""
    if executable is None:
        return {"partition": None, "picture": "", "picture_note": ""}
    url = picture_url(render_picture(executable, title))
    note = "The picture of the partition is too large for this page; weft explain --picture writes it to a file."
    note = "" if url else note
    report = executable.partition
    chosen = None
    if report is not None:
        rows = [{**each.__dict__, "total": each.total} for each in report.candidates]
        chosen = {"host": report.host_profile, "chosen": report.chosen, "candidates": rows}
    return {"partition": chosen, "picture": url, "picture_note": note}
