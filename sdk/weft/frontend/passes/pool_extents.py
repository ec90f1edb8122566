"""Extents of poolings with ceil_mode: ONNX's inference gives one too many where a window starts in the padding."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from weft.frontend.graph import integer, integers, is_standard, set_attribute, text
from weft.frontend.topology import all_graphs

__all__ = ["round_down"]

POOLS = ("MaxPool", "AveragePool", "LpPool")


def round_down(sketch: onnx.ModelProto, inferred: onnx.ModelProto) -> bool:
    """Makes poolings of known inputs round down, with pads that give the extents that the operator is defined to
    have and ONNX Runtime computes; whether there was one whose extents were wrong. What was inferred before is
    forgotten then. `sketch` is for shapes alone: its averages would be others."""
    if not any(_rounds_up(node) for node in sketch.graph.node):
        return False
    values = (*inferred.graph.value_info, *inferred.graph.input)
    shapes = {value.name: [extent.dim_value for extent in value.type.tensor_type.shape.dim] for value in values}
    for node in sketch.graph.node:
        pads = _pads(node, shapes) if _rounds_up(node) else None
        if pads is not None:
            set_attribute(node, "pads", pads)
            set_attribute(node, "ceil_mode", 0)
            _forget(sketch)
            return True
    return False


def _rounds_up(node: onnx.NodeProto) -> bool:
    return is_standard(node, *POOLS) and bool(integer(node, "ceil_mode", 0)) and bool(node.input)


def _pads(node: onnx.NodeProto, shapes: Mapping[str, list[int]]) -> list[int] | None:
    """Pads for rounding down; None where the extents are not known, or right as they are."""
    extents, kernel = shapes.get(node.input[0], [])[2:], integers(node, "kernel_shape")
    if not extents or min(extents) < 1 or kernel is None or text(node, "auto_pad", "NOTSET") != "NOTSET":
        return None
    axes = len(extents)
    strides, dilations = (integers(node, name) or (1,) * axes for name in ("strides", "dilations"))
    pads = list(integers(node, "pads") or (0,) * (2 * axes))
    if {len(kernel), len(strides), len(dilations), len(pads) // 2} != {axes} or min(*strides, *dilations, *kernel) < 1:
        return None
    dropped = False
    for axis, (extent, stride) in enumerate(zip(extents, strides, strict=True)):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        outputs = -(-(extent + pads[axis] + pads[axes + axis] - reach) // stride) + 1
        if (outputs - 1) * stride >= extent + pads[axis]:
            outputs, dropped = outputs - 1, True
        pads[axes + axis] = max(0, (outputs - 1) * stride + reach - extent - pads[axis])
    return pads if dropped else None


def _forget(sketch: onnx.ModelProto) -> None:
    for graph in all_graphs(sketch.graph):
        del graph.value_info[:]
    for output in sketch.graph.output:
        output.type.tensor_type.ClearField("shape")
