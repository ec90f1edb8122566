"""Quantized operators of ONNX Runtime's own domain, com.microsoft, as standard operators between
DequantizeLinear and QuantizeLinear."""

from __future__ import annotations

from weft.frontend.qoperator.standardize import StandardizeQOperators

__all__ = ["StandardizeQOperators"]
