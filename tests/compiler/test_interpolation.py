"""Resize of mode linear, against ONNX Runtime on the integer graph: every bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import qdq
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

import weft
from weft.frontend import Model
from weft_runtime.executable import Executable

Case = tuple[onnx.ModelProto, dict[str, Any]]
MODES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(("int8", "uint8"))
targets = st.sampled_from(("weft-8", "weft-16", "weft-32", "vta-16"))
devices = st.sampled_from(("golden", "sim"))


def resize(graph: Any, x: str, mode: str, *, scales: Any = None, sizes: Any = None) -> str:
    operands = [x, "", graph.constant(np.array(scales, np.float32))] if scales is not None else [x, "", ""]
    operands += [graph.constant(np.array(sizes, np.int64))] if sizes is not None else []
    return str(graph.node("Resize", operands, mode="linear", coordinate_transformation_mode=mode))


def reason(executable: Executable) -> str:
    return next(node.reason for node in executable.nodes if node.op == "Resize" and node.device == "host")


@st.composite
def interpolations(draw: Any) -> Case:
    """Whole factors, any factors (also below 1) and any sizes; the output in the input's scale, or in another one."""
    graph = qdq.Qdq(draw(seeds))
    mode, kind = draw(st.sampled_from(MODES)), draw(st.sampled_from(("whole", "whole", "any", "sizes")))
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 40)), draw(st.integers(1, 12)), draw(st.integers(1, 12)))
    x_type, y_type = draw(dtypes), draw(dtypes)
    scale = draw(st.floats(1e-3, 0.3))
    x = graph.dequantize(graph.input(shape, x_type), scale, qdq.zero_point(draw, x_type), x_type)
    if kind == "sizes":
        y = resize(graph, x, mode, sizes=[*shape[:2], draw(st.integers(1, 24)), draw(st.integers(1, 24))])
    else:
        most = min(4, 32 // max(shape[2:]))  # with align_corners, 32 · 32 outputs may all have weights of their own
        factor = (
            st.integers(1, most) if kind == "whole" else st.floats(0.3, 2.5).map(lambda f: max(f, 1 / min(shape[2:])))
        )
        factors = [np.float32(draw(factor)) for _ in range(2)]
        # ONNX Runtime and shape inference may round a product next to a whole number to different sizes
        places = [float(extent * f) for extent, f in zip(shape[2:], factors, strict=True)]
        assume(kind == "whole" or all(abs(place - round(place)) > 1e-5 for place in places))
        y = resize(graph, x, mode, scales=[1, 1, *factors])
    if draw(st.booleans()):
        y = graph.node("Relu", [y])
    graph.output(y, scale * draw(st.sampled_from((1.0, 0.37, 0.81))), qdq.zero_point(draw, y_type), y_type)
    return graph.model(), graph.feeds()


@given(interpolations(), targets, devices)
def test_interpolation(case: Case, target: str, device: str) -> None:
    executable = qdq.run(case, target, device)
    assert not executable.host_graphs and executable.inexact == ()


def test_image_wider_than_a_tile() -> None:
    """An output row of 600 positions: more than weft-8 has accumulator rows in a slot."""
    graph = qdq.Qdq(8)
    x = graph.dequantize(graph.input((1, 9, 3, 300), "uint8"), 0.02, 7, "uint8")
    graph.output(resize(graph, x, "half_pixel", scales=[1, 1, 2, 2]), 0.019, 3, "uint8")
    executable = qdq.run((graph.model(), graph.feeds()), "weft-8", "sim")
    assert not executable.host_graphs


@pytest.mark.parametrize(
    ("attributes", "sizes", "why"),
    [
        ({"coordinate_transformation_mode": "tf_crop_and_resize"}, None, "transformed by 'tf_crop_and_resize'"),
        ({"mode": "cubic"}, None, "its mode is cubic"),
        ({"coordinate_transformation_mode": "align_corners"}, (1, 2, 127, 129), "different combinations of weights"),
    ],
)
def test_what_cannot_be_computed_stays_on_the_host_with_its_reason(
    attributes: dict[str, str], sizes: tuple[int, ...] | None, why: str
) -> None:
    graph = qdq.Qdq(2)
    x = graph.dequantize(graph.input((1, 2, 61, 67), "int8"), 0.05, 3, "int8")
    region = graph.constant(np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32))
    target = graph.constant(np.array(sizes or (1, 2, 122, 134), np.int64))
    y = graph.node("Resize", [x, region, "", target], **{"mode": "linear", **attributes})
    graph.output(y, 0.05, 0, "int8")
    executable = qdq.run((graph.model(), graph.feeds()), "weft-16", "sim")
    assert why in reason(executable) and not executable.regions


def test_quantizer_stores_the_result_in_a_scale_of_its_own() -> None:
    """A feature pyramid's step: convolution, doubling, addition; everything in one region."""
    random = np.random.default_rng(3)

    def weights(*shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.normal(0, 0.3, shape).astype(np.float32), f"w{shape[1]}")

    nodes = [
        helper.make_node("Conv", ["x", "w3"], ["fine"], "c0", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["fine", "w20"], ["coarse"], "c1", strides=[2, 2], pads=[1, 1, 0, 0]),
        helper.make_node("Resize", ["coarse", "", "twice"], ["large"], "up", mode="linear"),
        helper.make_node("Add", ["fine", "large"], ["y"], "join"),
    ]
    twice = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice")
    values = [helper.make_tensor_value_info(name, 1, [1, size, 16, 16]) for name, size in (("x", 3), ("y", 20))]
    body = helper.make_graph(
        nodes, "pyramid", values[:1], values[1:], [weights(20, 3, 3, 3), weights(20, 20, 3, 3), twice]
    )
    model = Model(helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    samples = random.normal(0, 1, (4, 3, 16, 16)).astype(np.float32)
    quantized = weft.quantize(model, calibration={"x": samples})
    executable = qdq.run((quantized.proto, {"x": samples[:1]}), "weft-16", "sim")
    assert len(executable.regions) == 1 and executable.offloaded_macs == executable.macs > 0
    nodes_of = {node.op: node.device for node in executable.nodes}
    assert nodes_of["Resize"] == "weft-16"
    scales = {node.input[0]: node.input[1] for node in quantized.proto.graph.node if node.op_type == "QuantizeLinear"}
    stored = {each.name: float(numpy_helper.to_array(each)) for each in quantized.proto.graph.initializer
              if each.name in scales.values()}  # fmt: skip
    assert 0 < stored[scales["large"]] < stored[scales["coarse"]]


def test_scales_that_leave_the_size_alone_copy() -> None:
    graph = qdq.Qdq(4)
    x = graph.dequantize(graph.input((1, 3, 1, 2), "int8"), 0.25, -128, "int8")
    graph.output(resize(graph, x, "half_pixel", scales=[1, 1, 1.5, 1.25]), 0.25, -128, "int8")
    executable = qdq.run((graph.model(), graph.feeds()), "weft-8", "sim")
    assert not executable.host_graphs
