"""Constants added behind a convolution or a matrix product recognised as its bias."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from weft.frontend.graph import Array, Graph, has, is_standard
from weft.frontend.model import Model
from weft.frontend.passes.channels import bias_of, per_channel, replace_conv, sole_conv


@dataclass(frozen=True)
class FoldBiasAdd:
    """Conv -> Add of a per-channel constant becomes Conv with that bias (added to the one it has).

    MatMul -> Add stays two nodes, the constant made one-dimensional, which is how the quantizer and
    `integerize` recognise the bias of a matrix product. Float models only.
    """

    name: str = "fold-bias-add"

    def run(self, model: Model) -> Model:
        if model.is_quantized or not has(model, "Add"):
            return model
        graph = Graph(model)
        for node in list(graph.nodes):
            if is_standard(node, "Add"):
                _fold(graph, node)
        return graph.finish()


def _fold(graph: Graph, node: onnx.NodeProto) -> None:
    for index in (0, 1):
        value = graph.constant(node.input[1 - index])
        if value is None:
            continue
        conv, product = sole_conv(graph, node.input[index], node), graph.producer(node.input[index])
        if conv is not None:
            _into_conv(graph, conv, node, value)
        elif product is not None and is_standard(product, "MatMul"):
            _flatten(graph, product, node, 1 - index, value)
        return


def _into_conv(graph: Graph, conv: onnx.NodeProto, node: onnx.NodeProto, value: Array) -> None:
    weights, bias = graph.constant(conv.input[1]), bias_of(graph, conv)
    added = None if weights is None else per_channel(value, weights)
    if weights is not None and bias is not None and added is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            total = bias + added
        replace_conv(graph, conv, node, weights, total)


def _flatten(graph: Graph, product: onnx.NodeProto, node: onnx.NodeProto, index: int, value: Array) -> None:
    weights, shape = graph.constant(product.input[1]), graph.shape(product.output[0])
    if weights is None or weights.ndim != 2 or shape is None:
        return
    columns = weights.shape[1]
    if 1 < value.ndim <= len(shape) and value.size == columns == value.shape[-1]:
        graph.replace_input(node, index, graph.add_constant(f"{node.input[index]}_flat", value.reshape(-1)))
