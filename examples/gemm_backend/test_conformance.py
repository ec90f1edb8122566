"""What every vendor runs: `pytest test_conformance.py`."""

from __future__ import annotations

from weft.testing import conformance
from weft_gemm import BACKEND

TestGemm = conformance(BACKEND)
