"""A small writer of ONNX graphs: layers with seeded or given weights, and bodies of If, Loop and Scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18


class GraphWriter:
    """Collects nodes and constants of one graph; `body` starts one inside it, which sees this one's tensors."""

    def __init__(self, names: set[str] | None = None) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.values: list[onnx.ValueInfoProto] = []
        self._names = names if names is not None else set()

    def body(self) -> GraphWriter:
        """A graph inside this one, with names of its own."""
        return GraphWriter(self._names)

    def name(self, base: str) -> str:
        """A name not used before in the model."""
        name, count = base, 0
        while name in self._names:
            count += 1
            name = f"{base}_{count}"
        self._names.add(name)
        return name

    def constant(self, value: Any, base: str = "constant") -> str:
        """An initializer."""
        name = self.name(base)
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> Any:
        """A node; its output, or outputs where there are several."""
        names = [self.name(op.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=self.name(f"{op}_node"), **attributes))
        return names[0] if outputs == 1 else names

    def conv(self, source: str, weights: np.ndarray, bias: np.ndarray, stride: int = 1, relu: bool = True) -> str:
        """A convolution with padding that keeps the extents at stride 1, and Relu."""
        pad = weights.shape[2] // 2
        names = [source, self.constant(weights, "weights"), self.constant(bias, "bias")]
        result: str = self.node("Conv", names, pads=[pad] * 4, strides=[stride] * 2)
        return self.node("Relu", [result]) if relu else result

    def dense(self, source: str, weights: np.ndarray, bias: np.ndarray, relu: bool = False) -> str:
        """rows @ weights + bias."""
        result: str = self.node("Gemm", [source, self.constant(weights, "weights"), self.constant(bias, "bias")])
        return self.node("Relu", [result]) if relu else result

    def pooled(self, source: str) -> str:
        """The mean over all positions, [n, channels]."""
        return self.node("Flatten", [self.node("GlobalAveragePool", [source])])

    def above(self, value: str, threshold: float) -> str:
        """Whether a value of one element is above a threshold, a scalar bool."""
        larger = self.node("Greater", [value, self.constant(np.float32(threshold), "threshold")])
        return self.node("Reshape", [larger, self.constant(np.zeros(0, np.int64), "scalar")])

    def confidence(self, logits: str) -> str:
        """The largest probability, [n, 1]."""
        probabilities = self.node("Softmax", [logits], axis=1)
        axes = self.constant(np.asarray([1], np.int64), "axes")
        return self.node("ReduceMax", [probabilities, axes], keepdims=1)

    def if_(
        self, condition: str, then: GraphWriter, ours: Sequence[str], otherwise: GraphWriter, theirs: Sequence[str]
    ) -> Any:
        """An If with the two bodies and what each returns."""
        return self.node(
            "If", [condition], len(ours),
            then_branch=then.graph(ours), else_branch=otherwise.graph(theirs),
        )  # fmt: skip

    def value(self, base: str, kind: int, shape: Sequence[int]) -> str:
        """An input of this graph."""
        name = self.name(base)
        self.values.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def graph(self, outputs: Sequence[str]) -> onnx.GraphProto:
        """The graph with these results, each by an Identity, because ONNX wants results made inside."""
        results = []
        for output in outputs:
            name = self.name("result")
            self.nodes.append(helper.make_node("Identity", [output], [name], name=self.name("Identity_node")))
            results.append(onnx.ValueInfoProto(name=name))
        return helper.make_graph(self.nodes, self.name("body"), self.values, results, self.constants)

    def model(self, outputs: Sequence[tuple[str, int, Sequence[int | str]]]) -> onnx.ModelProto:
        """The whole model: results by tensor, element type and shape, named output_0, output_1, …"""
        results = []
        for index, (source, kind, shape) in enumerate(outputs):
            self.nodes.append(helper.make_node("Identity", [source], [f"output_{index}"], name=f"give_{index}"))
            results.append(helper.make_tensor_value_info(f"output_{index}", kind, list(shape)))
        graph = helper.make_graph(self.nodes, "dynamic", self.values, results, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        onnx.checker.check_model(model)
        return model


FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
