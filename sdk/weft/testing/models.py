"""Small float models with seeded weights: one for each kind of operator, and one for each shape of a region."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from weft.frontend import Model

__all__ = ["OPERATORS", "REGIONS", "Make"]

Make = Callable[[np.random.Generator], Model]
Shape = Sequence[int | str]


class _Graph:
    """Nodes in order; weights get names of their own."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, *shape: int) -> str:
        return self.constant(self.rng.normal(0, max(1, math.prod(shape[1:])) ** -0.5, shape).astype(np.float32))

    def constant(self, values: npt.NDArray[Any]) -> str:
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], f"{kind}_{len(self.nodes)}", **attributes))
        return output

    def model(self, inputs: dict[str, Shape], outputs: dict[str, Shape]) -> Model:
        graph = helper.make_graph(
            self.nodes,
            "conformance",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            self.weights,
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(proto, full_check=True)
        return Model(proto, name="conformance")


def _convolution(channels: int, filters: int, size: int, **attributes: Any) -> Make:
    def make(rng: np.random.Generator) -> Model:
        graph = _Graph(rng)
        kernel = attributes.get("kernel_shape", [1, 1])
        group = attributes.get("group", 1)
        weights = graph.weight(filters, channels // group, *kernel)
        found = graph.add("Conv", "x", weights, graph.weight(filters), **attributes)
        graph.add("Relu", found, output="y")
        return graph.model({"x": [1, channels, size, size + 1]}, {"y": [1, filters, None, None]})  # type: ignore[list-item]

    return make


def _matrix(rows: int, depth: int, columns: int) -> Make:
    def make(rng: np.random.Generator) -> Model:
        graph = _Graph(rng)
        found = graph.add("MatMul", "x", graph.weight(depth, columns))
        graph.add("Add", found, graph.weight(columns), output="y")
        return graph.model({"x": [rows, depth]}, {"y": [rows, columns]})

    return make


def _gemm(rows: int, depth: int, columns: int) -> Make:
    def make(rng: np.random.Generator) -> Model:
        graph = _Graph(rng)
        graph.add("Gemm", "x", graph.weight(columns, depth), graph.weight(columns), output="y", transB=1)
        return graph.model({"x": [rows, depth]}, {"y": [rows, columns]})

    return make


def _unary(kind: str, **attributes: Any) -> Make:
    """Between two convolutions, where it costs a transfer if it is not taken."""

    def make(rng: np.random.Generator) -> Model:
        graph = _Graph(rng)
        found = graph.add("Conv", "x", graph.weight(12, 5, 1, 1))
        found = graph.add(kind, found, **attributes)
        graph.add("Conv", found, graph.weight(3, 12, 1, 1), output="y")
        return graph.model({"x": [1, 5, 8, 8]}, {"y": [1, 3, None, None]})  # type: ignore[list-item]

    return make


def _binary(kind: str) -> Make:
    def make(rng: np.random.Generator) -> Model:
        graph = _Graph(rng)
        left = graph.add("Conv", "a", graph.weight(7, 4, 1, 1))
        right = graph.add("Conv", "b", graph.weight(7, 4, 1, 1))
        graph.add(kind, left, right, output="y")
        return graph.model({"a": [1, 4, 5, 3], "b": [1, 4, 5, 3]}, {"y": [1, 7, 5, 3]})

    return make


def _chain(rng: np.random.Generator) -> Model:
    graph = _Graph(rng)
    value = "x"
    for depth, columns in ((9, 33), (33, 17), (17, 4)):
        value = graph.add("Relu", graph.add("MatMul", value, graph.weight(depth, columns)))
    graph.add("Identity", value, output="y")
    return graph.model({"x": ["batch", 9]}, {"y": ["batch", 4]})


def _diamond(rng: np.random.Generator) -> Model:
    """Two paths to one sum, one of them over an operator that hardly any accelerator has."""
    graph = _Graph(rng)
    first = graph.add("Relu", graph.add("MatMul", "x", graph.weight(16, 16)))
    left = graph.add("MatMul", first, graph.weight(16, 16))
    right = graph.add("Cos", graph.add("MatMul", first, graph.weight(16, 16)))
    graph.add("MatMul", graph.add("Add", left, right), graph.weight(16, 5), output="y")
    return graph.model({"x": [3, 16]}, {"y": [3, 5]})


def _inner_output(rng: np.random.Generator) -> Model:
    """The value between two products is an output of the model as well."""
    graph = _Graph(rng)
    graph.add("Relu", graph.add("MatMul", "x", graph.weight(8, 20)), output="inner")
    graph.add("MatMul", "inner", graph.weight(20, 6), output="y")
    return graph.model({"x": [2, 8]}, {"inner": [2, 20], "y": [2, 6]})


def _two_inputs(rng: np.random.Generator) -> Model:
    graph = _Graph(rng)
    left = graph.add("MatMul", "a", graph.weight(8, 10))
    right = graph.add("MatMul", "b", graph.weight(6, 10))
    graph.add("Add", left, right, output="y")
    return graph.model({"a": [2, 8], "b": [2, 6]}, {"y": [2, 10]})


def _shared_weights(rng: np.random.Generator) -> Model:
    graph = _Graph(rng)
    weights = graph.weight(12, 12)
    value = graph.add("Relu", graph.add("MatMul", "x", weights))
    value = graph.add("Relu", graph.add("MatMul", value, weights))
    graph.add("MatMul", value, weights, output="y")
    return graph.model({"x": [4, 12]}, {"y": [4, 12]})


def _no_work(rng: np.random.Generator) -> Model:
    graph = _Graph(rng)
    graph.add("Cos", "x", output="y")
    return graph.model({"x": [2, 3]}, {"y": [2, 3]})


OPERATORS: dict[str, Make] = {
    "matmul": _matrix(3, 16, 16),
    "matmul, odd extents": _matrix(5, 37, 19),
    "matmul, one row": _matrix(1, 300, 10),
    "gemm": _gemm(4, 24, 40),
    "conv 1x1": _convolution(16, 8, 6, kernel_shape=[1, 1]),
    "conv 1x1, odd channels": _convolution(5, 21, 7, kernel_shape=[1, 1]),
    "conv 1x1, strided": _convolution(8, 8, 7, kernel_shape=[1, 1], strides=[2, 2]),
    "conv 3x3": _convolution(3, 8, 9, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "conv 3x3, strided": _convolution(6, 9, 9, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
    "conv 3x3, dilated": _convolution(4, 4, 9, kernel_shape=[3, 3], dilations=[2, 2]),
    "conv 3x3, grouped": _convolution(12, 8, 6, kernel_shape=[3, 3], group=4),
    "conv 3x3, depthwise": _convolution(10, 10, 8, kernel_shape=[3, 3], group=10, pads=[1, 1, 1, 1]),
    "max pool": _unary("MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
    "average pool": _unary("AveragePool", kernel_shape=[2, 2], strides=[2, 2]),
    "global average": _unary("GlobalAveragePool"),
    "sigmoid": _unary("Sigmoid"),
    "transpose": _unary("Transpose", perm=[0, 1, 3, 2]),
    "softmax": _unary("Softmax", axis=1),
    "add": _binary("Add"),
    "mul": _binary("Mul"),
}
"""By name: an operator with what surrounds it."""

REGIONS: dict[str, Make] = {
    "chain, dynamic batch": _chain,
    "diamond": _diamond,
    "inner output": _inner_output,
    "two inputs": _two_inputs,
    "shared weights": _shared_weights,
    "nothing to take": _no_work,
}
"""By name: models whose regions have borders of every kind."""
