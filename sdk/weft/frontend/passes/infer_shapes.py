"""Static shapes of all tensors, as far as ONNX's inference finds them."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import helper, shape_inference

from weft.errors import ModelError
from weft.frontend.graph import is_standard
from weft.frontend.model import Model
from weft.frontend.topology import all_graphs

HIDDEN_DOMAIN = "weft.hidden"
# Shapes never depend on the values of larger constants, and copying those costs time.
LARGE_CONSTANT = 4096


@dataclass(frozen=True)
class InferShapes:
    """Writes the inferred shape and type of every tensor into the model. Where inference fails the model
    stays as it is: tensors of unknown shape stay on the host, where ONNX Runtime finds their shapes itself.

    Raises ModelError where an extent comes out negative, as behind a window larger than its padded input.
    ONNX's inference aborts the process at a Slice of such a tensor, so a Slice is only shown to it once its
    input's shape is known to be sound.
    """

    name: str = "infer-shapes"

    def run(self, model: Model) -> Model:
        sketch = _sketch(model.proto)
        hidden = _hide_slices(sketch)
        try:
            while True:
                inferred = shape_inference.infer_shapes(sketch, strict_mode=False, data_prop=True)
                _check_extents(inferred, model.name)
                shown = _show_slices(hidden, inferred)
                if not shown:
                    break
                hidden = [node for node in hidden if node.domain == HIDDEN_DOMAIN]
        except (shape_inference.InferenceError, RuntimeError, ValueError):
            return model
        proto = onnx.ModelProto()
        proto.CopyFrom(model.proto)
        made = {name for node in proto.graph.node for name in node.output}
        del proto.graph.value_info[:], proto.graph.output[:]
        proto.graph.value_info.extend(value for value in inferred.graph.value_info if value.name in made)
        proto.graph.output.extend(inferred.graph.output)
        return model.with_proto(proto)


def _sketch(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with large constants as inputs of the same type and shape."""
    sketch = onnx.ModelProto(ir_version=max(proto.ir_version, 4))
    sketch.opset_import.extend(proto.opset_import)
    sketch.opset_import.append(helper.make_opsetid(HIDDEN_DOMAIN, 1))
    graph = sketch.graph
    graph.name = proto.graph.name or "graph"
    graph.node.extend(proto.graph.node)
    graph.value_info.extend(proto.graph.value_info)
    graph.output.extend(proto.graph.output)
    graph.sparse_initializer.extend(proto.graph.sparse_initializer)
    graph.input.extend(proto.graph.input)
    listed = {value.name for value in proto.graph.input}
    for tensor in proto.graph.initializer:
        if tensor.ByteSize() <= LARGE_CONSTANT:
            graph.initializer.append(tensor)
        elif tensor.name not in listed:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return sketch


def _hide_slices(sketch: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Makes every Slice an operator unknown to ONNX; returns those of the main graph."""
    for graph in all_graphs(sketch.graph):
        for node in graph.node:
            if is_standard(node, "Slice"):
                node.domain = HIDDEN_DOMAIN
    return [node for node in sketch.graph.node if node.domain == HIDDEN_DOMAIN]


def _show_slices(hidden: list[onnx.NodeProto], inferred: onnx.ModelProto) -> bool:
    """Shows each hidden Slice whose input's rank is known; whether there was one."""
    values = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
    ranked = {value.name for value in values if value.type.tensor_type.HasField("shape")}
    ranked |= {tensor.name for tensor in inferred.graph.initializer}
    ready = [node for node in hidden if node.input and node.input[0] in ranked]
    for node in ready:
        node.domain = ""
    return bool(ready)


def _check_extents(inferred: onnx.ModelProto, name: str) -> None:
    graph = inferred.graph
    for value in (*graph.value_info, *graph.input, *graph.output):
        extents = [extent.dim_value for extent in value.type.tensor_type.shape.dim]
        if min(extents, default=0) < 0:
            raise ModelError(
                f"{name}: tensor '{value.name}' would have the shape {extents}; "
                "check windows, strides and pads of the nodes before it"
            )
