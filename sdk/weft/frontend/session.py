"""ONNX Runtime sessions: the numeric reference, and what users of ONNX Runtime would get."""

from __future__ import annotations

import onnx
import onnxruntime

from weft.errors import ModelError
from weft.frontend.exact_kernels import kernels_are_exact, unsigned_operands
from weft.frontend.model import Model
from weft.frontend.session_options import LOG_FATAL_ONLY, RUNTIME_ERRORS, plain_options
from weft.frontend.validate import first_line


def reference_session(integer_model: Model | onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session that runs the integer graph with optimizations off: the numeric reference of `weft verify`.

    On CPUs whose uint8-by-int8 kernels saturate, the graph's integer operators are first brought to uint8
    operands, which gives the same, exact values everywhere. Raises ModelError with ONNX Runtime's reason
    where it refuses the model.
    """
    if not kernels_are_exact():
        model = integer_model if isinstance(integer_model, Model) else Model(integer_model)
        integer_model = unsigned_operands(model)
    return _session(integer_model, plain_options())


def default_session(model: Model | onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session with ONNX Runtime's default optimizations: what a user of ONNX Runtime gets for the QDQ
    model.

    Raises ModelError with ONNX Runtime's reason where it refuses the model.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = LOG_FATAL_ONLY
    return _session(model, options)


def _session(model: Model | onnx.ModelProto, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    name = model.name if isinstance(model, Model) else model.graph.name
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto if isinstance(model, Model) else model)
    # ONNX Runtime infers shapes itself, and refuses models whose written-down ones are stricter than its
    # kernels.
    del proto.graph.value_info[:]
    try:
        return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except RUNTIME_ERRORS as error:
        raise ModelError(f"{name}: ONNX Runtime refuses the model: {first_line(error)}") from error
