"""The sources as one HTML page, each line with its count and colour."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path

from rtl_coverage.report import Report
from rtl_coverage.summary import Module

__all__ = ["write_page"]

_STYLE = (
    "body{font:14px sans-serif;margin:2em}pre{margin:0;font:12px monospace}"
    ".covered{background:#e3f6e3}.missed{background:#f8caca}.partly{background:#fdf0c0}.excluded{background:#e2e2e2}"
    "i{color:#777;display:inline-block;width:10em;text-align:right;margin-right:1em;font-style:normal}"
)


def write_page(report: Report, path: Path) -> None:
    """Green: executed; yellow: executed, but not every branch was taken; red: never; grey: excluded."""
    parts = [f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Coverage of the RTL</title><style>{_STYLE}']
    parts.append("</style><h1>Coverage of rtl/src</h1><ul>")
    parts += [_entry(module) for module in report.modules]
    parts.append("</ul>")
    for module in report.modules:
        parts.append(f'<h2 id="{html.escape(module.file)}">{html.escape(module.file)}</h2>')
        parts += _source(report, module)
    path.write_text("\n".join(parts) + "</html>\n", encoding="utf-8")


def _entry(module: Module) -> str:
    name = html.escape(module.file)
    return (
        f'<li><a href="#{name}">{name}</a> lines {module.line_ratio.percent:.1f} %, '
        f"branches {module.arm_ratio.percent:.1f} %, toggles {module.toggles.percent:.1f} %"
    )


def _source(report: Report, module: Module) -> Iterator[str]:
    missed: dict[int, list[str]] = {}
    for point in module.uncovered_arms:
        missed.setdefault(point.line, []).append(point.comment)
    for number, text in enumerate(report.sources[module.file], start=1):
        count = module.lines.get(number)
        kind = "" if count is None else "covered" if count else "missed"
        if number in module.excluded_lines:
            kind = "excluded"
        elif number in missed and count:
            kind = "partly"
        title = f' title="never: {html.escape(", ".join(missed[number]))}"' if number in missed else ""
        shown = "" if count is None else str(count)
        yield f'<pre class="{kind}"{title}><i>{shown} · {number}</i>{html.escape(text)}</pre>'
