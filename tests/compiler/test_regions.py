"""Graphs whose shape is the difficulty: several readers, several regions, views, constants folded in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import qdq

from weft.compiler import compile as compile_model
from weft.frontend import Model, integerize, normalize, reference_session
from weft_runtime import artifact
from weft_runtime.session import Session


def check(graph: Any, tmp_path: Path, target: str = "weft-16") -> Any:
    """Compiles, saves, loads, runs on both devices; the answers must be ONNX Runtime's. Returns the executable."""
    proto: onnx.ModelProto = graph.model()
    model, feeds = Model(proto), graph.feeds()
    executable = compile_model(model, target, host=qdq.SLOW_HOST)
    artifact.save(executable, tmp_path / "model.weft")
    reference = reference_session(integerize(normalize(model)))
    wanted = dict(zip((o.name for o in reference.get_outputs()), reference.run(None, feeds), strict=True))
    for device in ("golden", "sim"):
        with Session(tmp_path / "model.weft", device=device) as session:
            answers = session.run(feeds)
        for name, expected in wanted.items():
            np.testing.assert_array_equal(answers[name], expected, err_msg=f"{device} {name}")
    return executable


def convolution(graph: Any, x: str, inputs: int, outputs: int, **attributes: Any) -> str:
    """Conv of a quantized int8 tensor (scale 0.03, zero point −3) to another of the same kind."""
    kernel = attributes.pop("kernel", 3)
    weights, _ = graph.weights((outputs, inputs, kernel, kernel), "int8", 0, per_channel=True)
    pads = [kernel // 2] * 4
    y = graph.node(
        "Conv", [graph.dequantize(x, 0.03, -3, "int8"), weights], kernel_shape=[kernel] * 2, pads=pads, **attributes
    )
    return quantize(graph, y)


def quantize(graph: Any, y: str, scale: float = 0.03) -> str:
    return graph.node("QuantizeLinear", [y, graph.constant(np.float32(scale)), graph.constant(np.int8(-3))])


def output(graph: Any, name: str) -> None:
    graph.outputs.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT8, None))


def test_one_input_in_two_layouts(tmp_path: Path) -> None:
    """A shallow input is gathered by a large kernel and read in blocks by an addition."""
    graph = qdq.Qdq(1)
    x = graph.input((1, 3, 32, 32), "int8")
    y = convolution(graph, x, 3, 3, kernel=7)
    a, b = graph.dequantize(x, 0.03, -3, "int8"), graph.dequantize(y, 0.03, -3, "int8")
    output(graph, quantize(graph, graph.node("Add", [a, b])))
    executable = check(graph, tmp_path)
    layouts = {binding.layout.block for binding in executable.regions[0].inputs}
    assert len(executable.regions) == 1 and len(layouts) == 2


def test_host_operators_split_regions_without_cycles(tmp_path: Path) -> None:
    """conv → (host) → add with the conv: two regions, the second reading both."""
    graph = qdq.Qdq(2)
    x = graph.input((1, 8, 9, 9), "int8")
    y = convolution(graph, x, 8, 8)
    normalized = quantize(graph, graph.node("LRN", [graph.dequantize(y, 0.03, -3, "int8")], size=3))
    a, b = graph.dequantize(y, 0.03, -3, "int8"), graph.dequantize(normalized, 0.03, -3, "int8")
    output(graph, convolution(graph, quantize(graph, graph.node("Add", [a, b])), 8, 8))
    executable = check(graph, tmp_path)
    assert [step.kind for step in executable.steps] == ["device", "host", "device"]


def test_value_read_by_device_and_user(tmp_path: Path) -> None:
    """An inner tensor is a model output as well, and a tensor has two readers on the device."""
    graph = qdq.Qdq(3)
    x = graph.input((2, 20, 7, 5), "int8")
    y = convolution(graph, x, 20, 24)
    output(graph, y)
    left, right = convolution(graph, y, 24, 10), convolution(graph, y, 24, 10, strides=[1, 1], dilations=[1, 1])
    a, b = graph.dequantize(left, 0.03, -3, "int8"), graph.dequantize(right, 0.03, -3, "int8")
    output(graph, quantize(graph, graph.node("Add", [a, b])))
    assert len(check(graph, tmp_path).regions) == 1


def test_flattened_view_feeds_a_product_and_the_user(tmp_path: Path) -> None:
    """Flatten of [2, 5, 3, 3] moves nothing: the product reads the blocked form, the user gets the flat one."""
    graph = qdq.Qdq(4)
    x = graph.input((2, 6, 3, 3), "int8")
    y = convolution(graph, x, 6, 5)
    flat = graph.node("Flatten", [y], axis=1)
    output(graph, flat)
    weights, _ = graph.weights((7, 45), "int8", 0, per_channel=False)
    product = graph.node("Gemm", [graph.dequantize(flat, 0.03, -3, "int8"), weights], transB=1)
    output(graph, quantize(graph, product, 0.2))
    executable = check(graph, tmp_path)
    assert len(executable.regions) == 1 and executable.offloaded_macs == executable.macs


def test_same_model_compiles_to_the_same_bytes(tmp_path: Path) -> None:
    graph = qdq.Qdq(5)
    x = graph.input((1, 20, 9, 9), "int8")
    output(graph, convolution(graph, x, 20, 24))
    proto = graph.model()
    paths = [tmp_path / "a.weft", tmp_path / "b.weft"]
    for path in paths:
        artifact.save(compile_model(Model(proto)), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_layer_that_fits_no_tile_stays_on_the_host(tmp_path: Path) -> None:
    """A depthwise kernel of 200×200 taps on the smallest machine: one row of weights is more than a slot."""
    graph = qdq.Qdq(6)
    x = graph.input((1, 1, 230, 230), "int8")
    weights, _ = graph.weights((1, 1, 225, 225), "int8", 0, per_channel=False)
    y = graph.node("Conv", [graph.dequantize(x, 0.03, -3, "int8"), weights], kernel_shape=[225, 225])
    output(graph, quantize(graph, y, 3.0))
    executable = check(graph, tmp_path, "weft-8")
    (refused,) = [node for node in executable.nodes if node.op == "QLinearConv"]
    assert refused.device == "host" and "fits" in refused.reason
