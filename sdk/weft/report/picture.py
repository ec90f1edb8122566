"""A picture of a compiled model: its steps from top to bottom, what runs in each, and what crosses between them.

Self-contained SVG. Every step (a region of an accelerator, or a part on the host) is a panel, in order of execution;
inside, a box for each operator stands below those that it reads, in the order that keeps lines short (the barycenter
heuristic of Sugiyama's layered drawings). Dashed lines cross between steps and carry the tensor's bytes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import onnx
from google.protobuf.message import DecodeError

from weft.report.errors import ReportError
from weft.report.files import write_text
from weft_runtime.executable import Executable, NodeReport, Step

__all__ = ["render_picture", "write_picture"]

WIDTH, HEIGHT = 190, 34
GAP_X, GAP_Y, MARGIN, TITLE = 22, 18, 16, 40
MOST_LETTERS = 28
COLORS = ("#2b6cb0", "#2f855a", "#b7791f", "#6b46c1", "#c05621", "#97266d")
"""One for each accelerator, in turn; the host is grey."""

HOST_COLOR = "#718096"
STYLE = (
    "text{font:11px sans-serif;fill:#1a202c}.title{font-weight:bold}.small{font-size:9px;fill:#4a5568}"
    ".line{fill:none;stroke:#a0aec0}.cross{fill:none;stroke:#c53030;stroke-dasharray:5 3}"
    ".bytes{font-size:9px;fill:#c53030}"
)


@dataclass(frozen=True)
class _Box:
    """An operator or node with the place of its upper left corner."""

    node: NodeReport
    x: float
    y: float


@dataclass(frozen=True)
class _Panel:
    """A step: its title, color, boxes, and upper and lower edge."""

    title: str
    color: str
    boxes: tuple[_Box, ...]
    top: float
    bottom: float


def write_picture(executable: Executable, path: str | os.PathLike[str], title: str) -> None:
    """Writes the picture as an SVG file. Raises ReportError if that cannot be."""
    write_text(path, render_picture(executable, title))


def render_picture(executable: Executable, title: str) -> str:
    """The picture as the text of an SVG file. Raises ReportError for a host graph that cannot be read."""
    panels: list[_Panel] = []
    top = float(MARGIN + TITLE)
    for step in executable.all_steps:
        name, color, nodes = _step(executable, step)
        panels.append(_panel(name, color, nodes, top))
        top = panels[-1].bottom + 2 * GAP_Y
    right = max((box.x + WIDTH for panel in panels for box in panel.boxes), default=WIDTH) + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{right:.0f}" height="{top:.0f}" '
        f'viewBox="0 0 {right:.0f} {top:.0f}">',
        f"<style>{STYLE}</style>",
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text class="title" x="{MARGIN}" y="{MARGIN + 6}">{_text(f"{title} for {executable.target}", 300)}</text>',
        *(_draw_panel(panel, right) for panel in panels),
        *_draw_lines(executable, panels),
        *(_draw_box(box, panel.color) for panel in panels for box in panel.boxes),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _step(executable: Executable, step: Step) -> tuple[str, str, list[NodeReport]]:
    """Title, color, and the nodes to draw, in graph order."""
    if step.kind == "device":
        region = executable.regions[step.index]
        processor = executable.processors[region.processor]
        nodes = [node for node in executable.nodes if node.region == region.name and node.writes]
        title = f"{region.name} on {processor.name}: {region.estimated_cycles:,} cycles, {region.macs:,} MACs"
        return title, COLORS[region.processor % len(COLORS)], nodes
    graph = executable.host_graphs[step.index]
    try:
        names = {node.name for node in onnx.load_model_from_string(graph.model).graph.node}
    except DecodeError as error:
        raise ReportError(f"host graph {graph.name!r} cannot be read: {error}") from error
    nodes = [node for node in executable.nodes if node.device == "host" and node.name in names]
    return f"{graph.name} on the host", HOST_COLOR, nodes


def _panel(title: str, color: str, nodes: Sequence[NodeReport], top: float) -> _Panel:
    makers = {name: index for index, node in enumerate(nodes) for name in node.writes}
    sources = [
        [makers[name] for name in node.reads if makers.get(name, index) < index] for index, node in enumerate(nodes)
    ]
    levels: list[int] = []
    for index in range(len(nodes)):
        levels.append(1 + max((levels[source] for source in sources[index]), default=-1))
    columns: dict[int, float] = {}
    boxes: list[_Box] = []
    for level in range(max(levels, default=-1) + 1):
        row = [index for index in range(len(nodes)) if levels[index] == level]
        wanted = {index: _mean([columns[source] for source in sources[index]]) for index in row}
        free = 0.0
        for index in sorted(row, key=lambda each: (wanted[each], each)):
            columns[index] = free = max(free, wanted[index] if len(row) == 1 else free)
            free += 1
            x = 2 * MARGIN + columns[index] * (WIDTH + GAP_X)
            boxes.append(_Box(nodes[index], x, top + TITLE + level * (HEIGHT + GAP_Y)))
    bottom = top + TITLE + (max(levels, default=-1) + 1) * (HEIGHT + GAP_Y)
    return _Panel(title, color, tuple(boxes), top, bottom)


def _mean(columns: Sequence[float]) -> float:
    return sum(columns) / len(columns) if columns else 0.0


def _draw_panel(panel: _Panel, right: float) -> str:
    return (
        f'<rect x="{MARGIN}" y="{panel.top:.0f}" width="{right - 2 * MARGIN:.0f}" '
        f'height="{panel.bottom - panel.top:.0f}" rx="6" fill="{panel.color}" fill-opacity="0.08" '
        f'stroke="{panel.color}"/>'
        f'<text class="title" x="{MARGIN + 8}" y="{panel.top + 16:.0f}">{_text(panel.title, 200)}</text>'
    )


def _draw_box(box: _Box, color: str) -> str:
    node = box.node
    cost = {each.processor: each.nanoseconds / 1000 for each in node.costs}.get(node.device)
    cycles = f"{node.estimated_cycles:,} cycles" if node.device != "host" else ""
    detail = cycles or ("" if cost is None else f"{cost:,.1f} µs")
    return (
        f"<g><title>{_text(f'{node.name}: {node.reason}', 500)}</title>"
        f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="4" fill="white" '
        f'stroke="{color}" stroke-width="1.5"/>'
        f'<text x="{box.x + 6:.0f}" y="{box.y + 14:.0f}">{_text(node.name, MOST_LETTERS)}</text>'
        f'<text class="small" x="{box.x + 6:.0f}" y="{box.y + 27:.0f}">{_text(f"{node.op}  {detail}", 40)}</text></g>'
    )


def _draw_lines(executable: Executable, panels: Sequence[_Panel]) -> list[str]:
    """Lines from makers to readers; those between panels with the bytes that the tensor takes on the accelerator."""
    sizes = {
        binding.name: binding.layout.nbytes
        for region in executable.regions
        for binding in (*region.inputs, *region.outputs)
    }
    made: dict[str, tuple[int, _Box]] = {}
    lines: list[str] = []
    labelled: set[tuple[str, int]] = set()
    for number, panel in enumerate(panels):
        made.update({name: (number, box) for box in panel.boxes for name in box.node.writes})
    inputs = {signature.name for signature in executable.inputs}
    for number, panel in enumerate(panels):
        for box in panel.boxes:
            for name in box.node.reads:
                first = (name, number) not in labelled
                if name in made and made[name][0] <= number:
                    crosses = made[name][0] != number
                    lines.append(_line(made[name][1], box, sizes.get(name) if crosses and first else None, crosses))
                elif name in inputs and first:
                    lines.append(_arrival(box, name, sizes.get(name)))
                labelled.add((name, number))
    return lines


def _line(source: _Box, target: _Box, size: int | None, crosses: bool) -> str:
    x1, y1, x2, y2 = source.x + WIDTH / 2, source.y + HEIGHT, target.x + WIDTH / 2, target.y
    bend = max(12.0, min(40.0, (y2 - y1) / 2))
    path = f"M{x1:.0f} {y1:.0f}C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}"
    label = "" if size is None else _label(x2, y2, f"{size:,} B")
    return f'<path class="{"cross" if crosses else "line"}" d="{path}"/>{label}'


def _arrival(box: _Box, name: str, size: int | None) -> str:
    """A model input: a short line from above with its name."""
    x = box.x + WIDTH / 2
    text = f"{name}" if size is None else f"{name}: {size:,} B"
    return f'<path class="cross" d="M{x:.0f} {box.y - 14:.0f}V{box.y:.0f}"/>{_label(x, box.y, text)}'


def _label(x: float, y: float, text: str) -> str:
    return f'<text class="bytes" x="{x + 4:.0f}" y="{y - 4:.0f}">{_text(text, 40)}</text>'


def _text(text: str, most: int) -> str:
    printable = "".join(char if char.isprintable() else "?" for char in text)
    if len(printable) > most:
        printable = printable[: most // 2 - 1] + "…" + printable[-(most - most // 2) :]
    return escape(printable)
