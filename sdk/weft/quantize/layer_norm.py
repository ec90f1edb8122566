"""Layer normalization that an exporter wrote as nine nodes, as one LayerNormalization again.

Each of the nine would be quantized by itself, and a variance in 8 bits is no variance. This belongs to quantization of
float models: it changes roundings, so a model that is quantized already keeps its text.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from weft.frontend.graph import Graph, integer, integers, is_standard
from weft.frontend.model import Model
from weft.frontend.normalize import normalize
from weft.frontend.origins import record
from weft.frontend.passes.upgrade_opset import UpgradeOpset

__all__ = ["fuse_layer_norms"]

LAYER_NORM_OPSET = 17


@dataclass(frozen=True)
class _Pattern:
    """(x − mean) / sqrt(mean((x − mean)²) + epsilon) [· scale] [+ bias]: its nodes, the last one making the result."""

    source: str
    epsilon: float
    scale: str
    bias: str
    nodes: tuple[onnx.NodeProto, ...]


def fuse_layer_norms(model: Model, exclude: Collection[str]) -> Model:
    """The float model with every decomposed layer normalization over the last axis as one node, in operator set 17 or
    later; unchanged where there is none or that set cannot be reached. Nodes named in `exclude` are left alone."""
    if not _patterns(Graph(model), exclude):
        return model
    if model.opset < LAYER_NORM_OPSET:
        model = normalize(UpgradeOpset(LAYER_NORM_OPSET).run(model))
    graph = Graph(model)
    if model.opset < LAYER_NORM_OPSET:
        return model
    for pattern in _patterns(graph, exclude):
        _replace(graph, pattern)
    return graph.finish()


def _patterns(graph: Graph, exclude: Collection[str]) -> list[_Pattern]:
    found = [_match(graph, node) for node in graph.nodes if is_standard(node, "Div")]
    return [each for each in found if each is not None and not any(node.name in exclude for node in each.nodes)]


def _match(graph: Graph, divide: onnx.NodeProto) -> _Pattern | None:
    deviation, root = graph.producer(divide.input[0]), graph.producer(divide.input[1])
    if deviation is None or not is_standard(deviation, "Sub") or root is None or not is_standard(root, "Sqrt"):
        return None
    source = deviation.input[0]
    mean, shifted = graph.producer(deviation.input[1]), graph.producer(root.input[0])
    if not _is_mean(graph, mean, source) or shifted is None or not is_standard(shifted, "Add"):
        return None
    epsilon, variance = _constant_and_other(graph, shifted)
    square = None if variance is None else graph.producer(variance.input[0])
    if square is None or epsilon is None or epsilon.size != 1 or not _is_mean(graph, variance, square.output[0]):
        return None
    if not _is_square(graph, square, deviation):
        return None
    inner = [mean, deviation, square, variance, shifted, root, divide]
    scale, bias = "", ""
    for kind in ("Mul", "Add"):
        reader = graph.only_consumer(inner[-1].output[0])  # type: ignore[union-attr]
        name = "" if reader is None or not is_standard(reader, kind) else _vector(graph, reader, source)
        if name:
            inner.append(reader)
            scale, bias = (name, bias) if kind == "Mul" else (scale, name)
    nodes = tuple(node for node in inner if node is not None)
    return _Pattern(source, float(epsilon.reshape(())), scale, bias, nodes)


def _is_mean(graph: Graph, node: onnx.NodeProto | None, source: str) -> bool:
    """Whether the node is the mean of `source` over its last axis, kept as an axis of 1."""
    if node is None or not is_standard(node, "ReduceMean") or node.input[0] != source:
        return False
    rank = len(graph.shape(source) or ())
    listed = graph.constant(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    axes = integers(node, "axes") if listed is None else tuple(int(axis) for axis in listed.reshape(-1))
    return bool(rank and axes in ((-1,), (rank - 1,)) and integer(node, "keepdims", 1) == 1)


def _constant_and_other(
    graph: Graph, node: onnx.NodeProto
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.generic]] | None, onnx.NodeProto | None]:
    for index in (0, 1):
        value = graph.constant(node.input[index])
        if value is not None:
            return value, graph.producer(node.input[1 - index])
    return None, None


def _is_square(graph: Graph, node: onnx.NodeProto, deviation: onnx.NodeProto) -> bool:
    """Whether the node squares the deviation (or a second copy of it)."""
    if is_standard(node, "Pow"):
        exponent = graph.constant(node.input[1])
        if exponent is None or exponent.size != 1 or float(exponent.reshape(())) != 2.0:
            return False
    elif not is_standard(node, "Mul") or node.input[0] != node.input[1]:
        return False
    same = graph.producer(node.input[0])
    return same is not None and is_standard(same, "Sub") and list(same.input) == list(deviation.input)


def _vector(graph: Graph, node: onnx.NodeProto, source: str) -> str:
    """The constant operand if it varies along the last axis alone, else an empty name."""
    size = (graph.shape(source) or (None,))[-1]
    for name in node.input:
        value = graph.constant(name)
        if value is not None and value.dtype == np.float32 and value.ndim and value.shape[-1] == value.size == size:
            return str(name)
    return ""


def _replace(graph: Graph, pattern: _Pattern) -> None:
    last = pattern.nodes[-1]
    size = (graph.shape(pattern.source) or (1,))[-1] or 1
    base = last.output[0]
    scale = np.ones(size, np.float32) if not pattern.scale else graph.constant(pattern.scale)
    inputs = [pattern.source, graph.add_constant(f"{base}_scale", np.asarray(scale).reshape(-1))]
    if pattern.bias:
        inputs.append(graph.add_constant(f"{base}_bias", np.asarray(graph.constant(pattern.bias)).reshape(-1)))
    node = helper.make_node("LayerNormalization", inputs, [base], name=last.name, axis=-1, epsilon=pattern.epsilon)
    record(node, list(pattern.nodes))
    graph.remove(last)
    graph.add(node)
