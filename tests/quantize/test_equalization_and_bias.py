"""Cross-layer equalization keeps every bit of the float network; bias correction removes the mean error."""

from __future__ import annotations

import numpy as np
import pytest
from float_networks import model, normal, samples
from onnx import helper, numpy_helper

from weft.frontend import integerize, load, normalize, reference_session
from weft.frontend.graph import Graph
from weft.quantize import NodeOptions, QuantizeOptions, quantize
from weft.quantize.bias_correction import correct_biases
from weft.quantize.equalize import equalize
from weft.quantize.quantizer import calibrate, emit

IMAGES = samples(6, shape=(4, 7, 6))


def chain(spread: float = 4.0):
    """Conv → Relu → depthwise Conv → grouped Conv → Relu → Conv, channels of very different ranges."""
    generator = np.random.default_rng(11)
    ranges = np.exp2(generator.uniform(-spread, spread, 8)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "depthwise", pads=[1, 1, 1, 1], group=8),
        helper.make_node("Conv", ["c2", "w3"], ["c3"], "grouped", group=2),
        helper.make_node("Relu", ["c3"], ["r3"], "relu3"),
        helper.make_node("Conv", ["r3", "w4", "b4"], ["y"], "last"),
    ]
    constants = {
        "w1": normal(generator, 8, 4, 3, 3, scale=0.3) * ranges[:, None, None, None],
        "b1": normal(generator, 8, scale=0.1) * ranges,
        "w2": normal(generator, 8, 1, 3, 3, scale=0.4) / ranges[:, None, None, None],
        "b2": normal(generator, 8, scale=0.1),
        "w3": normal(generator, 6, 4, 1, 1, scale=0.3) * ranges[:6, None, None, None],
        "w4": normal(generator, 3, 6, 1, 1, scale=0.3) / ranges[None, :6, None, None],
        "b4": normal(generator, 3),
    }
    return model(nodes, {"x": [1, 4, 7, 6]}, ["y"], constants)


def dense():
    """MatMul with its Add → Relu → Gemm transposed → Gemm with alpha and beta."""
    generator = np.random.default_rng(12)
    ranges = np.exp2(generator.uniform(-5, 5, 9)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["m"], "product"),
        helper.make_node("Add", ["b1", "m"], ["a"], "bias"),
        helper.make_node("Relu", ["a"], ["r"], "relu"),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["g"], "second", transB=1, beta=0.5),
        helper.make_node("Gemm", ["g", "w3"], ["y"], "third", alpha=2.0),
    ]
    constants = {
        "w1": normal(generator, 5, 9) * ranges,
        "b1": normal(generator, 9) * ranges,
        "w2": normal(generator, 7, 9) / ranges,
        "b2": normal(generator, 1, 7),
        "w3": normal(generator, 7, 2),
    }
    return model(nodes, {"x": [1, 5]}, ["y"], constants)


def constants(each):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in each.proto.graph.initializer}


def run(each, arrays, *, integer=False):
    session = reference_session(integerize(each) if integer else each)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: array[None]})[0] for array in arrays])


@pytest.mark.parametrize(("network", "arrays"), [(chain, IMAGES), (dense, samples(6, shape=(5,)))])
def test_equalized_networks_compute_the_same_bits_and_quantize_better(network, arrays):
    source = normalize(load(network()))
    equalized = equalize(source, (), [{"x": array[None]} for array in arrays])
    changed = [
        name for name, values in constants(equalized).items() if not np.array_equal(values, constants(source)[name])
    ]
    assert len(changed) >= 5
    expected = run(source, arrays)
    np.testing.assert_array_equal(run(equalized, arrays), expected)
    plain, better = (
        run(quantize(source, {"x": arrays}, QuantizeOptions(equalize=wanted)), arrays, integer=True)
        for wanted in (False, True)
    )
    assert np.mean((better - expected) ** 2) < 0.5 * np.mean((plain - expected) ** 2)


def assert_same_constants(one, other):
    first, second = constants(one), constants(other)
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])


def test_constants_that_others_read_stay_as_they_are_for_them():
    generator = np.random.default_rng(16)
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "a"),
        helper.make_node("Conv", ["c", "w", "b"], ["d"], "b"),
        helper.make_node("Conv", ["x", "w", "b"], ["e"], "beside"),
    ]
    weights = normal(generator, 4, 4, 1, 1) * np.float32([1, 8, 64, 512])[:, None, None, None]
    source = normalize(load(model(nodes, {"x": [1, 4, 7, 6]}, ["d", "e"], {"w": weights, "b": normal(generator, 4)})))
    equalized = equalize(source, (), [{"x": IMAGES[:1]}])
    assert len(constants(equalized)) > len(constants(source))
    feed = {"x": IMAGES[1:2]}
    for found, expected in zip(
        reference_session(equalized).run(None, feed), reference_session(source).run(None, feed), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_what_is_not_a_pair_keeps_its_weights():
    generator = np.random.default_rng(13)
    conv = {"w1": normal(generator, 4, 4, 1, 1), "w2": normal(generator, 4, 4, 1, 1) * 64}
    for middle in (
        [helper.make_node("Clip", ["c", "low", "high"], ["m"], "clip")],
        [helper.make_node("Relu", ["c"], ["m"], "relu"), helper.make_node("Neg", ["c"], ["z"], "second_reader")],
    ):
        nodes = [helper.make_node("Conv", ["x", "w1"], ["c"], "a"), *middle]
        nodes.append(helper.make_node("Conv", ["m", "w2"], ["y"], "b"))
        outputs = ["y", *(["z"] if len(middle) == 2 else [])]
        bounds = {} if len(middle) == 2 else {"low": np.float32(0), "high": np.float32(6)}
        source = normalize(load(model(nodes, {"x": [1, 4, 7, 6]}, outputs, conv | bounds)))
        assert_same_constants(equalize(source, (), [{"x": IMAGES[:1]}]), source)
    source = normalize(load(chain()))
    kept = {node.name for node in source.proto.graph.node if node.op_type == "Conv"} - {"last"}
    assert_same_constants(equalize(source, kept, [{"x": IMAGES[:1]}]), source)


def test_channels_that_are_too_far_apart_stay():
    """Weights that a scale would push out of float32's normal range: the pair is left alone."""
    constants = {
        "w1": np.array([[2.0**-120, 0], [1, 0]], np.float32).reshape(2, 2, 1, 1),
        "w2": np.array([[2.0**100, 1], [1.5 * 2.0**-100, 1]], np.float32).reshape(2, 2, 1, 1),
    }
    nodes = [helper.make_node("Conv", ["x", "w1"], ["c"], "a"), helper.make_node("Conv", ["c", "w2"], ["y"], "b")]
    source = normalize(load(model(nodes, {"x": [1, 2, 3, 3]}, ["y"], constants)))
    arrays = samples(2, shape=(2, 3, 3))
    equalized = equalize(source, (), [{"x": array[None]} for array in arrays])
    assert_same_constants(equalized, source)


def biased_network():
    """A depthwise convolution whose weights all round the same way, so that its mean shifts."""
    weights = np.full((4, 1, 3, 3), 0.4 / 127, np.float32)
    weights[:, 0, 0, 0] = 1.0
    generator = np.random.default_rng(14)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "depthwise", group=4),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Conv", ["r", "v", "b"], ["d"], "second"),
        helper.make_node("Flatten", ["d"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "g"], ["y"], "dense", alpha=0.5),
    ]
    constants = {
        "w": weights,
        "v": normal(generator, 5, 4, 1, 1),
        "b": normal(generator, 5),
        "g": normal(generator, 100, 3),
    }
    return model(nodes, {"x": [1, 4, 7, 6]}, ["y"], constants)


def test_bias_correction_removes_the_mean_error():
    arrays = np.abs(samples(40, shape=(4, 7, 6))) + 1
    source = load(biased_network())
    expected = run(normalize(source), arrays[20:])
    errors = []
    for wanted in (False, True):
        quantized = quantize(source, {"x": arrays[:20]}, QuantizeOptions(correct_bias=wanted))
        assert [node.op_type for node in integerize(quantized).proto.graph.node].count("QLinearConv") == 3 - (
            not wanted
        )
        errors.append(np.abs(np.mean(run(quantized, arrays[20:], integer=True) - expected, axis=0)).mean())
    assert errors[1] < 0.2 * errors[0]


def test_the_correction_is_the_layers_own_mean_shift():
    """depthwise: 8 weights of 0.4/127 vanish, so each channel lacks 8 · 0.4/127 of its mean input."""
    arrays = np.abs(samples(20, shape=(4, 7, 6))) + 1
    calibrated = calibrate(load(biased_network()), {"x": arrays}, QuantizeOptions(correct_bias=False))
    corrected = correct_biases(calibrated.model, emit(calibrated), calibrated.samples)
    graph = Graph(corrected)
    node = next(each for each in graph.nodes if each.name == "depthwise")
    session = reference_session(calibrated.model)
    assert session is not None
    # What weight number 0 reads is exact; the other eight read these windows of the image.
    windows = [arrays[:, :, row : row + 5, column : column + 4] for row in range(3) for column in range(3)][1:]
    expected = np.mean([window.mean(axis=(0, 2, 3)) for window in windows], axis=0) * 8 * 0.4 / 127
    np.testing.assert_allclose(numpy_helper.to_array(graph.constants[node.input[2]]), expected, rtol=0.05)


def test_correction_needs_no_place_where_there_is_none():
    """A MatMul without an Add behind it, and a layer kept float, stay as they are."""
    generator = np.random.default_rng(15)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "product")]
    source = load(model(nodes, {"x": [1, 5]}, ["y"], {"w": normal(generator, 5, 4)}))
    arrays = samples(5, shape=(5,))
    for options in (
        QuantizeOptions(correct_bias=True),
        QuantizeOptions(correct_bias=True, nodes={"product": NodeOptions(keep_float=True)}),
    ):
        found = quantize(source, {"x": arrays}, options)
        assert "Add" not in [node.op_type for node in found.proto.graph.node]
