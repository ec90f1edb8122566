"""Where Weft keeps what it can compute again."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

__all__ = ["cache_folder", "replace_file"]


def cache_folder() -> Path:
    """WEFT_CACHE, or else the platform's cache folder."""
    given = os.environ.get("WEFT_CACHE")
    if given:
        return Path(given)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "weft"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weft"


def replace_file(path: Path, text: str) -> None:
    """Writes a file so that others see the old text or the new one, never a part. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text)
        temporary.replace(path)
    except OSError:
        _forget(temporary)
        raise


def _forget(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
