"""Batch normalization folded into the convolution before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from weft.frontend.graph import Graph, has, is_standard, real
from weft.frontend.model import Model
from weft.frontend.passes.channels import bias_of, replace_conv, sole_conv


@dataclass(frozen=True)
class FoldBatchNorm:
    """Scales a float Conv's weights and bias so that the BatchNormalization behind it vanishes.

    w' = w * g / sqrt(v + eps) and b' = (b - m) * g / sqrt(v + eps) + beta, computed in float64. Float models
    only: in a quantized model what is written is what is computed.
    """

    name: str = "fold-batch-norm"

    def run(self, model: Model) -> Model:
        if model.is_quantized or not has(model, "BatchNormalization"):
            return model
        graph = Graph(model)
        for node in list(graph.nodes):
            if is_standard(node, "BatchNormalization"):
                _fold(graph, node)
        return graph.finish()


def _fold(graph: Graph, node: onnx.NodeProto) -> None:
    conv = sole_conv(graph, node.input[0], node)
    if conv is None or any(graph.consumers(name) or name in graph.output_names for name in node.output[1:] if name):
        return
    weights, bias = graph.constant(conv.input[1]), bias_of(graph, conv)
    terms = [graph.constant(name) for name in node.input[1:5]]
    if weights is None or bias is None:
        return
    if any(term is None or term.shape != weights.shape[:1] for term in terms):
        return
    gamma, beta, mean, variance = (np.asarray(term, np.float64) for term in terms)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        factor = gamma / np.sqrt(variance + real(node, "epsilon", 1e-5))
        scaled = weights.astype(np.float64) * factor.reshape(-1, *(1,) * (weights.ndim - 1))
        shifted = (bias.astype(np.float64) - mean) * factor + beta
    replace_conv(graph, conv, node, scaled, shifted)
