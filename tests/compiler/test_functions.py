"""Functions of one value: per channel (scale and offset), or the same for all (tables), against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import qdq
from hypothesis import given
from hypothesis import strategies as st

from weft.compiler import compile as compile_model
from weft.frontend import Model, integerize, normalize, reference_session
from weft_runtime.executable import Executable
from weft_runtime.session import Session

Case = tuple[onnx.ModelProto, dict[str, Any]]
seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(("int8", "uint8"))
targets = st.sampled_from(("weft-8", "weft-16", "weft-32", "vta-16"))
devices = st.sampled_from(("golden", "sim"))


def check(case: Case, target: str, device: str) -> Executable:
    """Everything on the accelerator, every bit as the integer graph's in ONNX Runtime."""
    proto, feeds = case
    executable = compile_model(Model(proto), target, host=qdq.SLOW_HOST)
    reasons = [node.reason for node in executable.nodes if node.device == "host"]
    assert not executable.host_graphs, reasons
    assert executable.inexact == ()
    reference = reference_session(integerize(normalize(Model(proto))))
    with Session(executable, device=device) as session:
        answers = session.run(feeds)
    for output, wanted in zip(reference.get_outputs(), reference.run(None, feeds), strict=True):
        np.testing.assert_array_equal(answers[output.name], wanted)
    return executable


@st.composite
def affine_chains(draw: Any) -> Case:
    """One to four steps with constants along axis 1 or the last, of which some may be scalars, and an activation."""
    graph = qdq.Qdq(draw(seeds))
    rank = draw(st.integers(2, 4))
    shape = tuple(draw(st.integers(1, 40 if axis in (1, rank - 1) else 9)) for axis in range(rank))
    axis = draw(st.sampled_from((1, rank - 1)))
    x_type, y_type = draw(dtypes), draw(dtypes)
    scale = draw(st.floats(1e-3, 0.3))
    y = graph.dequantize(graph.input(shape, x_type), scale, qdq.zero_point(draw, x_type), x_type)
    extents = [1] * (rank - axis)
    extents[0] = shape[axis]

    def values(low: float, high: float) -> Any:
        signs = graph.random.choice([-1, 1], shape[axis])
        return (graph.random.uniform(low, high, shape[axis]) * signs).astype(np.float32)

    for op in draw(
        st.lists(st.sampled_from(("Add", "Sub", "Mul", "Div", "BatchNormalization")), min_size=1, max_size=4)
    ):
        if op == "BatchNormalization":
            if axis != 1:
                continue
            statistics = [values(0.5, 2), values(0, 1), values(0, 20 * scale), np.abs(values(0.1, 2))]
            y = graph.node(op, [y, *map(graph.constant, statistics)], epsilon=draw(st.sampled_from((1e-5, 1e-3))))
            continue
        size = 20 * scale if op in ("Add", "Sub") else 2.0
        operands = [y, graph.constant(values(size / 8, size).reshape(extents))]
        y = graph.node(op, operands[:: draw(st.sampled_from((1, -1))) if op in ("Add", "Mul", "Sub") else 1])
    y = graph.node("Mul", [y, graph.constant(values(0.3, 1.5).reshape(extents))])
    activation = draw(st.sampled_from(("", "Relu", "Clip")))
    if activation == "Relu":
        y = graph.node("Relu", [y])
    if activation == "Clip":
        y = graph.node("Clip", [y, graph.constant(np.float32(-30 * scale)), graph.constant(np.float32(60 * scale))])
    graph.output(y, scale * draw(st.sampled_from((1.0, 0.3, 2.7))), qdq.zero_point(draw, y_type), y_type)
    return graph.model(), graph.feeds()


@given(affine_chains(), targets, devices)
def test_scale_and_offset_per_channel(case: Case, target: str, device: str) -> None:
    executable = check(case, target, device)
    assert len(executable.regions) == 1


@st.composite
def slopes(draw: Any) -> Case:
    graph = qdq.Qdq(draw(seeds))
    shape = tuple(draw(st.integers(1, 40 if axis == 1 else 9)) for axis in range(draw(st.integers(2, 4))))
    x_type, y_type = draw(dtypes), draw(dtypes)
    scale = draw(st.floats(1e-3, 0.3))
    x = graph.dequantize(graph.input(shape, x_type), scale, qdq.zero_point(draw, x_type), x_type)
    low, high = draw(st.sampled_from(((-0.5, 1.0), (0.0, 0.3), (1.0, 3.0))))
    values = graph.random.uniform(low, high, (shape[1], *(1,) * (len(shape) - 2))).astype(np.float32)
    y = graph.node("PRelu", [x, graph.constant(values)])
    if draw(st.booleans()):
        y = graph.node("Clip", [y, graph.constant(np.float32(-30 * scale)), graph.constant(np.float32(60 * scale))])
    graph.output(y, scale * draw(st.sampled_from((1.0, 0.3, 2.7))), qdq.zero_point(draw, y_type), y_type)
    return graph.model(), graph.feeds()


@given(slopes(), targets, devices)
def test_slope_per_channel(case: Case, target: str, device: str) -> None:
    executable = check(case, target, device)
    assert len(executable.regions) == 1


def test_slopes_on_both_sides_of_one_stay_on_the_host() -> None:
    graph = qdq.Qdq(1)
    x = graph.dequantize(graph.input((1, 2, 3, 3), "int8"), 0.05, 3, "int8")
    values = np.array([0.5, 1.5], np.float32).reshape(2, 1, 1)
    graph.output(graph.node("PRelu", [x, graph.constant(values)]), 0.05, 0, "int8")
    executable = compile_model(Model(graph.model()), host=qdq.SLOW_HOST)
    reasons = {node.reason for node in executable.nodes if node.device == "host"}
    assert not executable.regions and any("some of its slopes are above 1 and some below" in each for each in reasons)
