"""Post-training quantization: the form of the result, its parameters, and what is refused."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from weft.compiler import compile as compile_model
from weft.errors import QuantizationError
from weft.frontend import default_session, integerize, load, normalize, reference_session
from weft.quantize import QuantizeOptions, quantize, random_calibration
from weft.quantize.parameters import activation_parameters, quantize_bias, quantize_weights

FLOAT = TensorProto.FLOAT


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def kinds(model):
    return [node.op_type for node in model.proto.graph.node]


def constants(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.proto.graph.initializer}


def storage(model):
    """(scale, zero point) by quantized tensor: what every QuantizeLinear's output and DequantizeLinear's
    input says."""
    values, found = constants(model), {}
    for node in model.proto.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            name = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
            scale, zero = values[node.input[1]], values[node.input[2]]
            assert found.setdefault(name, (scale.tolist(), zero.tolist())) == (scale.tolist(), zero.tolist())
    return found


def error_of(model, source, feed):
    expected = reference_session(normalize(source)).run(None, feed)
    got = reference_session(integerize(model)).run(None, feed)
    return max(np.abs(a - b).max() / max(np.abs(a).max(), 1e-9) for a, b in zip(expected, got, strict=True))


@pytest.fixture
def network(make_model):
    """Every family of quantized operators in one small network with two outputs."""
    nodes = [
        helper.make_node("Transpose", ["image"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["nchw", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1], group=4),
        helper.make_node("Clip", ["c2", "zero", "six"], ["r2"]),
        helper.make_node("Add", ["r1", "r2"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["r3"]),
        helper.make_node("MaxPool", ["r3"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["pooled", "", "twice"], ["large"], mode="nearest"),
        helper.make_node("Concat", ["large", "r3"], ["both"], axis=1),
        helper.make_node("Pad", ["both", "around"], ["padded"]),
        helper.make_node("Sigmoid", ["padded"], ["sig"]),
        helper.make_node("Mul", ["padded", "sig"], ["swish"]),
        helper.make_node("ConvTranspose", ["swish", "wt", "bt"], ["up"], strides=[2, 2]),
        helper.make_node("Split", ["up"], ["left", "right"], axis=1, num_outputs=2),
        helper.make_node("Sub", ["left", "right"], ["difference"]),
        helper.make_node("GlobalAveragePool", ["difference"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "wm"], ["mm"]),
        helper.make_node("Add", ["mm", "bm"], ["hidden"]),
        helper.make_node("Tanh", ["hidden"], ["tanh"]),
        helper.make_node("Gemm", ["tanh", "wg", "bg"], ["logits"], transB=1, alpha=0.5, beta=2.0),
        helper.make_node("Softmax", ["logits"], ["answer"]),
    ]
    values = {
        "w1": normal((4, 3, 3, 3), 1),
        "b1": normal(4, 2),
        "w2": normal((4, 1, 3, 3), 3),
        "zero": np.float32(0),
        "six": np.float32(6),
        "twice": np.asarray([1, 1, 2, 2], np.float32),
        "around": np.asarray([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        "wt": normal((8, 6, 2, 2), 4),
        "bt": normal(6, 5),
        "wm": normal((3, 5), 6),
        "bm": normal((1, 5), 7),
        "wg": normal((7, 5), 8),
        "bg": normal((1, 7), 9),
    }
    return load(make_model(nodes, {"image": (FLOAT, ["N", 8, 8, 3])}, ["answer", "r3"], values, opset=18))


def test_everything_listed_is_quantized_and_the_answer_is_close(network):
    calibration = {"image": normal((4, 8, 8, 3), 20)}
    model = quantize(network, calibration)
    onnx.checker.check_model(model.proto, full_check=True)
    assert [(value.name, value.dtype) for value in model.inputs] == [("image", "float32")]
    assert [(value.name, value.dtype, value.shape) for value in model.outputs] == [
        ("answer", "float32", (1, 7)),
        ("r3", "float32", (1, 4, 8, 8)),
    ]
    dequantized = {node.output[0] for node in model.proto.graph.node if node.op_type == "DequantizeLinear"}
    stored = {node.input[0] for node in model.proto.graph.node if node.op_type == "QuantizeLinear"}
    counts = Counter(kinds(integerize(model)))
    assert (counts["QLinearConv"], counts["Conv"], counts["MatMul"], counts["Gemm"]) == (4, 0, 0, 0)
    for node in model.proto.graph.node:
        if node.op_type in (
            "Sigmoid",
            "Mul",
            "Sub",
            "Concat",
            "MaxPool",
            "Resize",
            "Split",
            "Softmax",
            "Tanh",
        ):
            assert node.input[0] in dequantized
            assert stored.issuperset(node.output) or node.op_type == "Sigmoid"
    assert "sig" not in stored and "swish" in stored  # x · Sigmoid(x) is one function
    feed = {"image": calibration["image"][:1]}
    assert error_of(model, network, feed) < 0.1
    assert default_session(model).run(None, feed)[0].shape == (1, 7)


def test_data_movement_shares_scale_and_zero_point(network):
    parameters = storage(quantize(network, {"image": normal((4, 8, 8, 3), 20)}))
    same = [
        ("image", "nchw"),
        ("r3", "pooled"),
        ("pooled", "large"),
        ("both", "padded"),
        ("up", "left"),
        ("left", "right"),
    ]
    for before, after in same:
        assert parameters[f"{before}_quantized"] == parameters[f"{after}_quantized"]
    assert parameters["both_quantized"] == parameters["r3_quantized"]
    assert parameters["sum_quantized" if "sum_quantized" in parameters else "r3_quantized"]
    assert "c1_quantized" not in parameters
    assert "mm_quantized" not in parameters


def test_equal_inputs_give_equal_models(network):
    calibration = {"image": normal((3, 8, 8, 3), 20)}
    first, second = (quantize(network, calibration, QuantizeOptions(method="percentile")).proto for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


@pytest.mark.parametrize(("correct_bias", "biases"), [(False, 1), (True, 2)])
def test_weights_and_biases_have_the_promised_form(network, correct_bias, biases):
    model = quantize(network, {"image": normal((4, 8, 8, 3), 20)}, QuantizeOptions(correct_bias=correct_bias))
    values = constants(model)
    producers = {node.output[0]: node for node in model.proto.graph.node}
    checked = 0
    for node in model.proto.graph.node:
        if node.op_type != "Conv" or len(node.input) < 3:
            continue
        x, w, b = (producers[name] for name in node.input)
        weights, scale = values[w.input[0]], values[w.input[1]]
        assert weights.dtype == np.int8
        assert weights.min() >= -127
        assert np.all(np.abs(weights).reshape(len(weights), -1).max(axis=1) == 127)
        assert not values[w.input[2]].any()
        assert values[x.input[2]].dtype == np.uint8
        assert values[b.input[0]].dtype == np.int32
        assert np.array_equal(values[b.input[1]], values[x.input[1]] * scale)
        checked += 1
    assert checked == biases


def test_a_quantized_model_comes_back_as_it_is(network):
    model = quantize(network, {"image": normal((1, 8, 8, 3))})
    assert quantize(model, {}) is model


def test_samples_as_one_array_or_one_by_one_are_the_same(network):
    images = normal((3, 8, 8, 3), 20)
    whole = quantize(network, {"image": images})
    single = quantize(network, ({"image": images[index : index + 1]} for index in range(3)))
    assert whole.proto == single.proto


def test_batches_are_bound_before_splitting(network):
    model = quantize(network, {"image": normal((4, 8, 8, 3), 20)}, shapes={"N": 2})
    assert model.inputs[0].shape == (2, 8, 8, 3)
    with pytest.raises(QuantizationError, match="image"):
        quantize(network, {"image": normal((3, 8, 8, 3), 20)}, shapes={"N": 2})


def test_progress_counts_every_run(network):
    seen = []
    images = {"image": normal((3, 8, 8, 3), 20)}
    quantize(
        network, images, QuantizeOptions(method="percentile"), progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(count, 3) for count in range(1, 4)]


def test_excluded_nodes_stay_float(make_model):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="first"),
        helper.make_node("Conv", ["a", "w"], ["y"], name="second"),
    ]
    source = load(make_model(nodes, {"x": (FLOAT, [1, 2, 4, 4])}, ["y"], {"w": normal((2, 2, 1, 1))}))
    model = integerize(quantize(source, random_calibration(source), exclude=["second"]))
    assert Counter(kinds(model))["Conv"] == 1
    with pytest.raises(QuantizationError, match="third"):
        quantize(source, random_calibration(source), exclude=["third"])


def test_percentile_cuts_outliers_and_minmax_does_not(make_model):
    source = load(make_model([helper.make_node("Tanh", ["x"], ["y"])], {"x": (FLOAT, [1, 1000])}, ["y"], {}))
    values = np.linspace(0, 1, 1000, dtype=np.float32)[None]
    values[0, 500] = 100.0
    wide = storage(quantize(source, {"x": values}))["x_quantized"][0]
    narrow = storage(quantize(source, {"x": values}, QuantizeOptions(method="percentile", percentile=99.0)))[
        "x_quantized"
    ][0]
    assert wide == pytest.approx(100 / 255)
    assert narrow == pytest.approx(1 / 255, rel=0.05)


def test_concat_of_very_different_ranges_keeps_both(make_model):
    nodes = [
        helper.make_node("Tanh", ["x"], ["small"]),
        helper.make_node("Mul", ["x", "k"], ["large"]),
        helper.make_node("Concat", ["small", "large"], ["y"], axis=1),
    ]
    source = load(make_model(nodes, {"x": (FLOAT, [1, 8])}, ["y"], {"k": np.float32(100)}))
    parameters = storage(quantize(source, {"x": normal((4, 8))}))
    assert parameters["small_quantized"] != parameters["y_quantized"]


def test_constant_operands_are_stored_quantized(make_model):
    nodes = [
        helper.make_node("Mul", ["x", "k"], ["m"]),
        helper.make_node("Concat", ["m", "c"], ["y"], axis=1),
        helper.make_node("MatMul", ["left", "y"], ["z"]),
    ]
    values = {"k": np.float32(0.25), "c": normal((1, 2)), "left": normal((3, 1))}
    source = load(make_model(nodes, {"x": (FLOAT, [1, 4])}, ["z"], values))
    calibration = {"x": normal((4, 4), 3)}
    model = quantize(source, calibration)
    assert "QLinearMatMul" in kinds(integerize(model))
    assert not any(value.dtype == np.float32 and value.size > 1 for value in constants(model).values())
    assert error_of(model, source, {"x": calibration["x"][:1]}) < 0.05


def test_what_is_read_in_float_stays_float_where_no_quantized_node_makes_it(make_model):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Sin", ["x"], ["e"]),
        helper.make_node("Sin", ["a"], ["f"]),
    ]
    source = load(make_model(nodes, {"x": (FLOAT, [1, 2, 4, 4])}, ["e", "f"], {"w": normal((2, 2, 1, 1))}))
    model = quantize(source, random_calibration(source))
    inputs = {node.output[0]: node.input[0] for node in model.proto.graph.node if node.op_type == "Sin"}
    assert inputs["e"] == "x"
    assert inputs["f"] == "a_dequantized"


FUNCTIONS = {
    "silu": [("Sigmoid", ["a"], "s"), ("Mul", ["a", "s"], "y")],
    "hard swish": [
        ("Add", ["a", "three"], "b"), ("Clip", ["b", "zero", "six"], "c"), ("Mul", ["a", "c"], "d"),
        ("Div", ["d", "six"], "y"),
    ],
    "gelu": [
        ("Div", ["a", "root"], "b"), ("Erf", ["b"], "c"), ("Add", ["c", "one"], "d"), ("Mul", ["a", "d"], "e"),
        ("Mul", ["e", "half"], "y"),
    ],
    "gelu by tanh": [
        ("Pow", ["a", "three"], "b"), ("Mul", ["b", "half"], "c"), ("Add", ["a", "c"], "d"), ("Tanh", ["d"], "e"),
        ("Add", ["e", "one"], "f"), ("Mul", ["a", "f"], "g"), ("Mul", ["g", "half"], "y"),
    ],
    "mish": [("Softplus", ["a"], "b"), ("Tanh", ["b"], "c"), ("Mul", ["a", "c"], "y")],
    "slopes": [("PRelu", ["a", "slope"], "y")],
    "exp": [("Exp", ["a"], "y")],
    "root of magnitude": [("Abs", ["a"], "b"), ("Sqrt", ["b"], "y")],
    "batch normalization": [
        ("Relu", ["a"], "r"), ("BatchNormalization", ["r", "gamma", "beta", "mean", "variance"], "b"),
        ("Mul", ["b", "factor"], "c"), ("Add", ["c", "term"], "d"), ("Relu", ["d"], "y"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parts_of_one_function_are_quantized_once_and_run_on_the_accelerator(make_model, name):
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"])]
    nodes += [helper.make_node(op, inputs, [output]) for op, inputs, output in FUNCTIONS[name]]
    nodes.append(helper.make_node("Conv", ["y", "w"], ["z"]))
    scalars = {"zero": 0, "half": 0.5, "one": 1, "three": 3, "six": 6, "root": 2**0.5}
    values = {key: np.float32(value) for key, value in scalars.items()} | {"w": normal((4, 4, 1, 1)) / 4}
    values |= {key: normal(4, 1) for key in ("gamma", "beta", "mean")} | {"variance": np.abs(normal(4, 2)) + 1}
    values |= {"slope": np.full((4, 1, 1), 0.2, np.float32) * np.arange(4, dtype=np.float32)[:, None, None]}
    values |= {"factor": normal((4, 1, 1), 3), "term": normal((1, 4, 1, 1), 4)}
    source = load(make_model(nodes, {"x": (FLOAT, [1, 4, 5, 5])}, ["z"], values))
    model = quantize(source, {"x": normal((4, 4, 5, 5), 5)})
    assert kinds(model).count("QuantizeLinear") == 4
    assert error_of(model, source, {"x": normal((1, 4, 5, 5), 5)}) < 0.1
    executable = compile_model(model)
    assert len(executable.regions) == 1 and executable.inexact == ()
    on_host = [node.op for node in executable.nodes if node.device == "host"]
    assert sorted(on_host) == ["DequantizeLinear", "QuantizeLinear"]


def test_sums_of_many_tensors_are_quantized_as_additions(make_model):
    nodes = [helper.make_node("Conv", ["x", f"w{index}"], [f"a{index}"]) for index in range(4)]
    nodes.append(helper.make_node("Sum", [f"a{index}" for index in range(4)], ["y"], name="all"))
    values = {f"w{index}": normal((4, 4, 1, 1), index) for index in range(4)}
    source = load(make_model(nodes, {"x": (FLOAT, [1, 4, 5, 5])}, ["y"], values))
    feed = {"x": normal((1, 4, 5, 5), 5)}
    expected = reference_session(source).run(None, feed)[0]
    np.testing.assert_array_equal(reference_session(normalize(source)).run(None, feed)[0], expected)
    model = quantize(source, {"x": normal((4, 4, 5, 5), 5)})
    assert kinds(model).count("Add") == 3 and error_of(model, source, feed) < 0.1
    executable = compile_model(model)
    assert len(executable.regions) == 1
    assert sorted(node.op for node in executable.nodes if node.device == "host") == [
        "DequantizeLinear",
        "QuantizeLinear",
    ]


@pytest.mark.parametrize("lowest", [-np.inf, -3e38, -1e9, -1e6])
def test_what_masks_make_unbounded_stays_float(make_model, lowest):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["scores"], name="scores"),
        helper.make_node("Add", ["scores", "mask"], ["masked"], name="masking"),
        helper.make_node("Softmax", ["masked"], ["weights"], name="softmax"),
        helper.make_node("MatMul", ["weights", "w"], ["y"], name="mix"),
    ]
    values = {"w": normal((4, 4), 1)}
    source = load(make_model(nodes, {"x": (FLOAT, [4, 4]), "mask": (FLOAT, [4, 4])}, ["y"], values))
    mask = np.triu(np.full((4, 4), lowest, np.float32), 1)
    feed = {"x": normal((4, 4), 2), "mask": mask}
    model = quantize(source, feed)
    counts = Counter(kinds(integerize(model)))
    assert (counts["QLinearMatMul"], counts["Add"], counts["Softmax"]) == (2, 1, 1)
    assert error_of(model, source, feed) < 0.05


@pytest.mark.parametrize(("factor", "stored"), [(1e7, True), (1e15, True), (1e19, False)])
def test_numbers_that_are_huge_everywhere_are_stored(make_model, factor, stored):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["huge"]),
        helper.make_node("MatMul", ["huge", "w"], ["y"]),
    ]
    values = {"w": normal((8, 8), 1)}
    source = load(make_model(nodes, {"x": (FLOAT, [16, 8])}, ["y"], values))
    feed = {"x": normal((16, 8), 2) * np.float32(factor)}
    model = quantize(source, feed)
    assert (kinds(integerize(model)).count("QLinearMatMul") == 2) is stored
    assert error_of(model, source, feed) < 0.05


def test_models_without_anything_to_quantize_stay_float(make_model):
    source = load(make_model([helper.make_node("Exp", ["x"], ["y"])], {"x": (FLOAT, [1, 2])}, ["y"], {}))
    assert not quantize(source, random_calibration(source)).is_quantized


@pytest.mark.parametrize("weights", [np.zeros((2, 2, 1, 1)), np.full((2, 2, 1, 1), 1e-38), np.full((2, 2, 1, 1), 1e30)])
@pytest.mark.parametrize("bias", [np.zeros(2), np.asarray([1e-3, -1e6]), np.asarray([1e30, 0.0])])
def test_extreme_weights_and_biases_stay_finite(make_model, weights, bias):
    values = {"w": weights.astype(np.float32), "b": bias.astype(np.float32)}
    source = load(
        make_model([helper.make_node("Conv", ["x", "w", "b"], ["y"])], {"x": (FLOAT, [1, 2, 3, 3])}, ["y"], values)
    )
    calibration = random_calibration(source)
    model = quantize(source, calibration)
    for value in constants(model).values():
        assert np.all(np.isfinite(value))
    feed = {"x": calibration["x"][:1]}
    expected = reference_session(normalize(source)).run(None, feed)[0]
    got = reference_session(integerize(model)).run(None, feed)[0]
    assert np.abs(got - expected).max() <= max(0.02 * np.abs(expected).max(), 1e-17)


@given(low=st.floats(-1e30, 1e30), high=st.floats(-1e30, 1e30))
def test_activation_scales_are_normal_and_hold_zero_exactly(low, high):
    low, high = min(low, high), max(low, high)
    parameters = activation_parameters(low, high)
    assert np.isfinite(parameters.scale)
    assert parameters.scale >= 2.0**-60
    least = (0 - int(parameters.zero_point)) * float(parameters.scale)
    greatest = (255 - int(parameters.zero_point)) * float(parameters.scale)
    step = float(parameters.scale) * 0.51
    assert least <= max(min(low, 0.0), least) + step
    assert abs(least - min(low, 0.0)) <= step or parameters.scale in (1.0, np.float32(2.0**-60))
    assert abs(greatest - max(high, 0.0)) <= step or parameters.scale in (1.0, np.float32(2.0**-60))


@settings(max_examples=100)
@given(seed=st.integers(0, 1000), bias=st.floats(1e-30, 1e30), magnitude=st.floats(1e-30, 1e20))
def test_biases_never_overflow_the_accumulator(seed, bias, magnitude):
    weights = normal((3, 2, 3, 3), seed) * np.float32(magnitude)
    weights[1] = 0
    biases = np.asarray([bias, -bias, bias / 3], np.float32)
    found = quantize_weights(weights, 0, biases, np.float32(0.02))
    stored, scale = quantize_bias(biases, np.float32(0.02), found.scale)
    assert np.all(scale >= np.finfo(np.float32).tiny)
    assert np.array_equal(scale, np.float32(0.02) * found.scale)
    assert np.abs(stored.astype(np.int64)).max() + 2 * 9 * 255 * 127 < 2**31
    np.testing.assert_allclose(stored * scale.astype(np.float64), biases, atol=float(scale.max()))


class TestRefusals:
    """Calibration data that do not fit."""

    @pytest.mark.parametrize(
        ("calibration", "reason"),
        [
            ({}, "lacks"),
            ({"image": np.zeros((1, 8, 8, 3), np.float32), "more": np.zeros(1)}, "more"),
            ({"image": np.zeros((0, 8, 8, 3), np.float32)}, "shape"),
            ({"image": np.zeros((1, 8, 8, 4), np.float32)}, "shape"),
            ({"image": np.zeros((8, 8, 3), np.float32)}, "shape"),
            ({"image": np.full((1, 8, 8, 3), np.nan, np.float32)}, "nan"),
            ({"image": np.zeros((1, 8, 8, 3), np.complex64)}, "complex64"),
            ([], "no sample"),
        ],
    )
    def test_calibration(self, network, calibration, reason):
        with pytest.raises(QuantizationError, match=reason) as caught:
            quantize(network, calibration)
        assert "\n" not in str(caught.value)

    def test_options(self, network):
        images = {"image": normal((1, 8, 8, 3))}
        with pytest.raises(QuantizationError, match="entropy"):
            quantize(network, images, QuantizeOptions(method="median"))
        with pytest.raises(QuantizationError, match="percentile"):
            quantize(network, images, QuantizeOptions(method="percentile", percentile=10.0))

    def test_inputs_with_different_numbers_of_samples(self, make_model):
        node = helper.make_node("Add", ["a", "b"], ["y"])
        source = load(make_model([node], {"a": (FLOAT, ["N", 2]), "b": (FLOAT, ["N", 2])}, ["y"], {}))
        with pytest.raises(QuantizationError, match="different numbers"):
            quantize(source, {"a": normal((2, 2)), "b": normal((3, 2))})


def test_integer_images_calibrate_float_inputs(network):
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    assert quantize(network, {"image": images}).proto == quantize(network, {"image": images.astype(np.float32)}).proto


def test_random_calibration_is_seeded_and_fits(network):
    first, second, other = (
        random_calibration(network, 1),
        random_calibration(network, 1),
        random_calibration(network, 2),
    )
    assert first["image"].shape == (8, 8, 8, 3)
    assert first["image"].dtype == np.float32
    assert np.array_equal(first["image"], second["image"])
    assert not np.array_equal(first["image"], other["image"])
