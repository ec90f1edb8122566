"""What need not be covered, each with its reason: a commented TOML file that must stay true.

[[exclusion]]
file = "module.sv"          # in rtl/src
text = "default: ;"         # a part of the source line at the point
kinds = ["case"]            # Verilator's words: block, if, else, elsif, case, cond_then, cond_else
reason = "why no program can get there"
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtl_coverage.data import CoverageError, Point

__all__ = ["Exclusion", "excluded_points", "read_exclusions"]

_KINDS = frozenset(("block", "if", "else", "elsif", "case", "cond_then", "cond_else"))
_SHORTEST_REASON = 20


@dataclass(frozen=True)
class Exclusion:
    """Points of these kinds at lines of `file` that contain `text`."""

    file: str
    text: str
    kinds: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, {self.text!r} ({', '.join(self.kinds)})"


def read_exclusions(path: Path) -> tuple[Exclusion, ...]:
    """Raises CoverageError, naming the entry, when one is not complete."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CoverageError(f"{path}: {error}") from error
    if set(entries) - {"exclusion"} or not isinstance(entries.get("exclusion", []), list):
        raise CoverageError(f"{path}: only [[exclusion]] entries are known")
    return tuple(_entry(f"{path}: exclusion {n}", item) for n, item in enumerate(entries.get("exclusion", []), 1))


def excluded_points(
    exclusions: Sequence[Exclusion], counts: Counter[Point], sources: Mapping[str, Sequence[str]]
) -> dict[Point, Exclusion]:
    """The excluded points; `sources` holds each file's lines.

    Raises CoverageError, naming all that are wrong, when an exclusion matches no point or one that is covered.
    """
    found: dict[Point, Exclusion] = {}
    wrong: list[str] = []
    points = [point for point in counts if point.is_code]
    for exclusion in exclusions:
        matched = [point for point in points if _matches(exclusion, point, sources)]
        covered = sorted({point.line for point in matched if counts[point]})
        if not matched:
            wrong.append(f"{exclusion}: matches nothing any more")
        elif covered:
            wrong.append(f"{exclusion}: line {', '.join(map(str, covered))} is covered")
        found |= dict.fromkeys(matched, exclusion)
    if wrong:
        raise CoverageError("exclusions that are not true:\n  " + "\n  ".join(wrong))
    return found


def _matches(exclusion: Exclusion, point: Point, sources: Mapping[str, Sequence[str]]) -> bool:
    if point.file != exclusion.file or point.comment not in exclusion.kinds:
        return False
    lines = sources[point.file]
    return point.line <= len(lines) and exclusion.text in lines[point.line - 1]


def _entry(where: str, item: object) -> Exclusion:
    if not isinstance(item, dict) or set(item) != {"file", "text", "kinds", "reason"}:
        raise CoverageError(f"{where}: needs file, text, kinds and reason, and nothing else")
    file, text, kinds, reason = (item[name] for name in ("file", "text", "kinds", "reason"))
    if not all(isinstance(value, str) and value.strip() for value in (file, text, reason)):
        raise CoverageError(f"{where}: file, text and reason are words")
    if not isinstance(kinds, list) or not kinds or not _KINDS.issuperset(kinds):
        raise CoverageError(f"{where}: kinds is a list of {', '.join(sorted(_KINDS))}")
    if len(reason) < _SHORTEST_REASON:
        raise CoverageError(f"{where}: {reason!r} is no reason")
    return Exclusion(file, text, tuple(kinds), reason)
