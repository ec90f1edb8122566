"""Writing report files."""

from __future__ import annotations

import os
from pathlib import Path

from weft.report.errors import ReportError

__all__ = ["write_text"]


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file. Raises ReportError naming the file if that fails."""
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ReportError(f"{path}: cannot write the report: {error.strerror or error}") from error
