"""What the front end's tests share: real models, small models, and the formula of the integer operators in
NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from weft.frontend import Model

SHARED = Path(__file__).resolve().parents[4] / "shared"


@pytest.fixture(scope="session")
def shared_model() -> Callable[[str], Path]:
    """Path of a real model in ../shared/models; skips the test where it is absent."""

    def path(name: str) -> Path:
        file = SHARED / "models" / name
        if not file.is_file():
            pytest.skip(f"../shared/models/{name} is absent")
        return file

    return path


@pytest.fixture(scope="session")
def shared_input() -> Callable[[str], Path]:
    """Path of real inputs in ../shared/inputs; skips the test where they are absent."""

    def path(name: str) -> Path:
        file = SHARED / "inputs" / name
        if not file.exists():
            pytest.skip(f"../shared/inputs/{name} is absent")
        return file

    return path


def build(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Sequence[int | str | None]]],
    outputs: Sequence[str],
    constants: Mapping[str, np.ndarray],
    opset: int = 17,
) -> onnx.ModelProto:
    """A model from its parts; output types are left to ONNX's inference where it finds them."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(proto)
    for value in inferred.graph.output:
        if not value.type.HasField("tensor_type"):
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    return inferred


@pytest.fixture(scope="session")
def make_model() -> Callable[..., onnx.ModelProto]:
    """`build` as a fixture."""
    return build


def numpy_integer_operator(node: onnx.NodeProto, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """QLinearConv and QLinearMatMul as docs/numerics.md states them:
    clip(rint(float32(acc + bias) * float32(float32(sx * sw) / sy)) + zy)."""
    x, sx, zx, w, sw, zw, sy, zy = (values[name] for name in node.input[:8])
    attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    if node.op_type == "QLinearMatMul":
        acc = np.matmul(x.astype(np.int64) - int(zx), w.astype(np.int64) - zw.astype(np.int64))
        scale = np.float32(sx) * sw / np.float32(sy)
    else:
        column = (-1, *(1,) * (w.ndim - 1))
        centred = w.astype(np.int64) - np.broadcast_to(zw, w.shape[:1]).astype(np.int64).reshape(column)
        acc = _correlate(x.astype(np.int64) - int(zx), centred, attributes)
        if len(node.input) > 8:
            acc = acc + values[node.input[8]].astype(np.int64).reshape(column[:-1])
        scale = np.broadcast_to(np.float32(sx) * sw / np.float32(sy), w.shape[:1]).reshape(column[:-1])
    real = acc.astype(np.float32) * scale.astype(np.float32)
    limits = np.iinfo(zy.dtype)
    return np.clip(np.rint(real) + int(zy), limits.min, limits.max).astype(zy.dtype)


def _correlate(x: np.ndarray, w: np.ndarray, attributes: Mapping[str, object]) -> np.ndarray:
    """Grouped, strided, dilated, padded correlation over any number of spatial axes, in int64."""
    spatial = w.ndim - 2
    strides = attributes.get("strides") or [1] * spatial
    dilations = attributes.get("dilations") or [1] * spatial
    pads = attributes.get("pads") or [0] * (2 * spatial)
    group = int(attributes.get("group", 1))
    x = np.pad(x, [(0, 0), (0, 0), *zip(pads[:spatial], pads[spatial:], strict=True)])
    kernel = w.shape[2:]
    extents = [
        (size - (taps - 1) * dilation - 1) // stride + 1
        for size, taps, dilation, stride in zip(x.shape[2:], kernel, dilations, strides, strict=True)
    ]
    grouped = x.reshape(x.shape[0], group, -1, *x.shape[2:]).astype(np.float64)
    weights = w.reshape(group, -1, *w.shape[1:]).astype(np.float64)
    acc = np.zeros((x.shape[0], group, weights.shape[1], *extents))
    for tap in np.ndindex(*kernel):
        window = tuple(
            slice(t * d, t * d + (e - 1) * s + 1, s)
            for t, d, e, s in zip(tap, dilations, extents, strides, strict=True)
        )
        part = grouped[(slice(None), slice(None), slice(None), *window)]
        acc += np.einsum("ngc...,goc->ngo...", part, weights[(slice(None),) * 3 + tap], optimize=True)
    return acc.reshape(x.shape[0], -1, *extents).astype(np.int64)


def integer_mismatches(model: Model, feed: Mapping[str, np.ndarray]) -> tuple[int, int]:
    """Runs the integer graph in ONNX Runtime, optimizations off, and compares every integer operator's output
    with the formula on ONNX Runtime's own inputs. Returns (mismatches, elements)."""
    nodes = [node for node in model.proto.graph.node if node.op_type in ("QLinearConv", "QLinearMatMul")]
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.proto.graph.initializer}
    inputs = {value.name for value in model.proto.graph.input}
    names = {name for node in nodes for name in (*node.input, *node.output)} - constants.keys() - inputs
    values = {**constants, **feed, **run_all(model, feed, sorted(names))}
    wrong = total = 0
    for node in nodes:
        expected, got = numpy_integer_operator(node, values), values[node.output[0]]
        assert (expected.dtype, expected.shape) == (got.dtype, got.shape)
        wrong += int(np.count_nonzero(expected != got))
        total += got.size
    return wrong, total


def run_all(model: Model, feed: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Values of these tensors in ONNX Runtime with optimizations off."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    present = {value.name for value in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(list(names), dict(feed)), strict=True))


@pytest.fixture(scope="session")
def mismatches() -> Callable[[Model, Mapping[str, np.ndarray]], tuple[int, int]]:
    """`integer_mismatches` as a fixture."""
    return integer_mismatches
