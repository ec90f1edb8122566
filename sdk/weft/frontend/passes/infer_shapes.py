"""Static shapes of all tensors, as far as ONNX's inference finds them."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import helper, shape_inference

from weft.errors import ModelError
from weft.frontend.graph import is_standard
from weft.frontend.model import Model
from weft.frontend.passes.loop_extents import LoopExtents
from weft.frontend.passes.pool_extents import round_down
from weft.frontend.topology import all_graphs

HIDDEN_DOMAIN = "weft.hidden"
# Shapes never depend on the values of larger constants, and copying those costs time.
LARGE_CONSTANT = 4096
# Inference runs once for each time that a Slice waits for a result behind another, for each pooling that starts in the
# padding, and for each Loop behind another; what waits longer stays unknown.
ROUNDS = 64
SOUND = frozenset(
    {
        "Abs", "Add", "And", "Cast", "Ceil", "Clip", "Concat", "DequantizeLinear", "Div", "Dropout", "Elu", "Equal",
        "Erf", "Exp", "Floor", "Gelu", "Gemm", "Greater", "HardSigmoid", "HardSwish", "Identity",
        "LayerNormalization", "LeakyRelu", "Less", "Log", "LogSoftmax", "MatMul", "Max", "Min", "Mod", "Mul", "Neg",
        "Not", "Or", "PRelu", "Pow", "QuantizeLinear", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Slice",
        "Softmax", "Softplus", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "Transpose", "Unsqueeze", "Where",
    }
)  # fmt: skip
"""Operators that give no negative extent unless they take one."""


@dataclass(frozen=True)
class InferShapes:
    """Writes the inferred shape and type of every tensor into the model. Where inference fails the model
    stays as it is: tensors of unknown shape stay on the host, where ONNX Runtime finds their shapes itself.

    Raises ModelError where an extent comes out negative, as behind a window larger than its padded input.
    ONNX's inference aborts the process at a Slice of such a tensor, so a Slice is only shown to it once its
    input's shape is known to be sound: inferred and checked, or made of such by operators that keep it sound.
    """

    name: str = "infer-shapes"

    def run(self, model: Model) -> Model:
        sketch = _sketch(model.proto)
        hidden, loops = _hide_slices(sketch), LoopExtents()
        try:
            for _ in range(ROUNDS):
                inferred = shape_inference.infer_shapes(sketch, strict_mode=False, data_prop=True)
                _check_extents(inferred, model.name)
                learned = (round_down(sketch, inferred), loops.settle(sketch, inferred))
                if not any(learned) and not (hidden and _show_slices(sketch, inferred)):
                    break
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


def _hide_slices(sketch: onnx.ModelProto) -> bool:
    """Makes every Slice an operator unknown to ONNX; whether there was one."""
    found = False
    for graph in all_graphs(sketch.graph):
        for node in graph.node:
            if is_standard(node, "Slice"):
                node.domain, found = HIDDEN_DOMAIN, True
    return found


def _show_slices(sketch: onnx.ModelProto, inferred: onnx.ModelProto) -> bool:
    """Shows each hidden Slice of the main graph whose input's shape is sound; whether there was one."""
    values = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
    sound = {value.name for value in values if value.type.tensor_type.HasField("shape")}
    sound |= {tensor.name for tensor in inferred.graph.initializer}
    shown = False
    for node in sketch.graph.node:
        read = node.input[:1] if node.op_type == "Slice" else node.input
        if not read or node.op_type not in SOUND or not all(name in sound for name in read if name):
            continue
        if node.domain == HIDDEN_DOMAIN:
            node.domain = ""
            shown = True
        if node.domain in ("", "ai.onnx"):
            sound.update(node.output)
    return shown


def _check_extents(inferred: onnx.ModelProto, name: str) -> None:
    graph = inferred.graph
    for value in (*graph.value_info, *graph.input, *graph.output):
        extents = [extent.dim_value for extent in value.type.tensor_type.shape.dim]
        if min(extents, default=0) < 0:
            raise ModelError(
                f"{name}: tensor '{value.name}' would have the shape {extents}; "
                "check windows, strides and pads of the nodes before it"
            )
