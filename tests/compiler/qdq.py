"""Small QDQ models for tests: one quantized operator each, with seeded random data."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from weft.compiler import compile as compile_model
from weft.frontend import Model, integerize, normalize, reference_session
from weft.partition.costs import host_profile
from weft_runtime.executable import Executable
from weft_runtime.session import Session

Case = tuple[onnx.ModelProto, dict[str, Any]]

DTYPES = {"int8": (np.int8, TensorProto.INT8), "uint8": (np.uint8, TensorProto.UINT8)}
SLOW_HOST = dataclasses.replace(
    host_profile("cortex-a53"), name="slow", node_microseconds=1e6, launch_microseconds=0, transfer_microseconds=0
)
"""On this host no operator is too small for the accelerator: all that it takes runs there."""


def zero_point(draw: Any, dtype: str) -> int:
    low, high = (-128, 127) if dtype == "int8" else (0, 255)
    return int(draw(st.sampled_from((low, high, (low + high + 1) // 2)) | st.integers(low, high)))


def run(case: Case, target: str, device: str) -> Executable:
    """Compiles and runs a model with inputs; every bit as the integer graph's in ONNX Runtime."""
    proto, feeds = case
    model = Model(proto)
    executable = compile_model(model, target, host=SLOW_HOST)
    reference = reference_session(integerize(normalize(model)))
    with Session(executable, device=device) as session:
        answers = session.run(feeds)
    for output, wanted in zip(reference.get_outputs(), reference.run(None, feeds), strict=True):
        np.testing.assert_array_equal(answers[output.name], wanted)
    return executable


class Qdq:
    """A graph under construction. Quantized values are int8 or uint8 with any zero point."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.shapes: dict[str, tuple[tuple[int, ...], str]] = {}

    def constant(self, value: npt.NDArray[Any] | np.generic) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        out = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [out], name=f"n{len(self.nodes)}_{op}", **attributes))
        return out

    def input(self, shape: tuple[int, ...], dtype: str) -> str:
        name = f"x{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, DTYPES[dtype][1], shape))
        self.shapes[name] = (shape, dtype)
        return name

    def dequantize(self, name: str, scale: float, zero: int, dtype: str) -> str:
        zero_point = DTYPES[dtype][0](zero)
        return self.node("DequantizeLinear", [name, self.constant(np.float32(scale)), self.constant(zero_point)])

    def stored(self, value: str, scale: float, zero: int) -> str:
        """A float value rounded to uint8, restored."""
        names = [self.constant(np.float32(scale)), self.constant(np.uint8(zero))]
        return self.dequantize(self.node("QuantizeLinear", [value, *names]), scale, zero, "uint8")

    def output(self, name: str, scale: float, zero: int, dtype: str) -> str:
        zero_point = DTYPES[dtype][0](zero)
        out = self.node("QuantizeLinear", [name, self.constant(np.float32(scale)), self.constant(zero_point)])
        self.outputs.append(helper.make_tensor_value_info(out, DTYPES[dtype][1], None))
        return out

    def weights(
        self, shape: tuple[int, ...], dtype: str, zero: int, *, per_channel: bool
    ) -> tuple[str, npt.NDArray[Any]]:
        info = np.iinfo(DTYPES[dtype][0])
        values = self.random.integers(info.min, info.max + 1, shape).astype(info.dtype)
        count = shape[0] if per_channel else 1
        scales = self.random.uniform(0.002, 0.02, count).astype(np.float32)
        zeros = np.full(count, zero, info.dtype)
        if not per_channel:
            names = [self.constant(values), self.constant(scales[0]), self.constant(zeros[0])]
            return self.node("DequantizeLinear", names), scales
        names = [self.constant(values), self.constant(scales), self.constant(zeros)]
        return self.node("DequantizeLinear", names, axis=0), scales

    def bias(self, x_scale: float, scales: npt.NDArray[Any], channels: int, spread: float) -> str:
        values = np.rint(self.random.normal(0, spread, channels)).astype(np.int32)
        product = (np.float32(x_scale) * scales).astype(np.float32)
        if len(product) == 1:
            names = [self.constant(values), self.constant(product[0]), self.constant(np.int32(0))]
            return self.node("DequantizeLinear", names)
        zeros = np.zeros(channels, np.int32)
        return self.node(
            "DequantizeLinear", [self.constant(values), self.constant(product), self.constant(zeros)], axis=0
        )

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "test", self.inputs, self.outputs, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model, strict_mode=True)

    def feeds(self) -> dict[str, npt.NDArray[Any]]:
        result = {}
        for name, (shape, dtype) in self.shapes.items():
            info = np.iinfo(DTYPES[dtype][0])
            result[name] = self.random.integers(info.min, info.max + 1, shape).astype(info.dtype)
        return result
