"""How Weft asks ONNX Runtime to run a graph as it is written."""

from __future__ import annotations

from functools import cache

import onnx
import onnxruntime
from onnx import helper
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


@cache
def newest_ir_version() -> int:
    """The newest version of the ONNX file format that this ONNX Runtime takes, found by asking it."""
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([], "probe", [value], [value])
    for version in range(onnx.IR_VERSION, 10, -1):
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=version)
        try:
            onnxruntime.InferenceSession(proto.SerializeToString(), plain_options(), providers=["CPUExecutionProvider"])
        except RUNTIME_ERRORS:
            continue
        return version
    return 10


def plain_options() -> onnxruntime.SessionOptions:
    """Session options that run a graph as it is written: no optimization, no fusion."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = LOG_FATAL_ONLY
    return options
