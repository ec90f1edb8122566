"""QDQ to integer graph: which patterns become integer operators, which stay, and what both compute."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from weft.frontend import default_session, integerize, load, normalize, reference_session
from weft.frontend.exact_kernels import unsigned_operands
from weft.frontend.origins import origins
from weft.frontend.session_options import plain_options

TYPES = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8}


class Qdq:
    """Builds QDQ models: constants and nodes collected step by step."""

    def __init__(self, seed=0):
        self.generator = np.random.default_rng(seed)
        self.nodes, self.inputs, self.constants = [], {}, {}

    def source(self, name, dtype, shape, scale=0.02, zero_point=None):
        """A quantized graph input; returns the dequantized tensor."""
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        zero = (low + high) // 2 + 3 if zero_point is None else zero_point
        self.inputs[name] = (TYPES[dtype], shape)
        return self.dequantize(name, scale, np.asarray(zero, dtype))

    def weights(self, name, dtype, shape, axis=None, asymmetric=False):
        values = self.generator.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)
        self.constants[name] = values
        count = () if axis is None else shape[axis]
        scale = self.generator.uniform(0.001, 0.01, count).astype(np.float32)
        middle = 128 if dtype == "uint8" else 0
        zero = np.full(count, middle + (7 if asymmetric else 0), dtype)
        return self.dequantize(name, scale, zero, axis)

    def bias(self, name, count, scale):
        self.constants[name] = self.generator.integers(-20000, 20000, count).astype(np.int32)
        scale = np.asarray(scale, np.float32)
        return self.dequantize(name, scale, np.zeros(scale.shape, np.int32), 0 if scale.ndim else None)

    def dequantize(self, name, scale, zero, axis=None):
        self.constants[f"{name}_s"], self.constants[f"{name}_z"] = (
            np.asarray(scale, np.float32),
            np.asarray(zero),
        )
        extra = {} if axis is None else {"axis": axis}
        self.add("DequantizeLinear", [name, f"{name}_s", f"{name}_z"], f"{name}_f", **extra)
        return f"{name}_f"

    def quantize(self, name, dtype, scale, zero, output="y"):
        self.constants[f"{output}_s"], self.constants[f"{output}_z"] = (
            np.float32(scale),
            np.asarray(zero, dtype),
        )
        return self.add("QuantizeLinear", [name, f"{output}_s", f"{output}_z"], output)

    def add(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{kind}:{output}", **attributes))
        return output

    def scale(self, first, second):
        """The scale of a bias: the float32 product of those of both operands."""
        return self.constants[f"{first}_s"] * self.constants[f"{second}_s"]


def kinds(model):
    return [node.op_type for node in model.proto.graph.node]


def feed_of(proto, seed=5):
    generator = np.random.default_rng(seed)
    feed = {}
    for value in load(proto).inputs:
        limits = np.iinfo(value.dtype)
        feed[value.name] = generator.integers(limits.min, limits.max, value.shape, value.dtype, endpoint=True)
    return feed


def plain_run(model, feed):
    options = plain_options()
    data = model.proto.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, feed)[0]


def check(proto, mismatches, tolerance=1):
    """The integer graph equals the formula everywhere, and the literal QDQ text within `tolerance` steps."""
    qdq = normalize(load(proto))
    model = integerize(qdq)
    feed = feed_of(proto)
    wrong, total = mismatches(model, feed)
    assert total > 0
    assert wrong == 0
    unsigned = unsigned_operands(model)
    weights = {node.input[index] for node in unsigned.proto.graph.node for index in (2, 5) if "QLinear" in node.op_type}
    kinds_of_zero = {tensor.name: tensor.data_type for tensor in unsigned.proto.graph.initializer}
    assert all(kinds_of_zero[name] == TensorProto.UINT8 for name in weights)
    assert np.array_equal(*(plain_run(each, feed) for each in (model, unsigned)))
    literal, got = (reference_session(each).run(None, feed)[0] for each in (qdq, model))
    assert literal.dtype == got.dtype
    assert literal.shape == got.shape
    assert np.abs(literal.astype(int) - got.astype(int)).max(initial=0) <= tolerance
    return model


@settings(max_examples=80, deadline=None)
@given(
    x_type=st.sampled_from(["uint8", "int8"]),
    w_type=st.sampled_from(["uint8", "int8"]),
    y_type=st.sampled_from(["uint8", "int8"]),
    rank=st.sampled_from([1, 2, 2, 2]),
    group=st.sampled_from([1, 1, 2, 4]),
    per_channel=st.booleans(),
    asymmetric=st.booleans(),
    bias=st.sampled_from([None, "per-channel", "by-tolerance"]),
    activation=st.sampled_from([None, "Relu", "Clip6", "ClipLow", "Relu+Clip"]),
    geometry=st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), st.integers(0, 1)),
    zero=st.integers(0, 255),
)
def test_convolutions(
    make_model,
    mismatches,
    x_type,
    w_type,
    y_type,
    rank,
    group,
    per_channel,
    asymmetric,
    bias,
    activation,
    geometry,
    zero,
):
    taps, stride, dilation, pad = geometry
    build = Qdq(zero)
    x = build.source("x", x_type, [2, 4, *(7,) * rank])
    w = build.weights("w", w_type, (8, 4 // group, *(taps,) * rank), 0 if per_channel else None, asymmetric)
    inputs = [x, w]
    if bias:
        scale = build.scale("x", "w") * (1 + (2e-6 if bias == "by-tolerance" else 0))
        inputs.append(build.bias("b", 8, scale))
    name = build.add(
        "Conv",
        inputs,
        "conv",
        group=group,
        strides=[stride] * rank,
        dilations=[dilation] * rank,
        pads=[pad] * 2 * rank,
    )
    build.constants.update(low=np.float32(0), six=np.float32(6), minus=np.float32(-1.5))
    for index, step in enumerate(
        {"Clip6": ["Clip"], "ClipLow": ["Low"], "Relu+Clip": ["Relu", "Clip"]}.get(
            activation, [activation] if activation else []
        )
    ):
        clip = {"Clip": [name, "low", "six"], "Low": [name, "minus"]}.get(step, [name])
        name = build.add("Relu" if step == "Relu" else "Clip", clip, f"act{index}")
    build.quantize(name, y_type, 0.05, zero + np.iinfo(y_type).min)
    model = check(make_model(build.nodes, build.inputs, ["y"], build.constants), mismatches)
    assert "Conv" not in kinds(model)
    assert kinds(model).count("QLinearConv") == 1
    assert len(kinds(model)) <= 4


@settings(max_examples=60, deadline=None)
@given(
    a_type=st.sampled_from(["uint8", "int8"]),
    b_type=st.sampled_from(["uint8", "int8"]),
    y_type=st.sampled_from(["uint8", "int8"]),
    lead=st.sampled_from([(1,), (5,), (2, 3), (1, 2, 2)]),
    depth=st.integers(1, 70),
    columns=st.integers(1, 9),
    per_channel=st.booleans(),
    bias=st.booleans(),
    relu=st.booleans(),
)
def test_products(make_model, mismatches, a_type, b_type, y_type, lead, depth, columns, per_channel, bias, relu):
    build = Qdq(depth)
    a = build.source("a", a_type, [*lead, depth])
    b = build.weights("b", b_type, (depth, columns), 1 if per_channel else None)
    name = build.add("MatMul", [a, b], "mm")
    if bias:
        name = build.add("Add", [build.bias("c", columns, build.scale("a", "b")), name], "biased")
    if relu:
        name = build.add("Relu", [name], "relu")
    build.quantize(name, y_type, 0.2, np.iinfo(y_type).min + 100)
    model = check(make_model(build.nodes, build.inputs, ["y"], build.constants), mismatches)
    assert "MatMul" not in kinds(model)
    assert ("QLinearConv" if bias else "QLinearMatMul") in kinds(model)


@settings(max_examples=40, deadline=None)
@given(
    transpose_a=st.booleans(),
    transpose_b=st.booleans(),
    per_channel=st.booleans(),
    bias=st.sampled_from([None, (6,), (1, 6)]),
    rows=st.integers(1, 4),
)
def test_gemm(make_model, mismatches, transpose_a, transpose_b, per_channel, bias, rows):
    build = Qdq(rows)
    a = build.source("a", "uint8", [5, rows] if transpose_a else [rows, 5])
    axis = (0 if transpose_b else 1) if per_channel else None
    b = build.weights("b", "int8", (6, 5) if transpose_b else (5, 6), axis)
    inputs = [a, b]
    if bias:
        assume(bias == (6,) or not per_channel)
        inputs.append(build.bias("c", bias, build.scale("a", "b")))
    build.add("Gemm", inputs, "gemm", transA=int(transpose_a), transB=int(transpose_b))
    build.quantize("gemm", "uint8", 0.05, 90)
    model = check(make_model(build.nodes, build.inputs, ["y"], build.constants), mismatches)
    assert "Gemm" not in kinds(model)


def test_product_of_two_activations_with_batch_axes(make_model, mismatches):
    build = Qdq()
    a, b = build.source("a", "int8", [2, 3, 4, 5]), build.source("b", "int8", [2, 3, 5, 6])
    build.quantize(build.add("MatMul", [a, b], "mm"), "int8", 0.02, 3)
    model = check(make_model(build.nodes, build.inputs, ["y"], build.constants), mismatches)
    assert kinds(model) == ["QLinearMatMul"]


def conv_model(build, make_model, inputs=None, outputs=("y",), quantize=True):
    x = build.source("x", "uint8", [1, 4, 6, 6])
    w = build.weights("w", "int8", (4, 4, 3, 3), 0)
    build.add("Conv", inputs(build, x, w) if inputs else [x, w], "conv")
    if quantize:
        build.quantize("conv", "uint8", 0.05, 128)
    return make_model(build.nodes, build.inputs, list(outputs), build.constants)


@pytest.mark.parametrize("factor", [1.001, 0.5])
def test_bias_of_another_scale_stays_literal(make_model, factor):
    build = Qdq()
    proto = conv_model(build, make_model, lambda b, x, w: [x, w, b.bias("c", 4, b.scale("x", "w") * factor)])
    assert "Conv" in kinds(integerize(normalize(load(proto))))


def test_float_bias_is_stored_with_the_accumulators_scale(make_model):
    build = Qdq()
    build.constants["c"] = np.asarray([1.0, -0.5, 0.0, 1e-9], np.float32)
    proto = conv_model(build, make_model, lambda b, x, w: [x, w, "c"])
    model = integerize(normalize(load(proto)))
    assert kinds(model) == ["QLinearConv"]
    inputs = model.proto.graph.node[0].input
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.proto.graph.initializer}
    scale = values[inputs[1]] * values[inputs[4]]
    assert values[inputs[8]].dtype == np.int32
    np.testing.assert_array_equal(values[inputs[8]], np.rint(build.constants["c"].astype(np.float64) / scale))


def test_float_bias_beyond_half_of_the_accumulator_stays_literal(make_model):
    build = Qdq()
    build.constants["c"] = np.full(4, 1e30, np.float32)
    proto = conv_model(build, make_model, lambda b, x, w: [x, w, "c"])
    assert "Conv" in kinds(integerize(normalize(load(proto))))


def test_result_that_is_read_in_float_too_stays_literal(make_model):
    build = Qdq()
    assert "Conv" in kinds(integerize(normalize(load(conv_model(build, make_model, outputs=("y", "conv"))))))


def test_unquantized_result_stays_literal(make_model):
    build = Qdq()
    proto = conv_model(build, make_model, outputs=("conv",), quantize=False)
    assert "Conv" in kinds(integerize(normalize(load(proto))))


def gemm_with_factors(make_model, alpha, beta, bias, axis=None):
    build = Qdq()
    a, b = build.source("a", "uint8", [2, 5]), build.weights("b", "int8", (5, 6), axis)
    if bias == "float":
        build.constants["c"] = np.linspace(-1, 1, 6, dtype=np.float32)
    inputs = {"int32": [build.bias("d", 6, build.scale("a", "b"))], "float": ["c"], "none": []}[bias]
    build.add("Gemm", [a, b, *inputs], "gemm", alpha=alpha, beta=beta)
    build.quantize("gemm", "uint8", 0.05, 90)
    return make_model(build.nodes, build.inputs, ["y"], build.constants)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 1.0), (1.0, 2.0), (0.7, -1.5), (3.0, 3.0)])
@pytest.mark.parametrize(("bias", "axis"), [("int32", None), ("int32", 1), ("float", None), ("none", None)])
def test_factors_of_gemm_go_into_scales(make_model, alpha, beta, bias, axis):
    proto = gemm_with_factors(make_model, alpha, beta, bias, axis)
    model = integerize(normalize(load(proto)))
    assert set(kinds(model)) <= {"QLinearConv", "QLinearMatMul", "Reshape"}
    literal = onnxruntime.InferenceSession(proto.SerializeToString(), plain_options(), ["CPUExecutionProvider"])
    feed = {"a": np.random.default_rng(1).integers(0, 256, (2, 5)).astype(np.uint8)}
    expected, found = (session.run(None, feed)[0].astype(int) for session in (literal, reference_session(model)))
    assert np.abs(found - expected).max() <= 1  # half an accumulator's step in the bias
    assert len(np.unique(expected)) > 3


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 1e-45])
def test_gemm_with_a_factor_that_is_no_scale_stays_literal(make_model, alpha):
    proto = gemm_with_factors(make_model, alpha, 1.0, "int32")
    assert "Gemm" in kinds(integerize(normalize(load(proto))))


def test_weights_quantized_along_another_axis_stay_literal(make_model):
    build = Qdq()
    a, b = build.source("a", "uint8", [2, 5]), build.weights("b", "int8", (5, 6), 0)
    build.quantize(build.add("MatMul", [a, b], "mm"), "uint8", 0.05, 90)
    proto = make_model(build.nodes, build.inputs, ["y"], build.constants)
    assert "MatMul" in kinds(integerize(normalize(load(proto))))


def test_scales_that_are_computed_stay_literal(make_model):
    build = Qdq()
    conv_model(build, make_model)
    build.inputs["y_s"] = (TensorProto.FLOAT, [])
    del build.constants["y_s"]
    proto = make_model(build.nodes, build.inputs, ["y"], build.constants)
    assert "Conv" in kinds(integerize(normalize(load(proto))))


def test_redundant_relu_leaves_no_clip_and_other_activations_stay(make_model, mismatches):
    for kind, zero, expected in (("Relu", 0, []), ("Relu", 1, ["Clip"])):
        build = Qdq()
        conv_model(build, make_model, quantize=False)
        build.quantize(build.add(kind, ["conv"], "act"), "uint8", 0.05, zero)
        model = check(make_model(build.nodes, build.inputs, ["y"], build.constants), mismatches)
        assert kinds(model) == ["QLinearConv", *expected]
    build = Qdq()
    conv_model(build, make_model, quantize=False)
    build.quantize(build.add("LeakyRelu", ["conv"], "act"), "uint8", 0.05, 9)
    proto = make_model(build.nodes, build.inputs, ["y"], build.constants)
    assert {"Conv", "LeakyRelu"} <= set(kinds(integerize(normalize(load(proto)))))


def test_a_shared_dequantized_input_serves_both_kinds_of_readers(make_model, mismatches):
    build = Qdq()
    x = build.source("x", "uint8", [1, 4, 6, 6])
    w = build.weights("w", "int8", (4, 4, 1, 1), 0)
    build.quantize(build.add("Conv", [x, w], "conv"), "uint8", 0.05, 128, "q")
    build.add("Add", [x, build.dequantize("q", 0.05, np.uint8(128))], "sum")
    build.quantize("sum", "uint8", 0.07, 120)
    model = check(make_model(build.nodes, build.inputs, ["y"], build.constants), mismatches)
    assert sorted(kinds(model)) == [
        "Add",
        "DequantizeLinear",
        "DequantizeLinear",
        "QLinearConv",
        "QuantizeLinear",
    ]


def test_origins_name_every_node_that_was_merged(make_model):
    build = Qdq()
    x, w = build.source("x", "uint8", [1, 4, 6, 6]), build.weights("w", "int8", (4, 4, 3, 3), 0)
    build.add("Conv", [x, w, build.bias("c", 4, build.scale("x", "w"))], "conv")
    build.quantize(build.add("Relu", ["conv"], "relu"), "uint8", 0.05, 7)
    model = integerize(normalize(load(make_model(build.nodes, build.inputs, ["y"], build.constants))))
    conv, clip = model.proto.graph.node
    assert conv.name == "Conv:conv"
    assert set(origins(conv)) == {node.name for node in build.nodes}
    assert (clip.name, origins(clip)) == ("Relu:relu", ("Relu:relu",))


def test_operator_models_pass_through(make_model):
    constants = {"s": np.float32(0.1), "z": np.uint8(3), "w": np.ones((2, 4, 1, 1), np.uint8)}
    node = helper.make_node("QLinearConv", ["x", "s", "z", "w", "s", "z", "s", "z"], ["y"], name="q")
    source = normalize(load(make_model([node], {"x": (TensorProto.UINT8, [1, 4, 3, 3])}, ["y"], constants)))
    assert source.is_quantized
    model = integerize(source)
    assert list(model.proto.graph.node) == list(source.proto.graph.node)


def test_float_models_pass_through(make_model):
    source = normalize(load(make_model([helper.make_node("Relu", ["x"], ["y"])], {"x": (1, [2])}, ["y"], {})))
    assert integerize(source) is source


def test_integerize_twice_changes_nothing(make_model):
    build = Qdq()
    once = integerize(normalize(load(conv_model(build, make_model))))
    assert kinds(integerize(once)) == kinds(once)


def test_default_session_runs_the_qdq_model(make_model):
    build = Qdq()
    proto = conv_model(build, make_model)
    feed = feed_of(proto)
    fused = default_session(load(proto)).run(None, feed)[0]
    exact = reference_session(integerize(normalize(load(proto)))).run(None, feed)[0]
    assert np.abs(fused.astype(int) - exact.astype(int)).max() <= 1


def test_the_reference_is_exact_where_the_kernels_saturate(make_model, monkeypatch):
    build = Qdq()
    model = integerize(normalize(load(conv_model(build, make_model))))
    feed = {"x": np.full((1, 4, 6, 6), 255, np.uint8)}
    expected = reference_session(model).run(None, feed)[0]
    monkeypatch.setattr("weft.frontend.session.kernels_are_exact", lambda: False)
    rewritten = reference_session(model)
    assert np.array_equal(rewritten.run(None, feed)[0], expected)
