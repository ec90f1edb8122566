"""The conformance kit, on Weft's own backend and on the example of a third party's."""

from __future__ import annotations

from weft.backends.npu import BACKEND as NPU
from weft.testing import conformance

from .gemm import GEMM

TestNpu = conformance(NPU, "weft-8")
TestGemm = conformance(GEMM)
