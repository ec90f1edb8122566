"""A picture of a control-flow graph: sub-networks as boxes, decisions as diamonds, loops and launches as frames.

Self-contained SVG without scripts, for light and dark pages. Lines are as wide as they are taken often; the way of most
samples has a color of its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from weft.report.control_flow import Paths, control_flow_graph, rounds_text
from weft.report.files import write_text
from weft.report.flow_shapes import (
    LEAF_WIDTH,
    LETTER,
    MOST_LETTERS,
    Diamond,
    Flow,
    Fork,
    Frame,
    Leaf,
    Shape,
    Stack,
    arrow,
    escaped,
    shortened,
)
from weft_runtime.executable import Executable

__all__ = ["MOST_SHAPES", "render_flow", "write_flow"]

MOST_SHAPES = 2000
"""Statements that are drawn; what is behind them is counted."""

MARGIN, TITLE, FOOT = 24, 40, 104
Items = Sequence[dict[str, Any]]
STYLE = """
.flow{--paper:#fff;--ink:#1a202c;--faint:#4a5568;--way:#2b6cb0;--hot:#c2410c;--never:#8a94a6;--device:#e6f0fb;
--device-edge:#2b6cb0;--host:#eef0f3;--host-edge:#5f6b7d;--decision:#fff4d6;--decision-edge:#8a6100;--launch:#f3faf5;
--launch-edge:#2f7d4f;--loop:#f6f2fc;--loop-edge:#6b46c1;background:var(--paper)}
@media (prefers-color-scheme:dark){.flow{--paper:#12161d;--ink:#edf2f7;--faint:#a9b4c4;--way:#7fb3f0;--hot:#ff9a5c;
--never:#7c8798;--device:#172a41;--device-edge:#7fb3f0;--host:#232a35;--host-edge:#98a4b5;--decision:#3a2f10;
--decision-edge:#e0b84a;--launch:#14271c;--launch-edge:#6cc592;--loop:#241d35;--loop-edge:#b79cf0}}
.flow text{font:12px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:var(--ink)}
.flow .name{font-weight:bold}.flow .fine{fill:var(--faint)}.flow .small{font-size:10px;fill:var(--faint)}
.flow .middle{text-anchor:middle}.flow .label{paint-order:stroke;stroke:var(--paper);stroke-width:4px;
stroke-linejoin:round}.flow .label-hot{fill:var(--hot);font-weight:bold}.flow .label-never{fill:var(--faint)}
.flow .line{fill:none;stroke:var(--way)}.flow .line.hot{stroke:var(--hot)}
.flow .line.never{stroke:var(--never);stroke-dasharray:4 4}.flow .head{fill:var(--way);stroke:none}
.flow .head.hot,.flow .head.back-hot{fill:var(--hot)}.flow .head.never,.flow .head.back-never{fill:var(--never)}
.flow .box{fill:var(--host);stroke:var(--host-edge);stroke-width:1.5}
.flow .device .box,.flow .work .box{fill:var(--device);stroke:var(--device-edge)}
.flow .box-hot .box{stroke:var(--hot);stroke-width:2.5}.flow .box-never .box{stroke:var(--never);stroke-dasharray:4 4}
.flow .load{fill:var(--hot)}.flow .diamond{fill:var(--decision);stroke:var(--decision-edge);stroke-width:1.5}
.flow .frame{stroke-width:1.5}.flow .loop .frame{fill:var(--loop);stroke:var(--loop-edge);stroke-dasharray:8 4}
.flow .launch .frame{fill:var(--launch);stroke:var(--launch-edge);stroke-width:3}
.flow .meet{fill:var(--faint)}.flow .port{fill:var(--ink)}
"""


def write_flow(executable: Executable, path: str | os.PathLike[str], title: str, paths: Paths = ()) -> None:
    """Writes the picture as an SVG file. Raises ReportError if that cannot be."""
    write_text(path, render_flow(control_flow_graph(executable, paths), f"{title} for {executable.target}", len(paths)))


def render_flow(graph: Items, title: str, samples: int = 0) -> str:
    """The picture of what `control_flow_graph` gave, after a run of so many samples (0: none), as an SVG's text."""
    builder = _Builder(graph, samples)
    flow = Flow(1.0 if samples else None, bool(samples))
    body = builder.stack(graph, flow)
    told = f"{samples:,} samples" if samples else "nothing was run: lines do not tell frequencies"
    width = max(body.width, 2.2 * LEAF_WIDTH, LETTER * min(len(title), 90)) + 2 * MARGIN
    height = body.height + 2 * MARGIN + TITLE + FOOT + 40
    x, y = (width - body.width) / 2, MARGIN + TITLE + 18
    at = x + body.axis
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="flow" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        f"<title>{escaped(title, 300)}</title><style>{STYLE}</style>",
        '<rect width="100%" height="100%" style="fill:var(--paper)"/>',
        f'<text class="name" x="{MARGIN}" y="{MARGIN + 6}">{escaped(title, 90)}</text>',
        f'<text class="fine" x="{MARGIN}" y="{MARGIN + 24}">{told}</text>',
        arrow(at, y - 12, y, flow),
        *body.draw(x, y),
        arrow(at, y + body.height, y + body.height + 18, flow),
        f'<circle class="port" cx="{at:.1f}" cy="{y - 14:.1f}" r="5"/>',
        f'<circle class="port" cx="{at:.1f}" cy="{y + body.height + 22:.1f}" r="5"/>',
        *_legend(MARGIN, height - FOOT + 8, width - MARGIN, bool(samples)),
        "</svg>",
    ]
    return "\n".join(filter(None, parts)) + "\n"


class _Builder:
    """Turns the graph into shapes."""

    def __init__(self, graph: Items, samples: int) -> None:
        self._samples = samples
        self._left = MOST_SHAPES
        self._cycles = sum(map(_expected, _launches(graph))) or 1

    def stack(self, items: Items, flow: Flow) -> Stack:
        """Statements one below the other."""
        shapes: list[Shape] = []
        for place, item in enumerate(items):
            if self._left <= 0:
                shapes.append(Leaf([f"… {len(items) - place:,} more"], "host", flow))
                break
            self._left -= 1
            shapes.append(self._shape(item, flow))
        return Stack(shapes, flow)

    def _shape(self, item: dict[str, Any], flow: Flow) -> Shape:
        match item["kind"]:
            case "branch":
                return self._branch(item, flow, "the host decides")
            case "loop":
                return self._loop(item, flow)
            case "work":
                return Leaf([f"{item['macs']:,} MACs", *(["on every way"] if item.get("always") else [])], "work", flow)
        return self._launch(item, flow)

    def _launch(self, item: dict[str, Any], flow: Flow) -> Shape:
        parts = [shortened(part, MOST_LETTERS) for part in item["parts"]] or ["nothing to do"]
        if len(parts) > 6:
            parts = [*parts[:5], f"… {len(parts) - 5:,} more parts"]
        load = _expected(item) / self._cycles if self._samples else 0.0
        if not item["decisions"]:
            often = [f"ran {item['runs'] / self._samples:.2f} times per sample"] if self._samples else []
            kind = "device" if item["on_device"] else "host"
            lines = (_name(item), *parts, *often)
            return Leaf([shortened(line, MOST_LETTERS) for line in lines], kind, flow, load)
        work = [{"kind": "work", "macs": item["macs"], "always": True}] if item["macs"] else []
        return Frame(
            f"one launch: {', '.join(parts)}", "decided on the device; the cycles are those of the longest way",
            self._decided([*work, *item["decisions"]], flow), "launch", load=load,
        )  # fmt: skip

    def _decided(self, items: Items, flow: Flow) -> Stack:
        """What a launch decides by itself."""
        return self.stack([{**each, "by_device": True} for each in items], flow)

    def _branch(self, item: dict[str, Any], flow: Flow, decider: str) -> Shape:
        outcomes, total = item["outcomes"], sum(item["outcomes"].values())
        most = max(outcomes, key=lambda way: (outcomes[way], way == "then"), default="")
        ways, labels = [], []
        for way, inner in (("then", item["then"]), ("else", item["otherwise"])):
            count = outcomes.get(way, 0)
            share = min(1.0, count / self._samples) if self._samples else None
            own = Flow(share, flow.hot and way == most and count > 0)
            by_device = item.get("by_device", False)
            ways.append(self._decided(inner, own) if by_device else self.stack(inner, own))
            labels.append(f"{way} {count / total:.0%}" if total else f"{way} never" if self._samples else way)
        who = "the device decides" if item.get("by_device") else decider
        return Fork(Diamond(item["name"], who), (ways[0], ways[1]), (labels[0], labels[1]))

    def _loop(self, item: dict[str, Any], flow: Flow) -> Shape:
        outcomes, total = item["outcomes"], sum(item["outcomes"].values())
        rounds = sum(int(name) * count for name, count in outcomes.items())
        share = min(1.0, rounds / self._samples) if self._samples else None
        own = Flow(share, flow.hot and rounds > 0)
        body = self._decided(item["body"], own) if item.get("by_device") else self.stack(item["body"], own)
        limits = " and ".join(item["limits"]) or "without a limit"
        ends = limits if item.get("by_device") else f"ends by {limits}"
        back = f"× {rounds / total:.1f}" if total else ""
        return Frame(f"loop {item['name']}", f"{ends}{rounds_text(outcomes)}", body, "loop", back)


def _name(item: dict[str, Any]) -> str:
    """The sub-network's name, and as many of its operators as fit."""
    line = str(item["network"])
    for place, operator in enumerate(item["operators"]):
        longer = f"{line}{', ' if place else ': '}{operator}"
        if len(longer) > MOST_LETTERS - 3:
            return f"{line}{', …' if place else ': …'}"
        line = longer
    return line


def _launches(items: Items) -> list[dict[str, Any]]:
    found = []
    for item in items:
        if item["kind"] == "launch":
            found.append(item)
        for key in ("then", "otherwise", "body"):
            found += _launches(item.get(key, ()))
    return found


def _expected(item: dict[str, Any]) -> int:
    """A launch's estimated cycles over all samples."""
    return int(item["cycles"]) * int(item["runs"] or 0)


def _legend(x: float, y: float, right: float, measured: bool) -> list[str]:
    """What the colors and lines mean."""
    entries = [
        ('<rect class="box" width="26" height="14" rx="3"/>', "device", "on the accelerator"),
        ('<rect class="box" width="26" height="14" rx="3"/>', "host", "on the host"),
        ('<polygon class="diamond" points="13,0 26,7 13,14 0,7"/>', "decision", "decision"),
        ('<rect class="frame" width="26" height="14" rx="4"/>', "loop", "loop"),
        ('<rect class="frame" width="26" height="14" rx="4"/>', "launch", "one launch, decided inside"),
    ]
    lines = [
        ('<path class="line hot" stroke-width="6" d="M0 7H26"/>', "", "way of most samples"),
        ('<path class="line way" stroke-width="3" d="M0 7H26"/>', "", "taken (width: how often)"),
        ('<path class="line never" stroke-width="1.5" d="M0 7H26"/>', "", "never taken"),
        ('<rect class="load" y="5" width="26" height="5"/>', "", "share of all cycles"),
    ]
    drawn, at, row = [], x, 0
    for mark, kind, meaning in (*entries, *(lines if measured else ())):
        width = 33 + LETTER * len(meaning) + 18
        if at > x and at + width > right:
            at, row = x, row + 1
        drawn.append(f'<g class="{kind}" transform="translate({at:.1f} {y + 24 * row:.1f})">{mark}')
        drawn.append(f'<text class="fine" x="33" y="11">{meaning}</text></g>')
        at += width
    return drawn
