"""Verilator's coverage files: read, and merged over hierarchies, parameters and configurations.

A line of such a file is `C '<keys and values>' <count>`, where \\x01 precedes a key and \\x02 a value. The keys used
here: `f` file, `l` line, `n` column, `t` type (line, branch, toggle, user), `o` comment (block, if, else, elsif, case,
cond_then, cond_else, or the signal and its edge), `S` the lines that are executed with the point (`3-5,8`). `page` and
`h` name the module with its parameters and the instance; points that differ in these alone are one point of the source.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CoverageError", "Point", "credit_returns", "merge", "parse"]

_HEADER = "# SystemC::Coverage-3"
_LINE = re.compile(r"C '((?:\x01[^\x01\x02]+\x02[^\x01\x02]*)+)' (\d+)")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")
_QUOTED = re.compile(r"%([0-9A-F]{2})")
_ARMS_OF_STATEMENTS = ("if", "else", "elsif", "case")
_LAST_LINE = 100_000


class CoverageError(Exception):
    """A file is not what it should be, or a part of the measurement failed: the message says where and why."""


@dataclass(frozen=True, order=True)
class Point:
    """A place in the source that counts how often it is passed."""

    file: str  # name within the sources' folder
    line: int
    column: int
    kind: str  # line, branch, toggle or user
    comment: str
    lines: tuple[int, ...]  # executed with it

    @property
    def is_arm(self) -> bool:
        """Whether it is one way out of an if, a case or a ?:; Verilator's type `branch` is only a part of these."""
        return self.is_code and self.comment != "block"

    @property
    def is_code(self) -> bool:
        """Whether it is a block or a branch."""
        return self.kind in ("line", "branch")


def parse(path: Path, folder: str) -> Counter[Point]:
    """Counts of the points in sources that lie directly in `folder` by their names in the file; others (benches,
    packages of Verilator) are left out.

    Raises CoverageError when the file cannot be read or is not in the format.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CoverageError(f"{path}: cannot be read: {error}") from error
    if not lines or lines[0] != _HEADER:
        raise CoverageError(f"{path}: does not begin with {_HEADER!r}: no coverage file of this Verilator")
    counts: Counter[Point] = Counter()
    for number, text in enumerate(lines[1:], start=2):
        try:
            fields, count = _fields(text)
            source = Path(fields["f"])
            if source.parent.as_posix() == folder:
                counts[_point(source.name, fields)] += count
        except (KeyError, ValueError) as error:
            raise CoverageError(f"{path}:{number}: no coverage point ({error})") from error
    return counts


def merge(parts: Iterable[Counter[Point]]) -> Counter[Point]:
    """The sum of all; points that never counted are kept."""
    total: Counter[Point] = Counter()
    for part in parts:
        for point, count in part.items():  # Counter's own + drops what is 0
            total[point] += count
    return total


def credit_returns(counts: Counter[Point]) -> Counter[Point]:
    """The counts with each return (a user point: `weft_sim.rtl_coverage`) added to the arm that it ends, and without
    the returns. One that ends a function is in no arm; a function's block is counted at its begin.

    Raises CoverageError where a return's line is that of two arms.
    """
    arms: dict[tuple[str, int], set[Point]] = defaultdict(set)
    credited: Counter[Point] = Counter()
    for point, count in counts.items():
        if point.kind != "user":
            credited[point] = count
        if point.comment in _ARMS_OF_STATEMENTS:
            for line in point.lines:
                arms[point.file, line].add(point)
    for point, count in counts.items():
        ended = arms[point.file, point.line] if point.kind == "user" else set()
        if len(ended) > 1:
            raise CoverageError(
                f"{point.file}:{point.line}: a return on a line of {len(ended)} arms: give each its line"
            )
        for arm in ended:
            credited[arm] += count
    return credited


def _fields(text: str) -> tuple[dict[str, str], int]:
    found = _LINE.fullmatch(text)
    if found is None:
        raise ValueError("not of the form C '<keys and values>' <count>")
    pairs = (pair.split("\x02") for pair in found.group(1)[1:].split("\x01"))
    return {key: _QUOTED.sub(_unquote, value) for key, value in pairs}, int(found.group(2))


def _unquote(found: re.Match[str]) -> str:
    return chr(int(found.group(1), 16))


def _point(name: str, fields: dict[str, str]) -> Point:
    kind = fields["t"]
    if kind not in ("line", "branch", "toggle", "user"):
        raise ValueError(f"unknown type {kind!r}")
    lines = tuple(_lines(fields.get("S", "")))
    return Point(name, int(fields["l"]), int(fields["n"]), kind, fields["o"], lines)


def _lines(text: str) -> Iterator[int]:
    for part in filter(None, text.split(",")):
        found = _RANGE.fullmatch(part)
        if found is None:
            raise ValueError(f"lines {text!r}")
        first, last = int(found.group(1)), int(found.group(2) or found.group(1))
        if not 0 < first <= last <= _LAST_LINE:
            raise ValueError(f"lines {text!r}")
        yield from range(first, last + 1)
