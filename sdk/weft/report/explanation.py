"""A self-contained HTML page about a compiled model: control flow, decisions, partition, nodes. It has no scripts."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any

from weft.report.control_flow import Paths, decisions_in, rounds_text, shares_text
from weft.report.files import write_text
from weft.report.flow_picture import render_flow
from weft.report.flow_shapes import escaped
from weft.report.picture import render_picture
from weft_runtime.executable import Executable

__all__ = ["MOST_NODES", "MOST_PICTURE_BYTES", "picture_url", "render_explanation", "write_explanation"]

MOST_NODES = 5_000
MOST_PICTURE_BYTES = 2_000_000
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
NODE_COLUMNS = ("node", "operator", "runs on", "region", "estimated cycles", "why")


def write_explanation(
    executable: Executable, explained: dict[str, Any], path: str | os.PathLike[str], title: str, paths: Paths = ()
) -> None:
    """Writes the page about what `explain` said. Raises ReportError if that cannot be."""
    write_text(path, render_explanation(executable, explained, title, paths))


def render_explanation(
    executable: Executable, explained: dict[str, Any], title: str, paths: Paths = ()
) -> str:  # fmt: skip
    """The page as text."""
    style = resources.files("weft.report").joinpath("page", "style.css").read_text(encoding="utf-8")
    name = escaped(title, 300)
    return "\n".join((
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><title>{name}</title>',
        f"<style>{style}</style></head><body><header><div><h1>{name}</h1></div></header><main>",
        *_totals(executable),
        *_control(explained["control"], f"{title} for {executable.target}", len(paths)),
        *_partition(executable, title),
        *_nodes(explained["nodes"]),
        "</main></body></html>",
    )) + "\n"  # fmt: skip


def picture_url(picture: str) -> str:
    """An SVG as a data URL: an image runs no scripts. Empty where it is too large for a page."""
    content = picture.encode()
    if len(content) > MOST_PICTURE_BYTES:
        return ""
    return "data:image/svg+xml;base64," + base64.b64encode(content).decode()


def _totals(executable: Executable) -> Iterator[str]:
    share = executable.offloaded_macs / executable.macs if executable.macs else 0.0
    figures = {
        "target": executable.target,
        "nodes": f"{sum(each.device != 'host' for each in executable.nodes):,} of {len(executable.nodes):,} offloaded",
        "MACs": f"{executable.offloaded_macs:,} offloaded ({share:.1%})",
        "regions": f"{len(executable.regions):,}",
        "host graphs": f"{len(executable.host_graphs):,}",
    }
    yield "<dl>"
    yield from (f"<div><dt>{name}</dt><dd>{escaped(value, 200)}</dd></div>" for name, value in figures.items())
    yield "</dl>"


def _control(graph: Sequence[dict[str, Any]], title: str, samples: int) -> Iterator[str]:
    if not graph:
        return
    yield "<section><h2>Control flow</h2>"
    yield _image(render_flow(graph, title, samples), "The control-flow graph", "--control-flow", "flow")
    rows = [
        (each["name"], "loop" if each["kind"] == "loop" else "if", "the device" if by_device else "the host",
         _outcomes(each, samples))
        for each, by_device in decisions_in(graph)
    ]  # fmt: skip
    yield "<h3>Decisions</h3>"
    yield from _table(("decision", "kind", "taken by", "outcomes"), rows, text=range(4))
    yield "</section>"


def _outcomes(decision: dict[str, Any], samples: int) -> str:
    if not samples:
        return "nothing was run"
    total = sum(decision["outcomes"].values())
    written = rounds_text(decision["outcomes"]) if decision["kind"] == "loop" else shares_text(decision["outcomes"])
    return f"{total:,} times{written}" if total else "never reached"


def _partition(executable: Executable, title: str) -> Iterator[str]:
    yield "<section><h2>Where each node runs</h2>"
    yield _image(render_picture(executable, title), "The steps of the model and what crosses between them", "--picture")


def _image(picture: str, meaning: str, option: str, kind: str = "") -> str:
    url = picture_url(picture)
    if not url:
        return f"<p>The picture is too large for this page; weft explain {option} writes it to a file.</p>"
    return f'<div class="picture {kind}"><img src="{url}" alt="{meaning}"></div>'


def _nodes(nodes: Sequence[dict[str, Any]]) -> Iterator[str]:
    rows = [
        (each["name"], each["op"], each["device"], each["region"],
         f"{each['estimated_cycles']:,}" if each["device"] != "host" else "", each["reason"])
        for each in nodes[:MOST_NODES]
    ]  # fmt: skip
    yield "<h3>Nodes</h3>"
    if len(nodes) > MOST_NODES:
        yield f"<p>The first {MOST_NODES:,} of {len(nodes):,}.</p>"
    yield from _table(NODE_COLUMNS, rows, text=(0, 1, 2, 3, 5))
    yield "</section>"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[int]) -> Iterator[str]:
    def cells(row: Sequence[str], element: str) -> str:
        kinds = (' class="text wrap"' if place in text else "" for place in range(len(row)))
        return "".join(
            f"<{element}{kind}>{escaped(cell, 500)}</{element}>" for kind, cell in zip(kinds, row, strict=True)
        )

    yield f'<div class="scroll"><table><thead><tr>{cells(header, "th")}</tr></thead><tbody>'
    yield from (f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    yield "</tbody></table></div>"
