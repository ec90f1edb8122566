"""Numbers that take long to find, kept in a file of the cache folder: JSON of bounded size, never trusted."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from weft.cache_folder import cache_folder, replace_file

__all__ = ["NumberCache", "cache_folder"]

MAX_FILE_BYTES = 4 << 20
MAX_ENTRIES = 20_000
MAX_VALUE = 1 << 44


class NumberCache:
    """Whole numbers by key, in memory and in one file. A file that cannot be read or written costs time, no more.

    Of two processes that save at the same moment, one wins. At MAX_ENTRIES the older half is dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbers = _read(path)
        self._changed = False

    def get(self, key: str) -> int | None:
        """The number of that key, if it is known."""
        return self._numbers.get(key)

    def put(self, key: str, number: int) -> None:
        """Remembers a number."""
        if len(self._numbers) >= MAX_ENTRIES:
            self._numbers = dict(list(self._numbers.items())[MAX_ENTRIES // 2 :])
        self._numbers[key] = number
        self._changed = True

    def save(self) -> None:
        """Writes the file, atomically, if there is anything new."""
        if not self._changed:
            return
        self._changed = False
        everything = list({**_read(self.path), **self._numbers}.items())[-MAX_ENTRIES:]
        with contextlib.suppress(OSError):
            replace_file(self.path, json.dumps(dict(everything), separators=(",", ":")))


def _read(path: Path) -> dict[str, int]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return {}
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(values, dict) or len(values) > MAX_ENTRIES:
        return {}
    sound = all(type(number) is int and 0 <= number <= MAX_VALUE for number in values.values())
    return values if sound else {}
