"""Multiply-accumulates of ONNX nodes, as the model states them: no padding of channels, no fusion."""

from __future__ import annotations

import math

import onnx

from weft.ir.graph import Graph, attributes

__all__ = ["node_macs"]


def node_macs(graph: Graph, node: onnx.NodeProto) -> int:
    """Multiply-accumulates of one node; 0 for operators that have none or whose shapes are not known."""
    match node.op_type:
        case "Conv" | "ConvInteger" | "QLinearConv":
            return _product(graph.shape(node.output[0])) * _per_output(graph.shape(node.input[_weight_index(node)]))
        case "ConvTranspose":
            return _product(graph.shape(node.input[0])) * _per_output(graph.shape(node.input[1]))
        case "MatMul" | "MatMulInteger":
            return _product(graph.shape(node.output[0])) * _last(graph.shape(node.input[0]))
        case "QLinearMatMul":
            return _product(graph.shape(node.output[0])) * _last(graph.shape(node.input[0]))
        case "Gemm":
            shape = graph.shape(node.input[0])
            depth = shape[0 if attributes(node).get("transA") else 1] if shape and len(shape) == 2 else 0
            return _product(graph.shape(node.output[0])) * depth
        case "LSTM" | "GRU" | "RNN":
            return _recurrent(graph, node)
    return 0


def _weight_index(node: onnx.NodeProto) -> int:
    return 3 if node.op_type == "QLinearConv" else 1


def _product(shape: tuple[int, ...] | None) -> int:
    return math.prod(shape) if shape is not None else 0


def _per_output(weights: tuple[int, ...] | None) -> int:
    """Products that one output (of ConvTranspose: one input) element takes part in."""
    return math.prod(weights[1:]) if weights else 0


def _last(shape: tuple[int, ...] | None) -> int:
    return shape[-1] if shape else 0


def _recurrent(graph: Graph, node: onnx.NodeProto) -> int:
    x, w, r = (graph.shape(name) for name in node.input[:3])
    if not x or not w or not r:
        return 0
    return x[0] * x[1] * (math.prod(w) + math.prod(r))
