"""auto_pad written out as pads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from weft.frontend.graph import Graph, has, integers, is_standard, remove_attribute, set_attribute, text
from weft.frontend.model import Model

WINDOWED = ("Conv", "MaxPool", "AveragePool", "LpPool", "ConvInteger", "QLinearConv")


@dataclass(frozen=True)
class ExplicitPads:
    """Resolves auto_pad (SAME_UPPER, SAME_LOWER, VALID) of convolutions and poolings over tensors of static
    shape.

    SAME: output = ceil(input / stride); the odd pixel of padding goes to the end (UPPER) or the beginning
    (LOWER).
    """

    name: str = "explicit-pads"

    def run(self, model: Model) -> Model:
        if not has(model, *WINDOWED):
            return model
        graph = Graph(model)
        for node in graph.nodes:
            if is_standard(node, *WINDOWED):
                _resolve(graph, node)
        return graph.finish()


def _resolve(graph: Graph, node: onnx.NodeProto) -> None:
    mode = text(node, "auto_pad", "NOTSET")
    if mode == "NOTSET":
        remove_attribute(node, "auto_pad")
        return
    kernel = _kernel(graph, node)
    if kernel is None:
        return
    spatial = len(kernel)
    if mode == "VALID":
        pads: Sequence[int] = (0,) * (2 * spatial)
    else:
        extents = graph.static_shape(node.input[0])
        if extents is None or len(extents) != spatial + 2:
            return
        strides = integers(node, "strides") or (1,) * spatial
        dilations = integers(node, "dilations") or (1,) * spatial
        if min(*strides, *dilations, 1) < 1 or {len(strides), len(dilations)} != {spatial}:
            return
        pads = same_pads(extents[2:], kernel, strides, dilations, mode == "SAME_LOWER")
    remove_attribute(node, "auto_pad")
    set_attribute(node, "pads", list(pads))


def same_pads(
    extents: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    lower: bool,
) -> tuple[int, ...]:
    """Pads (begins, then ends) for which the output's extents are ceil(extents / strides)."""
    begins, ends = [], []
    for extent, taps, stride, dilation in zip(extents, kernel, strides, dilations, strict=True):
        outputs = -(-extent // stride)
        total = max(0, (outputs - 1) * stride + (taps - 1) * dilation + 1 - extent)
        small, large = total // 2, total - total // 2
        begins.append(large if lower else small)
        ends.append(small if lower else large)
    return (*begins, *ends)


def _kernel(graph: Graph, node: onnx.NodeProto) -> tuple[int, ...] | None:
    stated = integers(node, "kernel_shape")
    if stated is not None:
        return stated
    weights = graph.static_shape(node.input[3 if node.op_type == "QLinearConv" else 1])
    return None if weights is None else weights[2:]
