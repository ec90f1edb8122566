"""Every operator that Weft promises on the accelerator, one small QDQ model each: no node of it stays on the host, and
every bit is the integer graph's (exact operators) or within the documented bound (`weft verify`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from qdq import SLOW_HOST, Qdq

import weft
from weft.compiler import compile as compile_model
from weft.frontend import Model

SCALE, ZERO = 0.02, 120
GROUPS = 4
Build = Callable[[Qdq, str], str]
IMAGE, MATRIX, TOKENS = (1, 6, 9, 8), (5, 12), (2, 4, 12)


def single(op: str, *constants: Any, **attributes: Any) -> Build:
    """One node that reads the activation and constants."""
    return lambda q, x: q.node(op, [x, *(q.constant(np.asarray(each)) for each in constants)], **attributes)


def chain(*steps: tuple[str, dict[str, Any]]) -> Build:
    """Nodes of one input behind each other."""

    def build(q: Qdq, x: str) -> str:
        for op, attributes in steps:
            x = q.node(op, [x], **attributes)
        return x

    return build


def weighted(op: str, shape: tuple[int, ...], **attributes: Any) -> Build:
    """A node with constant quantized weights."""
    return lambda q, x: q.node(op, [x, q.weights(shape, "int8", 0, per_channel=False)[0]], **attributes)


def binary(op: str, shape: tuple[int, ...] = IMAGE) -> Build:
    """Two activations."""
    return lambda q, x: q.node(op, [x, q.dequantize(q.input(shape, "uint8"), 0.015, 100, "uint8")])


def broadcast(op: str, shape: tuple[int, ...]) -> Build:
    """Two activations, the second of which computes on the accelerator too: its expansion lies between."""

    def build(q: Qdq, x: str) -> str:
        second = q.node("Sigmoid", [q.dequantize(q.input(shape, "uint8"), 0.015, 100, "uint8")])
        return q.node(op, [x, q.stored(second, 0.004, 0)])

    return build


def floats(*values: float, shape: tuple[int, ...] = (-1,)) -> np.ndarray[Any, Any]:
    return np.asarray(values, np.float32).reshape(shape)


def gated(q: Qdq, x: str) -> str:
    """x · sigmoid(x), as PyTorch's SiLU is exported."""
    return q.node("Mul", [x, q.node("Sigmoid", [x])])


def beyond_a_threshold(q: Qdq, x: str) -> str:
    beyond = q.node("Greater", [x, q.constant(np.float32(0.3))])
    return q.node("Where", [beyond, x, q.constant(np.float32(-0.1))])


def chosen(q: Qdq, x: str) -> str:
    """One of two activations of one scale, element by element."""
    other = q.stored(q.node("Sigmoid", [q.dequantize(q.input(IMAGE, "uint8"), SCALE, ZERO, "uint8")]), SCALE, ZERO)
    beyond = q.node("Greater", [other, q.constant(np.float32(0.3))])
    return q.stored(q.node("Where", [beyond, x, other]), SCALE, ZERO)


def gelu_by_erf(q: Qdq, x: str) -> str:
    scaled = q.node("Erf", [q.node("Div", [x, q.constant(np.float32(np.sqrt(2)))])])
    moved = q.node("Add", [scaled, q.constant(np.float32(1))])
    return q.node("Mul", [q.node("Mul", [x, moved]), q.constant(np.float32(0.5))])


def gemm(q: Qdq, x: str) -> str:
    weights, scales = q.weights((7, 5), "int8", 0, per_channel=False)
    return q.node("Gemm", [x, weights, q.bias(SCALE, scales, 7, 300.0)], transA=1, transB=1)


def scaled_gemm(q: Qdq, x: str) -> str:
    return q.node("Gemm", [x, q.weights((12, 7), "int8", 0, per_channel=False)[0]], alpha=0.5)


def binary_concat(q: Qdq, x: str) -> str:
    return q.node("Concat", [x, q.dequantize(q.input(IMAGE, "uint8"), 0.015, 100, "uint8")], axis=1)


def half(q: Qdq, x: str) -> str:
    first, second = "first half", "second half"
    q.nodes.append(helper.make_node("Split", [x], [first, second], name="split", axis=1, num_outputs=2))
    return q.node("Concat", [second, first], axis=1)


def normalized_rows(q: Qdq, x: str) -> str:
    gamma, beta = (q.constant(np.linspace(low, 1.5, 12, dtype=np.float32)) for low in (0.5, -1.0))
    return q.node("LayerNormalization", [x, gamma, beta], axis=-1)


def normalized_channels(q: Qdq, x: str) -> str:
    rows = [q.constant(np.linspace(low, 2.0, 6, dtype=np.float32)) for low in (0.5, -1.0, -0.2, 0.4)]
    return q.node("BatchNormalization", [x, *rows])


def normalized_image(q: Qdq, x: str) -> str:
    rows = [q.constant(np.linspace(low, 2.0, 6, dtype=np.float32)) for low in (0.5, -1.0)]
    return q.node("InstanceNormalization", [x, *rows])


def squeezed(q: Qdq, x: str) -> str:
    narrow = q.node("Squeeze", [x, q.constant(np.asarray([2]))])
    return q.node("Unsqueeze", [narrow, q.constant(np.asarray([3]))])


def shuffled(q: Qdq, x: str) -> str:
    apart = q.node("Reshape", [x, q.constant(np.asarray([1, 2, 3, 9, 8]))])
    turned = q.node("Transpose", [apart], perm=[0, 2, 1, 3, 4])
    return q.node("Reshape", [turned, q.constant(np.asarray(IMAGE))])


def resized(mode: str, transformation: str) -> Build:
    return lambda q, x: q.node(
        "Resize", [x, "", q.constant(floats(1, 1, 2, 2))], mode=mode, coordinate_transformation_mode=transformation,
        nearest_mode="floor",
    )  # fmt: skip


POOL = {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}
CASES: dict[str, tuple[tuple[int, ...], Build]] = {
    "Conv, two dimensions, uneven pads": (IMAGE, weighted("Conv", (5, 6, 3, 3), pads=[1, 0, 2, 1])),
    "Conv, one dimension, dilated": ((1, 6, 20), weighted("Conv", (5, 6, 3), dilations=[2])),
    "Conv, strides, SAME_UPPER": (IMAGE, weighted("Conv", (5, 6, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER")),
    "Conv, groups": (IMAGE, weighted("Conv", (4, 3, 3, 3), group=2)),
    "Conv, depthwise with multiplier": (IMAGE, weighted("Conv", (12, 1, 3, 3), group=6)),
    "ConvTranspose": (IMAGE, weighted("ConvTranspose", (6, 5, 2, 2), strides=[2, 2])),
    "MatMul with a constant": (TOKENS, weighted("MatMul", (12, 7))),
    "MatMul of activations, batched": (TOKENS, binary("MatMul", (2, 12, 3))),
    "MatMul of activations, broadcast": ((2, 3, 4, 12), binary("MatMul", (3, 12, 5))),
    "Gemm, both transposed, with bias": ((5, 6), gemm),
    "Gemm, alpha": (MATRIX, scaled_gemm),
    "MaxPool": (IMAGE, single("MaxPool", **POOL)),
    "MaxPool, ceil mode": (IMAGE, single("MaxPool", ceil_mode=1, **POOL)),
    "AveragePool": (IMAGE, single("AveragePool", **POOL)),
    "AveragePool, ceil mode": (IMAGE, single("AveragePool", ceil_mode=1, **POOL)),
    "AveragePool, padding counted": (IMAGE, single("AveragePool", count_include_pad=1, **POOL)),
    "GlobalAveragePool": (IMAGE, single("GlobalAveragePool")),
    "GlobalMaxPool": (IMAGE, single("GlobalMaxPool")),
    **{op: (IMAGE, binary(op)) for op in ("Add", "Sub", "Mul", "Max", "Min")},
    "Add, broadcast over rows and columns": (IMAGE, binary("Add", (1, 6, 1, 1))),
    "Mul, a map for all channels": (IMAGE, broadcast("Mul", (1, 1, 9, 8))),
    "Mul, both broadcast": ((1, 6, 1, 8), broadcast("Mul", (1, 1, 9, 1))),
    "Add, a vector for all rows": (TOKENS, broadcast("Add", (1, 1, 12))),
    "Mul, one number for a row": ((1, 64), broadcast("Mul", (1, 1))),
    "Add, one number for an image": (IMAGE, broadcast("Add", (1, 1, 1, 1))),
    "Div by a constant": (IMAGE, single("Div", np.float32(1.7))),
    **{
        op: (IMAGE, single(op))
        for op in (
            "Neg", "Abs", "Relu", "LeakyRelu", "HardSigmoid", "HardSwish", "Sigmoid", "Tanh", "Elu", "Gelu", "Erf",
            "Exp", "Sin", "Softplus", "Softsign", "Selu", "Celu", "Mish", "Floor", "Round", "Sign", "Identity",
        )
    },
    **{op: (IMAGE, chain(("Abs", {}), (op, {}))) for op in ("Sqrt", "Reciprocal")},
    "Log": (IMAGE, chain(("Exp", {}), ("Log", {}))),
    "PRelu, one slope": (IMAGE, single("PRelu", floats(0.2))),
    "PRelu, a slope per channel": (IMAGE, single("PRelu", floats(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, shape=(6, 1, 1)))),
    "Clip": (IMAGE, single("Clip", np.float32(-0.5), np.float32(1.0))),
    "SiLU": (IMAGE, gated),
    "Gelu by Erf": (IMAGE, gelu_by_erf),
    "Where on a comparison": (IMAGE, beyond_a_threshold),
    "Where of activations": (IMAGE, chosen),
    "Softmax": (TOKENS, single("Softmax", axis=-1)),
    "LogSoftmax": (TOKENS, single("LogSoftmax", axis=-1)),
    "LayerNormalization": (TOKENS, normalized_rows),
    "BatchNormalization by itself": (IMAGE, normalized_channels),
    "InstanceNormalization": ((1, 6, 8, 8), normalized_image),
    "ReduceMean, image": (IMAGE, single("ReduceMean", np.asarray([2, 3]))),
    "ReduceMax, image": (IMAGE, single("ReduceMax", np.asarray([2, 3]))),
    "ReduceSum, image": (IMAGE, single("ReduceSum", np.asarray([2, 3]))),
    "Resize, nearest": (IMAGE, resized("nearest", "asymmetric")),
    "Resize, linear": (IMAGE, resized("linear", "half_pixel")),
    "DepthToSpace": ((1, 8, 5, 4), single("DepthToSpace", blocksize=2)),
    "SpaceToDepth": ((1, 6, 8, 8), single("SpaceToDepth", blocksize=2)),
    "Concat": (IMAGE, binary_concat),
    "Slice": (IMAGE, single("Slice", np.asarray([1, 2]), np.asarray([6, 8]), np.asarray([1, 3]), np.asarray([2, 1]))),
    "Split": (IMAGE, half),
    "Pad": (IMAGE, single("Pad", np.asarray([0, 0, 1, 2, 0, 0, 2, 1]))),
    "Transpose": (IMAGE, single("Transpose", perm=[0, 2, 3, 1])),
    "Gather": (IMAGE, single("Gather", np.asarray([3, 0, 5]), axis=1)),
    "Expand": ((1, 6, 1, 1), single("Expand", np.asarray(IMAGE))),
    "Tile": (IMAGE, single("Tile", np.asarray([1, 1, 2, 1]))),
    "Squeeze and Unsqueeze": ((1, 6, 1, 8), squeezed),
    "channel shuffle": (IMAGE, shuffled),
}  # fmt: skip


def add_case(q: Qdq, shape: tuple[int, ...], build: Build) -> None:
    """The operator between two that compute: beside the host, data movements are the host's."""
    first = q.node("Sigmoid", [q.dequantize(q.input(shape, "uint8"), SCALE, ZERO, "uint8")])
    stored = q.node("QuantizeLinear", [first, q.constant(np.float32(SCALE)), q.constant(np.uint8(ZERO))])
    result = build(q, q.dequantize(stored, SCALE, ZERO, "uint8"))
    kept = q.node("QuantizeLinear", [result, q.constant(np.float32(0.03)), q.constant(np.uint8(90))])
    q.output(q.node("Tanh", [q.dequantize(kept, 0.03, 90, "uint8")]), 0.01, 128, "uint8")


@pytest.mark.parametrize("opset", [20, 22])
@pytest.mark.parametrize("group", range(GROUPS))
def test_operators_run_on_the_accelerator(group: int, opset: int) -> None:
    q = Qdq(3)
    for name in list(CASES)[group::GROUPS]:
        place = len(q.nodes)
        add_case(q, *CASES[name])
        for node in q.nodes[place:]:
            node.name = f"{name}: {node.name}"
    graph = helper.make_graph(q.nodes, "test", q.inputs, q.outputs, q.initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    model = Model(onnx.shape_inference.infer_shapes(proto, strict_mode=True))
    executable = compile_model(model, host=SLOW_HOST)
    assert [f"{node.name}: {node.reason}" for node in executable.nodes if node.device == "host"] == []
    assert len(executable.regions) == 1
    answer = weft.verify(model, host=SLOW_HOST)
    assert answer.unexplained == 0
    assert answer.mismatches == 0 or answer.inexact


ONLY_QUANTIZED = ("Where on a comparison",)
"""What only models that are quantized already have on the accelerator."""


class Floats(Qdq):
    """The same operators on float32 tensors."""

    def input(self, shape: tuple[int, ...], dtype: str) -> str:
        name = f"x{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
        self.shapes[name] = (shape, dtype)
        return name

    def dequantize(self, name: str, scale: float, zero: int, dtype: str) -> str:
        return name

    def stored(self, value: str, scale: float, zero: int) -> str:
        return value

    def weights(
        self, shape: tuple[int, ...], dtype: str, zero: int, *, per_channel: bool
    ) -> tuple[str, np.ndarray[Any, Any]]:
        values = self.random.normal(0, 0.3, shape).astype(np.float32)
        return self.constant(values), np.ones(1, np.float32)

    def bias(self, x_scale: float, scales: np.ndarray[Any, Any], channels: int, spread: float) -> str:
        return self.constant(self.random.normal(0, 0.5, channels).astype(np.float32))


@pytest.mark.parametrize("group", range(GROUPS))
def test_float_operators_are_quantized(group: int) -> None:
    q = Floats(5)
    for name in (name for name in list(CASES)[group::GROUPS] if name not in ONLY_QUANTIZED):
        shape, build = CASES[name]
        place = len(q.nodes)
        result = q.node("Tanh", [build(q, q.node("Sigmoid", [q.input(shape, "float32")]))])
        q.outputs.append(helper.make_tensor_value_info(result, onnx.TensorProto.FLOAT, None))
        for node in q.nodes[place:]:
            node.name = f"{name}: {node.name}"
    graph = helper.make_graph(q.nodes, "test", q.inputs, q.outputs, q.initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    model = Model(onnx.shape_inference.infer_shapes(proto, strict_mode=True))
    samples = {
        name: np.stack([q.random.standard_normal(shape).astype(np.float32) for _ in range(2)]).reshape(-1, *shape[1:])
        for name, (shape, _) in q.shapes.items()
    }
    executable = compile_model(weft.quantize(model, samples), host=SLOW_HOST)
    borders = ("QuantizeLinear", "DequantizeLinear")
    hosts = [node for node in executable.nodes if node.device == "host" and node.op not in borders]
    assert [f"{node.name}: {node.reason}" for node in hosts] == []
    assert len(executable.regions) == 1


REFUSED: dict[str, tuple[Build, dict[str, str]]] = {
    "Resize, cubic": (
        resized("cubic", "half_pixel"),
        {"Resize": "its mode is cubic", "QuantizeLinear": "what Resize computes in floating point"},
    ),
    "a function of two activations": (
        lambda q, x: q.node("Pow", [x, q.dequantize(q.input(IMAGE, "uint8"), 0.01, 3, "uint8")]),
        {"Pow": "several quantized values", "QuantizeLinear": "several quantized values"},
    ),
    "a factor for each element": (
        single("Mul", np.linspace(0, 1, int(np.prod(IMAGE)), dtype=np.float32).reshape(IMAGE)),
        {"Mul": "is float32 and not quantized", "QuantizeLinear": "its constants vary along axes [1, 2, 3]"},
    ),
    "ArgMax": (
        lambda q, x: q.node("Cast", [q.node("ArgMax", [x], axis=1)], to=onnx.TensorProto.FLOAT),
        {"ArgMax": "its result is int64", "Cast": "ArgMax", "QuantizeLinear": "ArgMax"},
    ),
    "an operator that the accelerator lacks": (
        lambda q, x: q.node("CumSum", [x, q.constant(np.asarray(1))]),
        {"CumSum": "no pattern of this accelerator starts at CumSum", "QuantizeLinear": "CumSum"},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_stays_on_the_host_says_why(name: str) -> None:
    build, reasons = REFUSED[name]
    q = Qdq(3)
    add_case(q, IMAGE, build)
    graph = helper.make_graph(q.nodes, "test", q.inputs, q.outputs, q.initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    executable = compile_model(Model(onnx.shape_inference.infer_shapes(proto)), host=SLOW_HOST)
    hosts = {node.op: node.reason for node in executable.nodes if node.device == "host"}
    assert hosts.keys() == {*reasons, "DequantizeLinear"}
    for op, reason in reasons.items():
        assert reason in hosts[op]
    assert len(executable.regions) == 2
