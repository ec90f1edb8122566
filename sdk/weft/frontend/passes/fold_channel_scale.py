"""Constants multiplied behind a convolution folded into its weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from weft.frontend.graph import Graph, has, is_standard
from weft.frontend.model import Model
from weft.frontend.passes.channels import bias_of, per_channel, replace_conv, sole_conv


@dataclass(frozen=True)
class FoldChannelScale:
    """Conv -> Mul by a per-channel constant becomes Conv with scaled weights and bias. Float models only."""

    name: str = "fold-channel-scale"

    def run(self, model: Model) -> Model:
        if model.is_quantized or not has(model, "Mul"):
            return model
        graph = Graph(model)
        for node in list(graph.nodes):
            if is_standard(node, "Mul"):
                _fold(graph, node)
        return graph.finish()


def _fold(graph: Graph, node: onnx.NodeProto) -> None:
    for index in (0, 1):
        value, conv = graph.constant(node.input[1 - index]), sole_conv(graph, node.input[index], node)
        if value is None or conv is None:
            continue
        weights, bias = graph.constant(conv.input[1]), bias_of(graph, conv)
        factor = None if weights is None else per_channel(value, weights)
        if weights is not None and bias is not None and factor is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                scaled, shifted = weights * factor.reshape(-1, *(1,) * (weights.ndim - 1)), bias * factor
            replace_conv(graph, conv, node, scaled, shifted)
        return
