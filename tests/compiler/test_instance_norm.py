"""InstanceNormalization against ONNX Runtime on the integer graph: every bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import qdq
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

import weft
from weft.frontend import Model

Case = tuple[onnx.ModelProto, dict[str, Any]]
seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(("int8", "uint8"))
targets = st.sampled_from(("weft-8", "weft-16", "weft-32", "vta-16"))
devices = st.sampled_from(("golden", "sim"))


@st.composite
def normalizations(draw: Any) -> Case:
    """Planes of 4 to 240 values: random, constant, or of one value that differs by 1."""
    graph = qdq.Qdq(draw(seeds))
    plane = draw(
        st.sampled_from(((2, 2), (1, 4), (4, 3), (3, 8), (5, 4), (8, 8), (7, 12), (15, 16), (4,), (36,), (100,)))
    )
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 70)), *plane)
    x_type, y_type = draw(dtypes), draw(dtypes)
    name = graph.input(shape, x_type)
    x = graph.dequantize(name, draw(st.floats(1e-3, 0.3)), qdq.zero_point(draw, x_type), x_type)
    scale = graph.constant(graph.random.normal(1, 0.3, shape[1]).astype(np.float32))
    bias = graph.constant(graph.random.normal(0, 0.5, shape[1]).astype(np.float32))
    y = graph.node("InstanceNormalization", [x, scale, bias], epsilon=draw(st.sampled_from((1e-12, 1e-5, 1e-3))))
    if draw(st.booleans()):
        y = graph.node("Relu", [y])
    graph.output(y, draw(st.floats(0.004, 0.1)), qdq.zero_point(draw, y_type), y_type)
    feeds = graph.feeds()
    rows = feeds[name].reshape(shape[0] * shape[1], -1)
    kind = draw(st.sampled_from(("random", "constant", "almost constant")))
    if kind != "random":
        rows[:] = rows[:, :1]
    if kind == "almost constant":
        rows[:, -1] ^= 1
    return graph.model(), feeds


@given(normalizations(), targets, devices)
def test_instance_normalization(case: Case, target: str, device: str) -> None:
    executable = qdq.run(case, target, device)
    assert not executable.host_graphs and executable.inexact == ()


@pytest.mark.parametrize(
    ("shape", "target", "why"),
    [
        ((1, 3, 5, 5), "weft-16", "no multiple of 4"),
        ((1, 3, 2, 3, 4), "weft-16", "rank"),
        ((1, 3, 64, 64), "weft-8", "no tile of it fits weft-8's memories"),
    ],
)
def test_what_cannot_be_computed_stays_on_the_host_with_its_reason(
    shape: tuple[int, ...], target: str, why: str
) -> None:
    graph = qdq.Qdq(3)
    x = graph.dequantize(graph.input(shape, "int8"), 0.05, 3, "int8")
    operands = [x, *(graph.constant(graph.random.normal(1, 0.3, 3).astype(np.float32)) for _ in range(2))]
    graph.output(graph.node("InstanceNormalization", operands), 0.02, 0, "int8")
    executable = qdq.run((graph.model(), graph.feeds()), target, "sim")
    (reason,) = [node.reason for node in executable.nodes if node.op == "InstanceNormalization"]
    assert why in reason and not executable.regions


def test_quantizer_keeps_it_between_convolutions() -> None:
    """A block of a style-transfer network: one region."""
    random = np.random.default_rng(3)

    def constant(name: str, values: Any) -> onnx.TensorProto:
        return numpy_helper.from_array(np.asarray(values, np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["c"], "c0", pads=[1, 1, 1, 1]),
        helper.make_node("InstanceNormalization", ["c", "s", "b"], ["n"], "norm"),
        helper.make_node("Relu", ["n"], ["r"], "relu"),
        helper.make_node("Conv", ["r", "w1"], ["y"], "c1", pads=[1, 1, 1, 1]),
    ]
    constants = [
        constant("w0", random.normal(0, 0.3, (20, 3, 3, 3))), constant("w1", random.normal(0, 0.3, (5, 20, 3, 3))),
        constant("s", random.normal(1, 0.3, 20)), constant("b", random.normal(0, 0.3, 20)),
    ]  # fmt: skip
    values = [helper.make_tensor_value_info(name, 1, [1, size, 12, 12]) for name, size in (("x", 3), ("y", 5))]
    body = helper.make_graph(nodes, "block", values[:1], values[1:], constants)
    model = Model(helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    samples = random.normal(0, 1, (4, 3, 12, 12)).astype(np.float32)
    quantized = weft.quantize(model, calibration={"x": samples})
    executable = qdq.run((quantized.proto, {"x": samples[:1]}), "weft-16", "sim")
    assert len(executable.regions) == 1 and executable.inexact == ()
    assert {node.op: node.device for node in executable.nodes}["InstanceNormalization"] == "weft-16"
