"""The example backend (examples/gemm_backend), made importable without installing it."""

from __future__ import annotations

import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "examples" / "gemm_backend"
if str(PACKAGE) not in sys.path:
    sys.path.insert(0, str(PACKAGE))

from weft_gemm import BACKEND as GEMM  # noqa: E402  (its folder has just been put on the path)

__all__ = ["GEMM", "PACKAGE"]
