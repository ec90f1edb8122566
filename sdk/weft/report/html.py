"""A self-contained HTML page about one run: totals, zoomable timeline, layers, units. It loads nothing from
anywhere."""

from __future__ import annotations

import json
import os
from importlib import resources
from typing import Any

from weft.report.files import write_text
from weft.report.slices import Slice, timeline_of
from weft_runtime.executable import NodeReport
from weft_runtime.profile import Profile

__all__ = ["render_html", "write_html"]

PLACEHOLDER = "/*DATA*/null"


def write_html(
    profile: Profile,
    path: str | os.PathLike[str],
    title: str = "Weft run",
    nodes: tuple[NodeReport, ...] = (),
) -> None:
    """Write the page. Raises ReportError if the device recorded no events or the file cannot be written."""
    write_text(path, render_html(profile, title, nodes))


def render_html(profile: Profile, title: str = "Weft run", nodes: tuple[NodeReport, ...] = ()) -> str:
    """The page as text. `nodes` (from `Executable.nodes`) adds where each node of the model runs, and why."""
    page = resources.files("weft.report").joinpath("page.html").read_text(encoding="utf-8")
    text = json.dumps(_data(profile, title, nodes), separators=(",", ":"))
    # Names come from untrusted models: no character of theirs may end the script element.
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return page.replace(PLACEHOLDER, safe, 1)


def _data(profile: Profile, title: str, nodes: tuple[NodeReport, ...]) -> dict[str, Any]:
    timeline = timeline_of(profile)
    names: dict[str, int] = {}
    units = {unit: [_row(each, names) for each in slices] for unit, slices in timeline.units.items() if slices}
    return {
        "title": title,
        "totals": profile.to_dict(),
        "cycles": timeline.cycles,
        "clock_mhz": profile.clock_mhz,
        "regions": [[span.name, span.start, span.end] for span in timeline.regions],
        "names": list(names),
        "units": units,
        "layers": [
            {"name": node.name, "region": node.region, "cycles": node.cycles, "active": dict(node.active)}
            for node in profile.nodes
        ],
        "counters": {
            unit: {"busy": counters.busy, "stalls": dict(counters.stalls)} for unit, counters in profile.units.items()
        },
        "host": [{"name": each.name, "seconds": each.seconds} for each in profile.host],
        "nodes": [{"name": node.name, "op": node.op, "device": node.device, "reason": node.reason} for node in nodes],
    }


def _row(each: Slice, names: dict[str, int]) -> list[Any]:
    """start, end, node name's index, instruction, opcode: on the common time axis."""
    name = names.setdefault(each.node, len(names))
    return [each.offset + each.shown, each.offset + each.end, name, each.instruction, each.opcode]
