"""Quantized (QDQ) networks with seeded random weights, for measuring machines where no trained weights are
needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["Activation", "QdqBuilder", "spread"]

OPSET = 17
WEIGHT_SCALE = 0.001
SPREAD = 40
"""Standard deviation, in steps, that weights have and activations should keep."""


@dataclass(frozen=True)
class Activation:
    """A quantized int8 tensor in the graph: its name, shape (n, c, h, w) or (n, c), scale and zero point."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int


class QdqBuilder:
    """Builds a QDQ graph operator by operator; every activation is int8, weights are int8 per channel.

    Output scales follow the expected spread of the sums, so that activations neither saturate nor vanish.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.count = 0

    def input(
        self, shape: tuple[int, ...], scale: float = 0.02, zero_point: int = 0, *, name: str = "input"
    ) -> Activation:
        """A float input, quantized at once."""
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return self._quantize(name, shape, scale, zero_point)

    def convolution(
        self, x: Activation, channels: int, kernel: int, stride: int = 1, *, group: int = 1, relu: bool = True,
        scale: float | None = None,
    ) -> Activation:  # fmt: skip
        """Conv with "same" padding for odd kernels, bias, and Relu if asked; `scale`: the output's, if given."""
        n, inputs, height, width = x.shape
        pad = kernel // 2
        weights = self._weights((channels, inputs // group, kernel, kernel))
        depth = inputs // group * kernel * kernel
        float_weights, scales = self._dequantized(weights)
        bias = self._bias(x, scales, depth)
        out = self._name("conv")
        self._node(
            "Conv", [self._dequantize(x), float_weights, bias], out, kernel_shape=[kernel, kernel],
            strides=[stride, stride], pads=[pad] * 4, group=group,
        )  # fmt: skip
        shape = (
            n,
            channels,
            (height + 2 * pad - kernel) // stride + 1,
            (width + 2 * pad - kernel) // stride + 1,
        )
        return self._finish(out, shape, spread(x, depth) if scale is None else scale, relu=relu)

    def dense(self, x: Activation, channels: int, *, relu: bool = False) -> Activation:
        """Gemm over a flattened input."""
        depth = int(np.prod(x.shape[1:]))
        flat = x
        if len(x.shape) != 2:
            flat = Activation(self._name("flat"), (x.shape[0], depth), x.scale, x.zero_point)
            self._node("Flatten", [x.name], flat.name, axis=1)
        float_weights, scales = self._dequantized(self._weights((channels, depth)))
        bias = self._bias(x, scales, depth)
        out = self._name("dense")
        self._node("Gemm", [self._dequantize(flat), float_weights, bias], out, transB=1)
        return self._finish(out, (x.shape[0], channels), spread(x, depth), relu=relu)

    def add(self, a: Activation, b: Activation, *, relu: bool = True) -> Activation:
        """Residual addition."""
        out = self._name("add")
        self._node("Add", [self._dequantize(a), self._dequantize(b)], out)
        return self._finish(out, a.shape, max(a.scale, b.scale) * 1.25, relu=relu)

    def concat(self, *parts: Activation) -> Activation:
        """Concatenation along the channels of activations that have one scale and zero point, which pass through."""
        if len({(each.scale, each.zero_point) for each in parts}) != 1:
            raise ValueError("the parts of a concatenation must have one scale and zero point")
        out = self._name("concat")
        self._node("Concat", [self._dequantize(each) for each in parts], out, axis=1)
        n, _, h, w = parts[0].shape
        return self._quantize(out, (n, sum(each.shape[1] for each in parts), h, w), parts[0].scale, parts[0].zero_point)

    def max_pool(self, x: Activation, kernel: int, stride: int, pad: int) -> Activation:
        """MaxPool; scale and zero point pass through."""
        out = self._name("pool")
        attributes: dict[str, Any] = {
            "kernel_shape": [kernel] * 2,
            "strides": [stride] * 2,
            "pads": [pad] * 4,
        }
        self._node("MaxPool", [self._dequantize(x)], out, **attributes)
        n, c, h, w = x.shape
        shape = (n, c, (h + 2 * pad - kernel) // stride + 1, (w + 2 * pad - kernel) // stride + 1)
        return self._quantize(out, shape, x.scale, x.zero_point)

    def global_average_pool(self, x: Activation) -> Activation:
        """GlobalAveragePool to [n, c, 1, 1]."""
        out = self._name("mean")
        self._node("GlobalAveragePool", [self._dequantize(x)], out)
        return self._quantize(out, (*x.shape[:2], 1, 1), x.scale, x.zero_point)

    def build(self, *outputs: Activation) -> onnx.ModelProto:
        """The checked model; its outputs are the dequantized activations, named "output", "output_1", …"""
        values = []
        for index, output in enumerate(outputs):
            name = f"output_{index}" if index else "output"
            self._node("DequantizeLinear", [output.name, *self._parameters(output)], name)
            values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, output.shape))
        graph = helper.make_graph(self.nodes, self.name, self.inputs, values, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        onnx.checker.check_model(model)
        return model

    def _name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}_{self.count}"

    def _node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(op, inputs, [output], name=f"{op}_{len(self.nodes)}", **attributes))

    def _constant(self, value: npt.NDArray[np.generic]) -> str:
        name = self._name("constant")
        self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def _parameters(self, x: Activation) -> list[str]:
        return [
            self._constant(np.array(x.scale, np.float32)),
            self._constant(np.array(x.zero_point, np.int8)),
        ]

    def _quantize(self, source: str, shape: tuple[int, ...], scale: float, zero_point: int) -> Activation:
        result = Activation(self._name("q"), shape, scale, zero_point)
        self._node("QuantizeLinear", [source, *self._parameters(result)], result.name)
        return result

    def _dequantize(self, x: Activation) -> str:
        name = self._name("dq")
        self._node("DequantizeLinear", [x.name, *self._parameters(x)], name)
        return name

    def _weights(self, shape: tuple[int, ...]) -> npt.NDArray[np.int8]:
        return np.clip(np.rint(self.random.normal(0, SPREAD, shape)), -127, 127).astype(np.int8)

    def _dequantized(self, weights: npt.NDArray[np.int8]) -> tuple[str, npt.NDArray[np.float32]]:
        """A DequantizeLinear of weights [outputs, ...], and its scales per output."""
        scales = (self.random.uniform(0.5, 1.5, len(weights)) * WEIGHT_SCALE).astype(np.float32)
        names = [
            self._constant(weights),
            self._constant(scales),
            self._constant(np.zeros(len(scales), np.int8)),
        ]
        out = self._name("weight")
        self._node("DequantizeLinear", names, out, axis=0)
        return out, scales

    def _bias(self, x: Activation, scales: npt.NDArray[np.float32], depth: int) -> str:
        channels = len(scales)
        values = np.rint(self.random.normal(0, 400 * np.sqrt(depth), channels)).astype(np.int32)
        products = np.multiply(np.float32(x.scale), scales, dtype=np.float32)
        out = self._name("bias")
        names = [
            self._constant(values),
            self._constant(products),
            self._constant(np.zeros(channels, np.int32)),
        ]
        self._node("DequantizeLinear", names, out, axis=0)
        return out

    def _finish(self, source: str, shape: tuple[int, ...], scale: float, *, relu: bool) -> Activation:
        if relu:
            out = self._name("relu")
            self._node("Relu", [source], out)
            return self._quantize(out, shape, scale, -128)
        return self._quantize(source, shape, scale, 3)


def spread(x: Activation, depth: int) -> float:
    """An output scale at which sums of `depth` products have a standard deviation of SPREAD steps."""
    return float(np.float32(x.scale * WEIGHT_SCALE * SPREAD * np.sqrt(depth)))
