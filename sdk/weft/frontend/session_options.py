"""How Weft asks ONNX Runtime to run a graph as it is written."""

from __future__ import annotations

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

# Errors come as exceptions; without this ONNX Runtime prints them to stderr as well.
LOG_FATAL_ONLY = 4

# ONNX Runtime's exception classes share no base of their own.
RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    *(kind for kind in vars(native).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    RuntimeError,
    ValueError,
    TypeError,
)


def plain_options() -> onnxruntime.SessionOptions:
    """Session options that run a graph as it is written: no optimization, no fusion."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = LOG_FATAL_ONLY
    return options
