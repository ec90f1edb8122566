"""The normalizing passes: what they change, and that they keep what the model computes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from weft.errors import ModelError
from weft.frontend import load, normalize, reference_session
from weft.frontend.origins import origins

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def kinds(model):
    return [node.op_type for node in model.proto.graph.node]


def assert_same(source, model, feed, tolerance=0.0):
    expected = reference_session(load(source)).run(None, feed)
    got = reference_session(model).run(None, feed)
    for wanted, answer in zip(expected, got, strict=True):
        assert wanted.shape == answer.shape
        np.testing.assert_allclose(answer, wanted, rtol=tolerance, atol=tolerance)


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_batch_becomes_one_and_symbols_can_be_bound(make_model):
    proto = make_model(
        [helper.make_node("Add", ["a", "b"], ["y"])],
        {"a": (FLOAT, ["N", "width"]), "b": (FLOAT, [1, None])},
        ["y"],
        {},
    )
    assert [value.shape for value in load(proto).inputs] == [("N", "width"), (1, "b[1]")]
    assert normalize(load(proto)).inputs[0].shape == (1, "width")
    bound = normalize(load(proto), {"N": 3, "width": 5, "b[1]": 5})
    assert [value.shape for value in (*bound.inputs, *bound.outputs)] == [(3, 5), (1, 5), (3, 5)]


@pytest.mark.parametrize("shapes", [{"M": 3}, {"N": -1}])
def test_unknown_symbols_and_impossible_extents_are_refused(make_model, shapes):
    proto = make_model([helper.make_node("Relu", ["a"], ["y"])], {"a": (FLOAT, ["N", 2])}, ["y"], {})
    with pytest.raises(ModelError, match=next(iter(shapes))):
        normalize(load(proto), shapes)


def test_shape_arithmetic_folds_away(make_model):
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Constant", [], ["zero"], value_int=0),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Constant", [], ["axes"], value_ints=[0]),
        helper.make_node("Unsqueeze", ["batch", "axes"], ["batch_1"]),
        helper.make_node("Constant", [], ["rest"], value=numpy_helper.from_array(np.asarray([-1], np.int64))),
        helper.make_node("Concat", ["batch_1", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]
    proto = make_model(nodes, {"x": (FLOAT, ["N", 3, 4])}, ["y"], {})
    model = normalize(load(proto))
    assert kinds(model) == ["Reshape"]
    assert model.outputs[0].shape == (1, 12)
    assert_same(proto, model, {"x": normal((1, 3, 4))})


def test_every_node_gets_a_name_and_no_name_twice(make_model):
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="n"),
        helper.make_node("Neg", ["a"], ["b"], name="n"),
    ]
    nodes.append(helper.make_node("Abs", ["b"], ["y:0;z"]))
    model = normalize(load(make_model(nodes, {"x": (FLOAT, [2])}, ["y:0;z"], {})))
    names = [node.name for node in model.proto.graph.node]
    assert names[0] == "n"
    assert len(set(names)) == 3
    assert all(names)
    assert model.outputs[0].name == "y:0;z"


def test_initializers_listed_as_inputs_are_constants(make_model):
    proto = make_model(
        [helper.make_node("Add", ["x", "c"], ["y"])],
        {"x": (FLOAT, [2]), "c": (FLOAT, [2]), "unused": (INT64, [])},
        ["y"],
        {"c": np.ones(2, np.float32), "unused": np.int64(0)},
    )
    assert [value.name for value in load(proto).inputs] == ["x"]
    assert [value.name for value in normalize(load(proto)).inputs] == ["x"]
    assert [value.name for value in normalize(load(proto)).proto.graph.input] == ["x"]


def test_huge_constants_are_not_made(make_model):
    nodes = [
        helper.make_node("ConstantOfShape", ["extents"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    proto = make_model(nodes, {"x": (FLOAT, [1])}, ["y"], {"extents": np.asarray([2**20, 2**20], np.int64)})
    assert "ConstantOfShape" in kinds(normalize(load(proto)))


def test_random_nodes_are_not_constants(make_model):
    nodes = [
        helper.make_node("RandomNormalLike", ["c"], ["r"]),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    proto = make_model(nodes, {"x": (FLOAT, [2])}, ["y"], {"c": np.ones(2, np.float32)})
    assert "RandomNormalLike" in kinds(normalize(load(proto)))


@pytest.mark.parametrize("kind", ["Identity", "Dropout"])
def test_identities_vanish_also_before_outputs_and_subgraphs(make_model, kind):
    branch = helper.make_graph(
        [helper.make_node("Neg", ["b"], ["branch_out"])],
        "branch",
        [],
        [helper.make_tensor_value_info("branch_out", FLOAT, [2])],
    )
    other = helper.make_graph(
        [helper.make_node("Abs", ["b"], ["other_out"])],
        "other",
        [],
        [helper.make_tensor_value_info("other_out", FLOAT, [2])],
    )
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node(kind, ["a"], ["b"]),
        helper.make_node("If", ["flag"], ["picked"], then_branch=branch, else_branch=other),
        helper.make_node("Add", ["picked", "b"], ["c"]),
        helper.make_node(kind, ["c"], ["y"]),
    ]
    proto = make_model(nodes, {"x": (FLOAT, [2]), "flag": (TensorProto.BOOL, [])}, ["y"], {})
    model = normalize(load(proto))
    assert sorted(kinds(model)) == ["Add", "If", "Relu"]
    for flag in (True, False):
        assert_same(proto, model, {"x": normal(2), "flag": np.asarray(flag)})


def test_identity_from_input_to_output_stays(make_model):
    proto = make_model([helper.make_node("Identity", ["x"], ["y"])], {"x": (FLOAT, [2])}, ["y"], {})
    assert_same(proto, normalize(load(proto)), {"x": normal(2)})


def conv_chain(make_model, after, constants, bias=False, rank=2):
    weights = normal((4, 3, *(3,) * rank), 1)
    inputs = ["x", "w", "b"] if bias else ["x", "w"]
    nodes = [helper.make_node("Conv", inputs, ["conv"], name="conv"), *after]
    values = {"w": weights, **({"b": normal(4, 2)} if bias else {}), **constants}
    return make_model(nodes, {"x": (FLOAT, [1, 3, *(7,) * rank])}, ["y"], values)


@pytest.mark.parametrize("bias", [False, True])
def test_batch_norm_scale_and_bias_fold_into_the_convolution(make_model, bias):
    after = [
        helper.make_node("BatchNormalization", ["conv", "g", "be", "m", "v"], ["bn"], name="bn"),
        helper.make_node("Mul", ["scale", "bn"], ["mul"], name="mul"),
        helper.make_node("Add", ["mul", "shift"], ["y"], name="add"),
    ]
    constants = {
        "g": normal(4, 3),
        "be": normal(4, 4),
        "m": normal(4, 5),
        "v": np.abs(normal(4, 6)) + 0.1,
        "scale": normal((4, 1, 1), 7),
        "shift": normal((1, 4, 1, 1), 8),
    }
    proto = conv_chain(make_model, after, constants, bias)
    model = normalize(load(proto))
    assert kinds(model) == ["Conv"]
    assert origins(model.proto.graph.node[0]) == ("conv", "bn", "mul", "add")
    assert_same(proto, model, {"x": normal((1, 3, 7, 7))}, 1e-4)


@pytest.mark.parametrize("shape", [(), (1,), (4, 1, 1), (1, 4, 1, 1), (1, 1, 1)])
def test_additions_over_channels_are_biases(make_model, shape):
    proto = conv_chain(make_model, [helper.make_node("Add", ["k", "conv"], ["y"])], {"k": normal(shape, 3)})
    model = normalize(load(proto))
    assert kinds(model) == ["Conv"]
    assert_same(proto, model, {"x": normal((1, 3, 7, 7))}, 1e-5)


@pytest.mark.parametrize("shape", [(5,), (5, 1), (1, 5), (4, 5, 5), (1, 1, 4, 1, 1), (2, 4, 1, 1)])
@pytest.mark.parametrize("kind", ["Add", "Mul"])
def test_other_broadcasts_are_left_alone(make_model, kind, shape):
    proto = conv_chain(make_model, [helper.make_node(kind, ["conv", "k"], ["y"])], {"k": normal(shape, 3)})
    model = normalize(load(proto))
    assert kinds(model) == ["Conv", kind]
    assert_same(proto, model, {"x": normal((1, 3, 7, 7))})


def test_nothing_is_folded_into_a_convolution_that_others_read(make_model):
    after = [
        helper.make_node("Add", ["conv", "k"], ["sum"]),
        helper.make_node("Mul", ["sum", "conv"], ["y"]),
    ]
    model = normalize(load(conv_chain(make_model, after, {"k": normal((4, 1, 1), 3)})))
    assert kinds(model) == ["Conv", "Add", "Mul"]


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]),
    extents=st.tuples(st.integers(5, 9), st.integers(5, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kind=st.sampled_from(["Conv", "MaxPool", "AveragePool"]),
)
def test_auto_pad_is_resolved_as_onnx_runtime_does(make_model, mode, extents, kernel, strides, kind):
    # ONNX Runtime's poolings refuse SAME with windows smaller than the stride: they would need negative pads.
    assume(kind == "Conv" or mode == "VALID" or all(s <= k for s, k in zip(strides, kernel, strict=True)))
    constants = {"w": normal((2, 2, *kernel), 1)} if kind == "Conv" else {}
    node = helper.make_node(
        kind, ["x", *constants], ["y"], auto_pad=mode, strides=strides, kernel_shape=kernel, name="op"
    )
    proto = make_model([node], {"x": (FLOAT, [1, 2, *extents])}, ["y"], constants)
    model = normalize(load(proto))
    attributes = {entry.name for entry in model.proto.graph.node[0].attribute}
    assert "auto_pad" not in attributes
    assert "pads" in attributes
    assert_same(proto, model, {"x": normal((1, 2, *extents))}, 1e-5)


def test_old_operator_sets_are_raised_and_compute_the_same(make_model):
    nodes = [
        helper.make_node("Unsqueeze", ["x"], ["u"], axes=[0]),
        helper.make_node("Clip", ["u"], ["c"], min=-0.5, max=0.5),
        helper.make_node("Dropout", ["c"], ["d"], ratio=0.3),
        helper.make_node("Softmax", ["d"], ["y"], axis=1),
    ]
    proto = make_model(nodes, {"x": (FLOAT, [3, 4])}, ["y"], {}, opset=9)
    model = normalize(load(proto))
    assert model.opset == 13
    assert_same(proto, model, {"x": normal((3, 4))}, 1e-6)


def test_newer_operator_sets_stay(make_model):
    proto = make_model([helper.make_node("Relu", ["x"], ["y"])], {"x": (FLOAT, [2])}, ["y"], {}, opset=21)
    assert normalize(load(proto)).opset == 21


def test_quantized_constants_stay_quantized_and_compressed_weights_do_not(make_model):
    constants = {"q": np.arange(4, dtype=np.int8), "s": np.float32(0.5), "z": np.int8(0)}
    weights = helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"])
    add = helper.make_node("Add", ["x", "w"], ["y"])
    compressed = normalize(load(make_model([weights, add], {"x": (FLOAT, [4])}, ["y"], constants)))
    assert kinds(compressed) == ["Add"]
    quantize = helper.make_node("QuantizeLinear", ["y", "s", "z"], ["out"])
    model = make_model([weights, add, quantize], {"x": (FLOAT, [4])}, ["out"], constants)
    assert kinds(normalize(load(model))) == ["DequantizeLinear", "Add", "QuantizeLinear"]


def test_model_functions_are_inlined():
    function = helper.make_function(
        "local",
        "Twice",
        ["a"],
        ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    graph = helper.make_graph(
        [helper.make_node("Twice", ["x"], ["y"], domain="local")],
        "g",
        [helper.make_tensor_value_info("x", FLOAT, [2])],
        [helper.make_tensor_value_info("y", FLOAT, [2])],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    proto = helper.make_model(graph, opset_imports=imports, functions=[function], ir_version=8)
    assert kinds(normalize(load(proto))) == ["Add"]


def test_normalize_leaves_its_argument_alone(make_model):
    proto = make_model([helper.make_node("Relu", ["x"], ["y"])], {"x": (FLOAT, ["N", 2])}, ["y"], {})
    source = load(proto)
    before = source.proto.SerializeToString(deterministic=True)
    normalize(source)
    assert source.proto.SerializeToString(deterministic=True) == before
    assert isinstance(source.proto, onnx.ModelProto)


def test_one_node_that_cannot_be_computed_does_not_stop_the_folding(make_model):
    # ONNX Runtime has no bfloat16 Mod; the nodes before, beside and behind it still have to be told apart.
    nodes = [
        helper.make_node("Neg", ["c"], ["first"]),
        helper.make_node("Cast", ["first"], ["cast"], to=TensorProto.BFLOAT16),
        helper.make_node("Mod", ["cast", "cast"], ["odd"], fmod=1),
        helper.make_node("Cast", ["odd"], ["back"], to=FLOAT),
        helper.make_node("Abs", ["c"], ["second"]),
        helper.make_node("Add", ["x", "second"], ["sum"]),
        helper.make_node("Add", ["sum", "back"], ["y"]),
    ]
    proto = make_model(nodes, {"x": (FLOAT, [2])}, ["y"], {"c": np.ones(2, np.float32)})
    left = set(kinds(normalize(load(proto))))
    assert "Mod" in left
    assert not left & {"Neg", "Abs"}


def test_negative_extents_are_refused_and_abort_nothing(make_model):
    nodes = [
        helper.make_node("MaxPool", ["x"], ["a"], kernel_shape=[7, 7], name="window"),
        helper.make_node("Slice", ["a", "start", "end", "axis", "step"], ["b"]),
        helper.make_node("Slice", ["b", "start", "end", "axis", "step"], ["y"]),
    ]
    constants = {
        "start": np.asarray([-1], np.int64),
        "end": np.asarray([-(2**63) + 1], np.int64),
        "axis": np.asarray([2], np.int64),
        "step": np.asarray([-1], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, [1, 1, 3, 3])],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    graph.output[0].type.tensor_type.shape.SetInParent()
    for _ in range(4):
        graph.output[0].type.tensor_type.shape.dim.add()
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ModelError, match="'a'"):
        normalize(load(proto))
    graph.input[0].type.tensor_type.shape.dim[2].dim_value = 9
    graph.input[0].type.tensor_type.shape.dim[3].dim_value = 8
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert normalize(load(proto)).outputs[0].shape == (1, 1, 3, 2)


def test_folding_keeps_what_the_node_of_a_graph_output_reads(make_model):
    """The node that makes an output stays, though it is constant; what it reads is computed."""
    one, two = np.asarray([1, 2], np.int64), np.asarray([1, 3], np.int64)
    proto = make_model(
        [
            helper.make_node("Equal", ["one", "two"], ["same"]),
            helper.make_node("Not", ["same"], ["other"]),
            helper.make_node("Relu", ["x"], ["y"]),
        ],
        {"x": (FLOAT, [1, 4])},
        ["other", "y"],
        {"one": one, "two": two},
    )
    model = normalize(load(proto))
    assert "Equal" not in kinds(model)
    assert_same(proto, model, {"x": normal([1, 4])})


def test_folding_makes_no_infinities(make_model):
    after = [helper.make_node("Mul", ["conv", "k"], ["m"]), helper.make_node("Mul", ["m", "tiny"], ["y"])]
    constants = {"k": np.full((4, 1, 1), 3e38, np.float32), "tiny": np.full((4, 1, 1), 1e-38, np.float32)}
    model = normalize(load(conv_chain(make_model, after, constants)))
    assert kinds(model) == ["Conv", "Mul", "Mul"]


@pytest.mark.parametrize("through", ["sum", "reshape"])
def test_a_bias_behind_a_sum_or_a_reshape_moves_to_its_product(make_model, through):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"])]
    if through == "sum":
        nodes += [helper.make_node("MatMul", ["h", "w"], ["q"]), helper.make_node("Add", ["p", "q"], ["s"])]
    else:
        nodes += [helper.make_node("Reshape", ["p", "to"], ["s"])]
    nodes += [helper.make_node("Add", ["s", "b"], ["t"]), helper.make_node("Tanh", ["t"], ["y"])]
    constants = {"w": normal((5, 4)), "b": normal((1, 4), 1), "to": np.array([1, 3, 4], np.int64)}
    source = make_model(nodes, {"x": (FLOAT, [3, 5]), "h": (FLOAT, [3, 5])}, ["y"], constants)
    model = normalize(load(source))
    constant = {tensor.name for tensor in model.proto.graph.initializer}
    (biased,) = [node for node in model.proto.graph.node if node.op_type == "Add" and node.input[1] in constant]
    assert [node.op_type for node in model.proto.graph.node if node.output[0] == biased.input[0]] == ["MatMul"]
    assert_same(source, model, {"x": normal((3, 5), 2), "h": normal((3, 5), 3)}, 1e-6)


@pytest.mark.parametrize("why", ["read twice", "is an output", "has a bias", "spreads"])
def test_a_bias_stays_where_moving_it_would_change_something(make_model, why):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Add", ["p", "b" if why == "has a bias" else "h"], ["s"]),
        helper.make_node("Add", ["s", "wide" if why == "spreads" else "b"], ["y"]),
    ]
    if why == "read twice":
        nodes.append(helper.make_node("Relu", ["s"], ["z"]))
    outputs = {"read twice": ["y", "z"], "is an output": ["s", "y"]}.get(why, ["y"])
    constants = {"w": normal((5, 4)), "b": normal((4,), 1), "wide": normal((2, 1, 4), 1)}
    source = make_model(nodes, {"x": (FLOAT, [3, 5]), "h": (FLOAT, [3, 4])}, outputs, constants)
    model = normalize(load(source))
    assert [node.output[0] for node in model.proto.graph.node][:3] == ["p", "s", "y"]
    assert_same(source, model, {"x": normal((3, 5), 2), "h": normal((3, 4), 3)}, 0.0)
