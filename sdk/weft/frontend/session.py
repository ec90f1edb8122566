"""ONNX Runtime sessions: the numeric reference, and what users of ONNX Runtime would get."""

from __future__ import annotations

import onnx
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from weft.errors import ModelError
from weft.frontend.model import Model
from weft.frontend.validate import first_line

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


def reference_session(integer_model: Model | onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session that runs the integer graph with optimizations off: the numeric reference of `weft verify`.

    Raises ModelError with ONNX Runtime's reason where it refuses the model.
    """
    return _session(integer_model, plain_options())


def default_session(model: Model | onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session with ONNX Runtime's default optimizations: what a user of ONNX Runtime gets for the QDQ
    model.

    Raises ModelError with ONNX Runtime's reason where it refuses the model.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = LOG_FATAL_ONLY
    return _session(model, options)


def _session(
    model: Model | onnx.ModelProto, options: onnxruntime.SessionOptions
) -> onnxruntime.InferenceSession:
    name = model.name if isinstance(model, Model) else model.graph.name
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto if isinstance(model, Model) else model)
    # ONNX Runtime infers shapes itself, and refuses models whose written-down ones are stricter than its
    # kernels.
    del proto.graph.value_info[:]
    try:
        return onnxruntime.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except RUNTIME_ERRORS as error:
        raise ModelError(f"{name}: ONNX Runtime refuses the model: {first_line(error)}") from error
