"""What every vendor runs: `pytest test_conformance.py`."""

from __future__ import annotations

from weft_gemm import BACKEND

from weft.testing import conformance

TestGemm = conformance(BACKEND)
