"""DequantizeLinear → LayerNormalization over the last axis → QuantizeLinear → LayerNorm."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper

from weft.frontend.session_options import plain_options
from weft.ir.graph import Graph, attributes
from weft.ir.patterns.common import Refusal, constant, dequantized, quantized_behind
from weft.ir.rows import LayerNorm

__all__ = ["match", "reference_mean_is_exact", "vector"]

LARGEST_ERROR = 0.5
PROBED = (9, 64, 1000)


def match(graph: Graph, node: onnx.NodeProto) -> LayerNorm:
    """The last axis only, scale and bias constant, no statistics as outputs, float32 stash."""
    given = attributes(node)
    _, x = dequantized(graph, node.input[0])
    rank, size = len(x.shape), x.shape[-1]
    if int(given.get("axis", -1)) % rank != rank - 1:  # type: ignore[call-overload]
        raise Refusal("it normalizes over more than the last axis")
    if any(name for name in node.output[1:]):
        raise Refusal("its mean or inverse deviation is used")
    if given.get("stash_type", 1) != 1:
        raise Refusal("its statistics are not float32")
    scale = vector(graph, node.input[1], "scale", size)
    bias = vector(graph, node.input[2], "bias", size) if len(node.input) > 2 and node.input[2] else scale * 0
    nodes, output, low, high = quantized_behind(graph, node.output[0])
    epsilon = np.float32(given.get("epsilon", 1e-5))  # type: ignore[arg-type]
    if not reference_mean_is_exact():
        raise Refusal("this ONNX Runtime does not compute means in double precision, so no bound can be given")
    found = LayerNorm(node.name, (node.name, *nodes), (x,), output, scale, bias, epsilon, low, high)
    if not (np.isfinite(found.offset) and found.offset > np.finfo(np.float32).tiny):
        raise Refusal("its epsilon is out of range for the input's scale")
    if not found.error <= LARGEST_ERROR:
        raise Refusal("its result is not provably within one step of the reference's for these scales")
    return found


def vector(graph: Graph, name: str, what: str, size: int) -> npt.NDArray[np.float32]:
    """A constant that varies along the last axis alone. A quantized one is read through its DequantizeLinear."""
    producer = graph.producer.get(name)
    if producer is not None and producer.op_type == "DequantizeLinear":
        stored, step = (constant(graph, producer.input[index], what) for index in (0, 1))
        zero = graph.constant(producer.input[2]) if len(producer.input) > 2 and producer.input[2] else None
        if step.size != 1 or (zero is not None and zero.size != 1):
            raise Refusal(f"its {what} is quantized per channel")
        shift = 0 if zero is None else int(zero.reshape(()))
        value = (stored.astype(np.int64) - shift).astype(np.float32) * np.float32(step.reshape(()))
    else:
        value = constant(graph, name, what).astype(np.float32)
    if value.size not in (1, size) or (value.ndim and value.shape[-1] != value.size) or not np.all(np.isfinite(value)):
        raise Refusal(f"its {what} has shape {list(value.shape)}")
    return np.ascontiguousarray(np.broadcast_to(value.reshape(-1), (size,)), np.float32)


@functools.cache
def reference_mean_is_exact() -> bool:
    """Whether ONNX Runtime here rounds a mean only once, which the bound relies on: seen through an epsilon so large
    that the result is the deviation from the mean times a power of two."""
    node = helper.make_node("LayerNormalization", ["x", "scale"], ["y"], axis=-1, epsilon=2.0**60)
    kinds = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("x", "scale", "y")]
    graph = helper.make_graph([node], "probe", kinds[:2], kinds[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), plain_options(), providers=["CPUExecutionProvider"]
    )
    random = np.random.default_rng(0)
    for size in PROBED:
        x = (random.integers(-128, 128, (64, size)) * np.float32(0.037)).astype(np.float32)
        x[:, 0] = 0
        (y,) = session.run(None, {"x": x, "scale": np.ones(size, np.float32)})
        wanted = (x.astype(np.float64).sum(-1) / size).astype(np.float32)
        if not np.array_equal(-y[:, 0] * np.float32(2.0**30), wanted):
            return False
    return True
