"""Makes the generator of random programs, the oracle and the writer of ONNX graphs importable by name."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]

for _folder in map(str, (Path(__file__).parent, TESTS / "dynamic", TESTS.parent / "examples/dynamic")):
    if _folder not in sys.path:
        sys.path.append(_folder)
