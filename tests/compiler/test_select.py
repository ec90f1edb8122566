"""Where on stored tensors: one condition for all elements or one for each, against ONNX Runtime, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import qdq
from hypothesis import given
from hypothesis import strategies as st

from weft.compiler import compile as compile_model
from weft.frontend import Model
from weft_runtime.executable import Executable

dtypes = st.sampled_from(("int8", "uint8"))


def on_accelerator(executable: Executable) -> bool:
    return not executable.host_graphs


@st.composite
def selects(draw: Any) -> qdq.Case:
    """A comparison of a stored tensor, and two tensors of one scale and zero point."""
    graph = qdq.Qdq(draw(st.integers(0, 2**32 - 1)))
    rank = draw(st.integers(1, 4))
    shape = tuple(draw(st.integers(1, 40 if axis in (1, rank - 1) else 9)) for axis in range(rank))
    single = draw(st.booleans())
    c_shape = (1,) * draw(st.integers(1, rank)) if single else shape
    c_type, dtype = draw(dtypes), draw(dtypes)
    scale, zero = draw(st.floats(1e-3, 0.3)), qdq.zero_point(draw, dtype)
    c_scale = draw(st.floats(1e-3, 0.3))
    value = graph.dequantize(graph.input(c_shape, c_type), c_scale, qdq.zero_point(draw, c_type), c_type)
    if draw(st.booleans()):
        value = graph.node("Sigmoid", [value])
    level = graph.constant(np.float32(draw(st.sampled_from((0.0, 0.5, 20 * c_scale)))))
    condition = graph.node(draw(st.sampled_from(("Greater", "Less", "GreaterOrEqual", "Equal"))), [value, level])
    if draw(st.booleans()):
        condition = graph.node("Not", [condition])
    a, b = (graph.dequantize(graph.input(shape, dtype), scale, zero, dtype) for _ in range(2))
    result = graph.node("Where", [condition, a, b])
    if draw(st.booleans()):
        result = graph.node("Relu", [result])
    graph.output(result, scale, zero, dtype)
    return graph.model(), graph.feeds()


@given(selects(), st.sampled_from(("weft-8", "weft-16", "weft-32", "vta-16")), st.sampled_from(("golden", "sim")))
def test_select(case: qdq.Case, target: str, device: str) -> None:
    assert on_accelerator(qdq.run(case, target, device))


@pytest.mark.parametrize("value", [0, 127, 128, 255])
def test_one_condition_for_all(value: int) -> None:
    """A scalar condition, as an If has: more channels than lanes, several chunks."""
    graph = qdq.Qdq(3)
    gate = graph.dequantize(graph.input((1, 1), "uint8"), 0.02, 128, "uint8")
    above = graph.node("Greater", [gate, graph.constant(np.float32(0))])
    condition = graph.node("Reshape", [above, graph.constant(np.zeros(0, np.int64))])
    a, b = (graph.dequantize(graph.input((1, 40, 30, 31), "uint8"), 0.1, 7, "uint8") for _ in range(2))
    graph.output(graph.node("Where", [condition, a, b]), 0.1, 7, "uint8")
    feeds = {**graph.feeds(), "x0": np.full((1, 1), value, np.uint8)}
    assert on_accelerator(qdq.run((graph.model(), feeds), "weft-16", "sim"))


@pytest.mark.parametrize(
    ("scales", "shapes", "reason"),
    [
        ((0.1, 0.2), ((2, 8), (2, 8), (2, 8)), "different scales"),
        ((0.1, 0.1), ((2, 1), (2, 8), (2, 8)), "repeated in part"),
        ((0.1, 0.1), ((2, 8), (2, 8), (1, 8)), "is repeated to"),
    ],
)
def test_what_is_refused(scales: tuple[float, float], shapes: Any, reason: str) -> None:
    graph = qdq.Qdq(4)
    value = graph.dequantize(graph.input(shapes[0], "uint8"), 0.02, 128, "uint8")
    condition = graph.node("Greater", [value, graph.constant(np.float32(0))])
    a, b = (
        graph.dequantize(graph.input(shape, "uint8"), scale, 7, "uint8")
        for shape, scale in zip(shapes[1:], scales, strict=True)
    )
    graph.output(graph.node("Where", [condition, a, b]), 0.1, 7, "uint8")
    executable = compile_model(Model(graph.model()), host=qdq.SLOW_HOST)
    where = next(node for node in executable.nodes if node.op == "Where")
    assert where.device == "host" and reason in where.reason
    qdq.run((graph.model(), graph.feeds()), "weft-16", "sim")


def test_forms_of_a_shared_condition() -> None:
    """Two selects on one condition: its nodes belong to neither, and nothing of it runs on the host."""
    graph = qdq.Qdq(5)
    value = graph.dequantize(graph.input((1, 1), "uint8"), 0.02, 128, "uint8")
    condition = graph.node("Greater", [value, graph.constant(np.float32(0))])
    for shape in ((1, 8, 3, 3), (1, 20)):
        a, b = (graph.dequantize(graph.input(shape, "uint8"), 0.1, 7, "uint8") for _ in range(2))
        graph.output(graph.node("Where", [condition, a, b]), 0.1, 7, "uint8")
    assert on_accelerator(qdq.run((graph.model(), graph.feeds()), "weft-16", "sim"))
