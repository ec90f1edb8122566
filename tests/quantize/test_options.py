"""Storage types, symmetry, choices by node, and what is refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from float_networks import classifier, samples
from onnx import numpy_helper

from weft.errors import QuantizationError
from weft.frontend import integerize, load, normalize, reference_session
from weft.quantize import NodeOptions, QuantizeOptions, quantize

DATA = {"x": samples(8)}


def parameters(model):
    """(scale, zero point) of every QuantizeLinear by the tensor it stores, and of every constant's
    DequantizeLinear by the constant."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.proto.graph.initializer}
    found = {}
    for node in model.proto.graph.node:
        if node.op_type == "QuantizeLinear":
            found[node.output[0]] = constants[node.input[1]], constants[node.input[2]]
        elif node.op_type == "DequantizeLinear" and node.input[0] in constants:
            found[node.input[0]] = constants[node.input[1]], constants[node.input[2]]
    return found


def error(model, source):
    feed = {"x": DATA["x"][:1]}
    expected = reference_session(normalize(source)).run(None, feed)[0]
    return float(np.abs(expected - reference_session(integerize(model)).run(None, feed)[0]).max())


@pytest.mark.parametrize("storage", ["uint8", "int8"])
@pytest.mark.parametrize("symmetry", ["asymmetric", "symmetric"])
@pytest.mark.parametrize("weights", ["int8", "uint8"])
def test_every_combination_of_types_computes_the_same_network(storage, symmetry, weights):
    source = load(classifier())
    options = QuantizeOptions(activation_type=storage, activation_symmetry=symmetry, weight_type=weights)
    model = quantize(source, DATA, options)
    onnx.checker.check_model(model.proto, full_check=True)
    found = parameters(model)
    zero_points = {zero.dtype.name: zero for name, (_, zero) in found.items() if name.startswith("r1_")}
    assert list(zero_points) == [storage]
    middle = 128 if storage == "uint8" else 0
    least = 0 if storage == "uint8" else -128
    assert zero_points[storage] == (middle if symmetry == "symmetric" else least)
    scale, zero = found["w1_quantized"]
    assert zero.dtype == weights and set(zero.tolist()) == {128 if weights == "uint8" else 0} and scale.shape == (8,)
    assert error(model, source) < 0.03
    integers = [node.op_type for node in integerize(model).proto.graph.node]
    assert integers.count("QLinearConv") == 4


def test_asymmetric_and_per_tensor_weights():
    source = load(classifier())
    asymmetric = parameters(quantize(source, DATA, QuantizeOptions(weight_symmetry="asymmetric")))["w1_quantized"]
    assert asymmetric[0].shape == asymmetric[1].shape == () and asymmetric[1] != 0
    weights = next(tensor for tensor in source.proto.graph.initializer if tensor.name == "w1")
    values = numpy_helper.to_array(weights)
    assert asymmetric[0] == pytest.approx((values.max() - values.min()) / 255, rel=1e-6)
    options = QuantizeOptions(weight_granularity="tensor")
    assert parameters(quantize(source, DATA, options))["w1_quantized"][0] == pytest.approx(np.abs(values).max() / 127)
    for each in (QuantizeOptions(weight_symmetry="asymmetric"), options):
        assert error(quantize(source, DATA, each), source) < 0.05


def test_single_nodes_do_otherwise():
    source = load(classifier())
    plain = parameters(quantize(source, DATA))
    chosen = {
        "conv3": NodeOptions(keep_float=True),
        "relu1": NodeOptions(method="percentile", activation_type="int8"),
        "conv2": NodeOptions(weight_type="uint8"),
    }
    model = quantize(source, DATA, QuantizeOptions(percentile=90.0, nodes=chosen))
    found = parameters(model)
    assert "w3_quantized" not in found and "Conv" in [node.op_type for node in integerize(model).proto.graph.node]
    assert found["r1_quantized"][1].dtype == np.int8 and found["r1_quantized"][0] < 0.9 * plain["r1_quantized"][0]
    assert found["w2_quantized"][1].dtype == np.uint8 and found["w1_quantized"][1].dtype == np.int8
    assert found["m_quantized"] == plain["m_quantized"]
    onnx.checker.check_model(model.proto, full_check=True)


def test_types_that_contradict_each_other_are_refused():
    chosen = {"pool": NodeOptions(activation_type="int8"), "mul": NodeOptions(activation_type="uint8")}
    with pytest.raises(QuantizationError, match="give both the same"):
        quantize(load(classifier()), DATA, QuantizeOptions(nodes=chosen))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "median"}, "'minmax', 'percentile', 'entropy', 'mse'"),
        ({"activation_type": "int4"}, "activation type 'int4'"),
        ({"weight_symmetry": "odd"}, "weight symmetry"),
        ({"percentile": 50.0}, "above 50"),
        ({"minimum_snr": float("nan")}, "finite"),
        ({"nodes": {"conv9": NodeOptions()}}, "'conv9'"),
        ({"nodes": {"conv1": NodeOptions(method="median")}}, "node 'conv1'"),
    ],
)
def test_bad_options_are_refused_in_one_line(options, words):
    with pytest.raises(QuantizationError, match=words) as caught:
        quantize(load(classifier()), DATA, QuantizeOptions(**options))
    assert "\n" not in str(caught.value)


def test_samples_from_a_generator_are_read_once_and_give_the_same_model():
    source = load(classifier())
    options = QuantizeOptions(method="mse", correct_bias=True, equalize=True)
    batches = ({"x": DATA["x"][start : start + 3]} for start in (0, 3, 6))
    once = quantize(source, batches, options)
    assert once.proto.SerializeToString(deterministic=True) == quantize(source, DATA, options).proto.SerializeToString(
        deterministic=True
    )
