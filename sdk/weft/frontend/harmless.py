"""Nodes that may run although nothing asked for their results."""

from __future__ import annotations

from collections.abc import Container

import onnx

from weft.frontend.topology import subgraphs

__all__ = ["is_harmless"]

HARMLESS = frozenset({
    "Abs", "Add", "And", "AveragePool", "BatchNormalization", "Ceil", "Celu", "Clip", "Concat", "Conv", "ConvTranspose",
    "DequantizeLinear", "Elu", "Equal", "Erf", "Exp", "Flatten", "Floor", "Gelu", "Gemm", "GlobalAveragePool",
    "GlobalMaxPool", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization",
    "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax", "MatMul", "Max", "MaxPool", "Min",
    "Mish", "Mul", "Neg", "Not", "Or", "PRelu", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "Relu", "Round",
    "Selu", "Sigmoid", "Sign", "Softmax", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Tanh", "Transpose", "Where",
    "Xor",
})  # fmt: skip
"""Operators that give a result whatever values they are given, in tensors of static shape."""
SHAPED_BY_CONSTANTS = frozenset({
    "Expand", "Gather", "Pad", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "Reshape", "Resize", "Slice",
    "Split", "Squeeze", "Tile", "Unsqueeze",
})  # fmt: skip
"""The same, where all operands but the first are constants."""


def is_harmless(node: onnx.NodeProto, constants: Container[str]) -> bool:
    """Whether a node on tensors of static shape gives a result whatever values it is given."""
    if node.domain not in ("", "ai.onnx") or any(True for _ in subgraphs(node)):
        return False
    fixed = all(name in constants for name in node.input[1:] if name)
    return node.op_type in HARMLESS or (node.op_type in SHAPED_BY_CONSTANTS and fixed)
