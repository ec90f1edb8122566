"""The RTL's sources as they are built to count coverage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

__all__ = ["FLAGS", "RETURN", "SOURCE_FOLDER", "instrumented"]

FLAGS = ("--coverage-line", "--coverage-toggle", "--coverage-user")
"""Not --coverage: Verilator 5.49 ends with an internal error where it is to count these modules' expressions."""

RETURN = r"begin cover (1'b1); return\1; end"
"""Verilator counts an arm at its end, so one that ends in a return would never count. A cover statement does."""

SOURCE_FOLDER = "rtl/src"
"""What the counts call the sources' folder, whatever checkout they were built in."""

_COMMENT_OR_RETURN = re.compile(r"//[^\n]*|/\*.*?\*/|\breturn\b([^;]*);", re.DOTALL)


def instrumented(sources: Sequence[Path], folder: Path) -> tuple[Path, ...]:
    """Copies of the files in `folder`, in the same order, with every return statement counted; line numbers stay."""
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for source in sources:
        text = _COMMENT_OR_RETURN.sub(_counted, source.read_text(encoding="utf-8"))
        copy = folder / source.name
        copy.write_text(f'`line 1 "{SOURCE_FOLDER}/{source.name}" 0\n{text}', encoding="utf-8")
        copies.append(copy)
    return tuple(copies)


def _counted(found: re.Match[str]) -> str:
    return found.group() if found.group(1) is None else found.expand(RETURN)
