"""The report as Markdown for people and as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtl_coverage.data import Point
from rtl_coverage.exclusions import Exclusion
from rtl_coverage.summary import Module, Ratio, total

__all__ = ["Report", "write_json", "write_markdown"]


@dataclass(frozen=True)
class Report:
    """What was measured: by which runs, of which sources (each file's lines), with which exclusions."""

    modules: tuple[Module, ...]
    runs: tuple[str, ...]
    sources: Mapping[str, Sequence[str]]
    excluded: Mapping[Point, Exclusion]

    @property
    def lines(self) -> Ratio:
        return total(module.line_ratio for module in self.modules)

    @property
    def branches(self) -> Ratio:
        return total(module.arm_ratio for module in self.modules)

    @property
    def toggles(self) -> Ratio:
        return total(module.toggles for module in self.modules)

    def text(self, file: str, line: int) -> str:
        return self.sources[file][line - 1].strip()


def write_markdown(report: Report, path: Path) -> None:
    """A table of the modules, then everything that is not covered with its source text, then the exclusions."""
    parts = [
        "# Coverage of rtl/src",
        "Runs: " + "; ".join(report.runs) + ".",
        "\n".join(_table(report)),
        "## Not covered",
        "\n".join(_uncovered(report)) or "Nothing.",
        "## Excluded",
        "\n".join(_exclusions(report)) or "Nothing.",
        "## Signals with edges that never came",
        "\n".join(_still(report)) or "None.",
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def write_json(report: Report, path: Path) -> None:
    """The same, for programs."""

    def ratios(lines: Ratio, branches: Ratio, toggles: Ratio) -> dict[str, Any]:
        named = {"lines": lines, "branches": branches, "toggles": toggles}
        return {name: {**dataclasses.asdict(value), "percent": value.percent} for name, value in named.items()}

    content = {
        "runs": report.runs,
        **ratios(report.lines, report.branches, report.toggles),
        "modules": {
            module.file: {
                **ratios(module.line_ratio, module.arm_ratio, module.toggles),
                "uncovered_lines": module.uncovered_lines,
                "uncovered_branches": [_arm(point) for point in module.uncovered_arms],
                "uncovered_toggles": module.still,
                "excluded": [
                    {**_arm(point), "reason": report.excluded[point].reason} for point in sorted(module.excluded)
                ],
            }
            for module in report.modules
        },
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _arm(point: Point) -> dict[str, Any]:
    return {"line": point.line, "column": point.column, "branch": point.comment}


def _table(report: Report) -> list[str]:
    rows = ["| module | lines | % | branches | % | toggles | % |", "|---|--:|--:|--:|--:|--:|--:|"]

    def row(name: str, *ratios: Ratio) -> str:
        return f"| {name} | " + " | ".join(f"{ratio} | {ratio.percent:.1f}" for ratio in ratios) + " |"

    for module in report.modules:
        rows.append(row(module.file.removesuffix(".sv"), module.line_ratio, module.arm_ratio, module.toggles))
    rows.append(row("**all**", report.lines, report.branches, report.toggles))
    return rows


def _uncovered(report: Report) -> list[str]:
    found = []
    for module in report.modules:
        places = [(line, 0, "line") for line in module.uncovered_lines]
        places += [(point.line, point.column, point.comment) for point in module.uncovered_arms]
        found += [
            f"- {module.file}:{line} {what}: `{report.text(module.file, line)}`" for line, _, what in sorted(places)
        ]
    return found


def _exclusions(report: Report) -> list[str]:
    reasons: dict[Exclusion, list[int]] = {}
    for point, exclusion in sorted(report.excluded.items(), key=lambda item: item[0]):
        reasons.setdefault(exclusion, []).append(point.line)
    return [
        f"- {exclusion.file}:{', '.join(map(str, lines))} {', '.join(exclusion.kinds)} `{exclusion.text}`: "
        f"{exclusion.reason}"
        for exclusion, lines in reasons.items()
    ]


def _still(report: Report) -> list[str]:
    return [
        f"- {module.file}: " + ", ".join(f"{name} {count}" for name, count in module.still.items())
        for module in report.modules
        if module.still
    ]
