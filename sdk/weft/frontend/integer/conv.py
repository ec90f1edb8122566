"""Conv between quantized tensors to QLinearConv."""

from __future__ import annotations

import numpy as np
import onnx

from weft.frontend.graph import Graph
from weft.frontend.integer.bias import matching_bias
from weft.frontend.integer.emit import (
    Match,
    finish,
    output_parameters,
    parameters,
    shifted_values,
    shifted_zero_point,
    side,
    tail,
)
from weft.frontend.integer.quantization import Quantization, Stored, activation, stored


def rewrite(graph: Graph, match: Match) -> bool:
    """Replaces the match by QLinearConv; False, and nothing changed, where the operands do not allow it."""
    conv = match.main
    x, w = activation(graph, conv.input[0]), stored(graph, conv.input[1])
    if x is None or w is None or w.quantization.dtype not in (np.int8, np.uint8):
        return False
    shape = graph.static_shape(w.name)
    if shape is None or len(shape) < 3 or not w.quantization.per_channel_on(0, len(shape)):
        return False
    bias, sources = "", [x.node, w.node]
    if len(conv.input) > 2 and conv.input[2]:
        found = matching_bias(graph, conv.input[2], shape[0], x.quantization, w.quantization)
        if found is None or len(graph.static_shape(found.name) or ()) != 1:
            return False
        bias = found.name
        sources.append(found.node)
    weights = weight_inputs(graph, w, x.quantization)
    if weights is None:
        return False
    operator = onnx.NodeProto(op_type="QLinearConv", name=conv.name)
    operator.input.extend([*side(graph, x), *weights, *output_parameters(graph, match, x.quantization.dtype)])
    operator.input.extend([bias] if bias else [])
    operator.attribute.extend(conv.attribute)
    operator.output.append(tail(graph, match, x.quantization.dtype, graph.shape(match.quantize.output[0])))
    finish(graph, match, operator, sources)
    return True


def weight_inputs(graph: Graph, w: Stored, x: Quantization) -> tuple[str, str, str] | None:
    """Weights, scale and zero point as inputs of an integer operator whose other side is `x`.

    ONNX Runtime has kernels for uint8 with either, and int8 with int8: constant uint8 weights beside int8
    activations are stored as int8, 128 less, as is their zero point. None where such weights are not
    constant.
    """
    if w.quantization.dtype == x.dtype or x.dtype == np.uint8:
        return side(graph, w)
    values = graph.constant(w.name)
    if values is None:
        return None
    zero_point = shifted_zero_point(w.quantization, x.dtype)
    name = graph.add_constant(f"{w.name}_{x.dtype.name}", shifted_values(values, x.dtype))
    return name, *parameters(graph, w.node, w.quantization.scale, zero_point)
