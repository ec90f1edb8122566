"""A backend for Weft, from another package: a plain int8 matrix multiplier."""

from __future__ import annotations

from weft_gemm.backend import BACKEND

__all__ = ["BACKEND"]
