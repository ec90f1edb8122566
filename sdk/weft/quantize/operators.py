"""Which operators the quantizer surrounds with QuantizeLinear and DequantizeLinear, and how."""

from __future__ import annotations

import numpy as np
import onnx

from weft.frontend.graph import Graph, is_standard, text

WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")
BINARY = ("Add", "Sub", "Mul", "Max", "Min")
# One value in, one value out: a table of 256 entries in hardware.
UNARY = (
    "Relu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "LeakyRelu", "Elu", "Selu", "Celu",
    "Softplus", "Softsign", "Mish", "Gelu", "Erf", "Abs", "Neg",
)  # fmt: skip
REDUCING = ("AveragePool", "GlobalAveragePool", "ReduceMean", "Softmax", "LayerNormalization", "InstanceNormalization")
# Outputs are a selection of the inputs, so they share their scale and zero point.
MOVING = (
    "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Gather", "Pad", "Resize",
    "Concat", "MaxPool", "GlobalMaxPool", "DepthToSpace", "SpaceToDepth", "Expand", "Tile", "Where",
)  # fmt: skip
FUSED = ("Relu", "Clip")
FUSES_INTO = ("Conv", "ConvTranspose", "MatMul", "Gemm", *BINARY)


def is_computing(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node computes on float32 activations with an operator that can be quantized."""
    if (
        not (is_standard(node, *WEIGHTED, *BINARY, *UNARY, *REDUCING) or is_interpolating(graph, node))
        or not node.input
    ):
        return False
    if any(name for name in node.output[1:]) or not _is_float(graph, node.output[0]):
        return False
    operands = node.input[:2] if node.op_type in (*WEIGHTED, *BINARY) else node.input[:1]
    if node.op_type in ("Max", "Min") and (len(node.input) != 2 or any(name in graph.constants for name in operands)):
        return False
    if not all(_is_float(graph, name) for name in operands) or all(name in graph.constants for name in operands):
        return False
    return node.op_type not in WEIGHTED or _weights_are_quantizable(graph, node)


def is_moving(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node only selects and moves float32 activations."""
    if is_standard(node, "Where"):
        return _selects_activations(graph, node)
    if not is_standard(node, *MOVING) or not node.input or not _is_float(graph, node.input[0]):
        return False
    results = node.output if node.op_type == "Split" else node.output[:1]
    if not all(_is_float(graph, name) for name in results):
        return False
    if node.op_type != "Split" and any(graph.consumers(name) or name in graph.output_names for name in node.output[1:]):
        return False
    if node.op_type == "Resize" and text(node, "mode", "nearest") != "nearest":
        return False
    if node.op_type == "Pad" and not _pad_value_is_storable(graph, node):
        return False
    return any(name not in graph.constants for name in moved_inputs(node))


def is_interpolating(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a Resize computes between elements of images instead of selecting them."""
    shape = graph.shape(node.input[0]) if is_standard(node, "Resize") else None
    return shape is not None and len(shape) == 4 and text(node, "mode", "nearest") == "linear"


def is_selecting(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a quantized node's results are elements of its inputs, in their scale."""
    return is_standard(node, *MOVING) and not is_interpolating(graph, node)


def moved_inputs(node: onnx.NodeProto) -> tuple[str, ...]:
    """The inputs whose values a moving node passes on (the others are shapes, axes, indices)."""
    if node.op_type == "Where":
        return tuple(node.input[1:3])
    return tuple(node.input) if node.op_type == "Concat" else (node.input[0],)


def pad_value(graph: Graph, node: onnx.NodeProto) -> float | None:
    """The constant that a Pad fills in; 0 by default, None where it is not constant or the mode fills in
    none."""
    if text(node, "mode", "constant") != "constant":
        return None
    if len(node.input) < 3 or not node.input[2]:
        return 0.0
    value = graph.constant(node.input[2])
    return None if value is None or value.size != 1 else float(value.reshape(()))


def _selects_activations(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a Where chooses between two float32 activations of its result's shape."""
    names = (*node.input[1:3], node.output[0])
    if len(node.input) != 3 or not all(_is_float(graph, name) for name in names):
        return False
    shapes = {graph.static_shape(name) for name in names}
    return len(shapes) == 1 and None not in shapes and not any(name in graph.constants for name in names)


def _pad_value_is_storable(graph: Graph, node: onnx.NodeProto) -> bool:
    if text(node, "mode", "constant") != "constant":
        return True
    value = pad_value(graph, node)
    return value is not None and bool(np.isfinite(value))


def _weights_are_quantizable(graph: Graph, node: onnx.NodeProto) -> bool:
    """Convolutions need constant weights; a bias must be constant and hold one value per output channel."""
    weights = graph.constant(node.input[1])
    if weights is None:
        no_bias = len(node.input) < 3 or not node.input[2]
        return node.op_type == "MatMul" or (node.op_type == "Gemm" and no_bias)
    if weights.dtype != np.float32 or not np.all(np.isfinite(weights)) or weights.size == 0:
        return False
    if len(node.input) < 3 or not node.input[2]:
        return True
    bias = graph.constant(node.input[2])
    if bias is None or bias.dtype != np.float32 or not np.all(np.isfinite(bias)):
        return False
    return node.op_type != "Gemm" or bias.size == 1 or (bias.ndim > 0 and bias.size == bias.shape[-1])


def _is_float(graph: Graph, name: str) -> bool:
    return bool(name) and graph.element_type(name) == onnx.TensorProto.FLOAT
