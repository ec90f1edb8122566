"""Constants that hold one value per output channel of a convolution."""

from __future__ import annotations

import numpy as np
import onnx

from weft.frontend.graph import Array, Graph, is_standard
from weft.frontend.origins import record


def per_channel(value: Array, weights: Array) -> Array | None:
    """The constant operand of an Add or Mul behind a Conv as one float32 value per output channel.

    `weights` [channels, ...] are the Conv's. None where broadcasting spreads the constant over anything else
    than channels: it aligns at the right, so the channel axis must be followed by exactly the spatial axes,
    all 1.
    """
    channels, spatial = weights.shape[0], weights.ndim - 2
    if value.dtype != np.float32 or value.ndim > weights.ndim:
        return None
    if value.size != 1:
        aligned = (1,) * (weights.ndim - value.ndim) + value.shape
        if aligned != (1, channels, *(1,) * spatial):
            return None
    return np.broadcast_to(value.reshape(-1), (channels,)).astype(np.float32)


def sole_conv(graph: Graph, name: str, reader: onnx.NodeProto) -> onnx.NodeProto | None:
    """The float Conv with constant weights and bias whose output `name` nothing but `reader` reads, or
    None."""
    conv = graph.producer(name)
    if conv is None or not is_standard(conv, "Conv") or graph.only_consumer(name) is not reader:
        return None
    weights = graph.constant(conv.input[1])
    bias = bias_of(graph, conv)
    if weights is None or bias is None or weights.dtype != np.float32 or weights.ndim < 3:
        return None
    return conv if bias.dtype == np.float32 and bias.shape in ((1,), weights.shape[:1]) else None


def bias_of(graph: Graph, conv: onnx.NodeProto) -> Array | None:
    """A Conv's constant bias, [0] where it has none, None where it is not constant."""
    if len(conv.input) > 2 and conv.input[2]:
        return graph.constant(conv.input[2])
    return np.zeros(1, np.float32)


def replace_conv(graph: Graph, conv: onnx.NodeProto, node: onnx.NodeProto, weights: Array, bias: Array) -> None:
    """Puts a Conv with other weights and bias in the place of `conv` and of `node` behind it.

    Leaves both alone where a new value is beyond float32: folding must not make infinities.
    """
    with np.errstate(over="ignore"):
        new_weights, new_bias = weights.astype(np.float32), bias.astype(np.float32)
    if not (np.all(np.isfinite(new_weights)) and np.all(np.isfinite(new_bias))):
        return
    merged = onnx.NodeProto()
    merged.CopyFrom(conv)
    kernel = conv.input[1]
    if weights is not graph.constant(kernel):
        kernel = graph.add_constant(f"{kernel}_folded", new_weights)
    merged.input[:] = [conv.input[0], kernel, graph.add_constant(f"{node.output[0]}_bias", new_bias)]
    merged.output[:] = [node.output[0]]
    record(merged, (conv, node))
    graph.remove(node)
    graph.remove(conv)
    graph.add(merged)
