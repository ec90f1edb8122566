"""What a node costs on the host: products by rate, everything else by bytes, and a fixed time for each node."""

from __future__ import annotations

import math

import onnx

from weft.ir import Graph
from weft.ir.macs import node_macs
from weft.partition.costs.profile import HostProfile

__all__ = ["host_nanoseconds"]

INTEGER = frozenset({"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"})
FUNCTIONS = frozenset(
    {
        "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cos", "Cosh", "Elu", "Erf", "Exp", "Gelu",
        "HardSigmoid", "HardSwish", "InstanceNormalization", "LayerNormalization", "Log", "LogSoftmax", "Mish",
        "Pow", "Reciprocal", "Selu", "Sigmoid", "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Sqrt", "Tan",
        "Tanh",
    }
)  # fmt: skip
FREE = frozenset({"Constant", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Shape"})
"""Operators that ONNX Runtime executes without touching the elements (or nearly so)."""

DEFAULT_BYTES = 4


def host_nanoseconds(graph: Graph, node: onnx.NodeProto, profile: HostProfile) -> int:
    """Estimated time of one node of the integer graph in ONNX Runtime on the host, in nanoseconds."""
    time = 1000 * profile.node_microseconds
    macs = node_macs(graph, node)
    if macs:
        time += macs / (profile.int8_gmacs if node.op_type in INTEGER else profile.float_gmacs)
    if node.op_type not in FREE:
        names = [name for name in (*node.input, *node.output) if name]
        time += sum(_nbytes(graph, name) for name in names) / profile.elementwise_gbytes
    if node.op_type in FUNCTIONS:
        time += math.prod(graph.shape(node.output[0]) or (0,)) / profile.function_gelements
    return math.ceil(time)


def _nbytes(graph: Graph, name: str) -> int:
    """Bytes of a value; 0 where its shape is not known."""
    shape = graph.shape(name)
    if shape is None:
        return 0
    if name in graph.initializers:
        return math.prod(shape) * _size(graph.initializers[name].data_type)
    value = graph.values.get(name)
    return math.prod(shape) * (DEFAULT_BYTES if value is None else _size(value.type.tensor_type.elem_type))


def _size(element_type: int) -> int:
    try:
        return max(1, int(onnx.helper.tensor_dtype_to_np_dtype(element_type).itemsize))
    except KeyError:
        return DEFAULT_BYTES
