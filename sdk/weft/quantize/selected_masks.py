"""Masks that Where writes into what a Softmax reads, as additions.

`masked_fill` and causal attention are often exported as Where(condition, scores, -10000) or with minus infinity. Added
to the scores, such a number has the same effect: neither has a share in the Softmax. Additions are what accelerators
compute; the selection is left for the mask, which is smaller than the scores and often constant.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import helper

from weft.frontend.graph import Graph, is_standard
from weft.frontend.model import Model
from weft.frontend.origins import record

__all__ = ["add_masks"]

# Scores are far from it, and the exponential of what is this far below another value is 0 in float32.
GREATEST_MASK = -1e3


def add_masks(model: Model, exclude: Collection[str]) -> Model:
    """The normalized float model with such a Where as an Add; nodes named in `exclude` stay as they are."""
    graph = Graph(model)
    changed = [
        _rewrite(graph, node) for node in list(graph.nodes) if is_standard(node, "Where") and node.name not in exclude
    ]
    return graph.finish() if any(changed) else model


def _rewrite(graph: Graph, node: onnx.NodeProto) -> bool:
    reader = graph.only_consumer(node.output[0])
    if reader is None or not is_standard(reader, "Softmax"):
        return False
    values = [graph.constant(name) for name in node.input[1:]]
    masks = [index for index, value in enumerate(values) if value is not None and _is_mask(value)]
    if len(masks) != 1:
        return False
    scores = node.input[2 - masks[0]]
    shape = graph.static_shape(node.output[0])
    if scores in graph.constants or shape is None or graph.static_shape(scores) != shape:
        return False
    value = values[masks[0]]
    assert value is not None
    added = helper.make_node("Add", [scores, _mask(graph, node, value.reshape(()), masks[0] == 0)], [node.output[0]])
    added.name = graph.fresh_node_name(f"{node.name}_Add")
    record(added, [node])
    graph.remove(node)
    graph.add(added)
    return True


def _is_mask(value: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bool:
    return value.dtype == np.float32 and value.size == 1 and float(value.reshape(())) <= GREATEST_MASK


def _mask(
    graph: Graph, node: onnx.NodeProto, value: np.ndarray[tuple[()], np.dtype[np.float32]], is_where_true: bool
) -> str:
    """The tensor to add: the value where it was selected, 0 elsewhere; a constant where the condition is one."""
    zero = np.asarray(0, np.float32)
    pair = (value, zero) if is_where_true else (zero, value)
    condition = graph.constant(node.input[0])
    if condition is not None:
        return graph.add_constant(f"{node.name}_mask", np.asarray(np.where(condition, *pair), np.float32))
    result = graph.fresh(f"{node.name}_mask")
    graph.set_type(result, onnx.TensorProto.FLOAT, graph.shape(node.input[0]) or ())
    names = [graph.add_constant(f"{node.name}_{kind}", each) for kind, each in zip("ab", pair, strict=True)]
    selecting = helper.make_node("Where", [node.input[0], *names], [result], name=graph.fresh_node_name(node.name))
    record(selecting, [node])
    graph.add(selecting)
    return result
