"""Counts of points become covered and uncovered lines, branches and toggles of each module."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rtl_coverage.data import Point

__all__ = ["Module", "Ratio", "summarize", "total"]

_BIT = re.compile(r"((?:\[\d+\])*):[01]->[01]$")


@dataclass(frozen=True)
class Ratio:
    """How many of how many."""

    covered: int
    all: int

    @property
    def percent(self) -> float:
        """100 where there is nothing to cover."""
        return 100.0 * self.covered / self.all if self.all else 100.0

    def __str__(self) -> str:
        return f"{self.covered} of {self.all}"


@dataclass(frozen=True)
class Module:
    """One source file. A line is covered when any point that executes it is; a branch is one way out of an if, a case
    or a ?:; a toggle is one edge of one bit."""

    file: str
    lines: Mapping[int, int]  # number: count, without the excluded ones
    arms: Mapping[Point, int]  # likewise
    excluded: frozenset[Point]
    excluded_lines: frozenset[int]
    toggles: Ratio
    still: Mapping[str, int]  # signals, and how many edges of theirs never came

    @property
    def line_ratio(self) -> Ratio:
        return _ratio(self.lines.values())

    @property
    def arm_ratio(self) -> Ratio:
        return _ratio(self.arms.values())

    @property
    def uncovered_lines(self) -> list[int]:
        return sorted(line for line, count in self.lines.items() if not count)

    @property
    def uncovered_arms(self) -> list[Point]:
        return sorted(point for point, count in self.arms.items() if not count)


def summarize(counts: Counter[Point], excluded: Collection[Point]) -> list[Module]:
    """Per file, in order of their names."""
    files: dict[str, list[Point]] = defaultdict(list)
    for point in counts:
        files[point.file].append(point)
    return [_module(file, files[file], counts, excluded) for file in sorted(files)]


def total(ratios: Iterable[Ratio]) -> Ratio:
    """Of all modules together."""
    found = list(ratios)
    return Ratio(sum(ratio.covered for ratio in found), sum(ratio.all for ratio in found))


def _module(file: str, points: Sequence[Point], counts: Counter[Point], excluded: Collection[Point]) -> Module:
    lines: dict[int, int] = {}
    named_by: dict[int, set[Point]] = defaultdict(set)
    code = [point for point in points if point.is_code]
    for point in code:
        for line in point.lines:
            lines[line] = max(lines.get(line, 0), counts[point])
            named_by[line].add(point)
    left_out = {line for line, names in named_by.items() if all(point in excluded for point in names)}
    toggles = [point for point in points if point.kind == "toggle"]
    still = Counter(_BIT.sub("", point.comment) for point in toggles if not counts[point])
    return Module(
        file,
        {line: count for line, count in lines.items() if line not in left_out},
        {point: counts[point] for point in code if point.is_arm and point not in excluded},
        frozenset(point for point in code if point in excluded),
        frozenset(left_out),
        _ratio(counts[point] for point in toggles),
        dict(sorted(still.items())),
    )


def _ratio(counts: Iterable[int]) -> Ratio:
    found = list(counts)
    return Ratio(sum(count > 0 for count in found), len(found))
