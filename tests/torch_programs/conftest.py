"""The programs of these tests, importable by name."""

from __future__ import annotations

import sys
from pathlib import Path

_FOLDERS = (Path(__file__).parent, Path(__file__).parents[2] / "examples/dynamic/pytorch")

for _folder in map(str, _FOLDERS):
    if _folder not in sys.path:
        sys.path.append(_folder)
