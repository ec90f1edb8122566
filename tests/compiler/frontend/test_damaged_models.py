"""Damaged models through the whole front end: typed errors of one line, or a model; nothing else."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from weft.errors import WeftError
from weft.frontend import integerize, load, normalize
from weft.quantize import quantize, random_calibration

FLOAT = TensorProto.FLOAT
NUMBERS = st.sampled_from([0, -1, 1, 2, 7, 2**31, 2**40, -(2**62)])
REALS = st.sampled_from([0.0, -1.0, 1e30, -1e30, np.nan, np.inf, 1e-40])


def float_model() -> onnx.ModelProto:
    generator = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["a"], auto_pad="SAME_UPPER", strides=[2, 2], kernel_shape=[3, 3]),
        helper.make_node("BatchNormalization", ["a", "g", "g", "g", "v"], ["n"], epsilon=1e-5),
        helper.make_node("Clip", ["n", "low", "high"], ["c"]),
        helper.make_node("MaxPool", ["c"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Reshape", ["p", "shape"], ["f"]),
        helper.make_node("MatMul", ["f", "m"], ["mm"]),
        helper.make_node("Add", ["mm", "k"], ["s"]),
        helper.make_node("Gemm", ["s", "m2", "k2"], ["y"], transB=1),
    ]
    constants = {
        "w": generator.standard_normal((4, 2, 3, 3)),
        "b": generator.standard_normal(4),
        "g": generator.standard_normal(4),
        "v": np.ones(4),
        "low": np.asarray(-1.0),
        "high": np.asarray(1.0),
        "m": generator.standard_normal((16, 3)),
        "k": generator.standard_normal((1, 3)),
        "m2": generator.standard_normal((5, 3)),
        "k2": generator.standard_normal(5),
    }
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    tensors.append(numpy_helper.from_array(np.asarray([1, -1], np.int64), "shape"))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "damaged", [value("x", FLOAT, ["N", 2, 8, 8])], [value("y", FLOAT, ["N", 5])], tensors
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


FLOAT_MODEL = float_model()
QDQ_MODEL = quantize(FLOAT_MODEL, random_calibration(load(FLOAT_MODEL))).proto


def survives(proto: onnx.ModelProto) -> None:
    """Runs the front end; anything but a WeftError of one printable line fails the test."""
    message = ""
    try:
        model = normalize(load(proto))
        if not model.is_quantized:
            model = quantize(model, random_calibration(model, samples=1))
        integerize(model)
    except WeftError as error:
        message = str(error)
    assert message == "" or message.isprintable()


def fresh(source: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(source.SerializeToString())


@pytest.mark.parametrize("source", [FLOAT_MODEL, QDQ_MODEL], ids=["float", "qdq"])
def test_the_undamaged_models_pass(source):
    integerize(quantize(source, random_calibration(load(source))))


@settings(max_examples=150, deadline=None)
@given(data=st.data(), source=st.sampled_from([FLOAT_MODEL, QDQ_MODEL]))
def test_flipped_bytes_in_the_structure(data, source):
    proto = fresh(source)
    tensors = [TensorProto.FromString(tensor.SerializeToString()) for tensor in proto.graph.initializer]
    del proto.graph.initializer[:]
    content = bytearray(proto.SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        damaged = onnx.ModelProto.FromString(bytes(content))
    except DecodeError:  # not even a protobuf: `load` of bytes covers that elsewhere
        return
    damaged.graph.initializer.extend(tensors)
    survives(damaged)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), source=st.sampled_from([FLOAT_MODEL, QDQ_MODEL]))
def test_absurd_numbers_and_crossed_wires(data, source):
    proto = fresh(source)
    nodes, tensors = proto.graph.node, proto.graph.initializer
    names = [name for node in nodes for name in node.output] + [tensor.name for tensor in tensors] + [""]
    for _ in range(data.draw(st.integers(1, 2))):
        node = nodes[data.draw(st.integers(0, len(nodes) - 1))]
        choice = data.draw(st.sampled_from(["attribute", "input", "constant"]))
        if choice == "input":
            node.input[data.draw(st.integers(0, len(node.input) - 1))] = data.draw(st.sampled_from(names))
        elif choice == "attribute":
            for attribute in node.attribute:
                if attribute.type == AttributeProto.INTS and attribute.ints:
                    attribute.ints[data.draw(st.integers(0, len(attribute.ints) - 1))] = data.draw(NUMBERS)
                elif attribute.type == AttributeProto.INT:
                    attribute.i = data.draw(NUMBERS)
        else:
            tensor = tensors[data.draw(st.integers(0, len(tensors) - 1))]
            array = numpy_helper.to_array(tensor).copy()
            flat = array.reshape(-1)
            number = data.draw(REALS if array.dtype.kind == "f" else NUMBERS)
            flat[data.draw(st.integers(0, flat.size - 1))] = np.asarray(number).astype(array.dtype)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    survives(proto)
