"""Passes over ONNX models, one per file. `weft.frontend.normalize` holds the list in their order."""

from __future__ import annotations

from weft.frontend.passes.protocol import Pass

__all__ = ["Pass"]
