"""If: inlined where its condition folds to a constant, left whole elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

import weft
from weft.frontend import load, normalize, reference_session

FLOAT, BOOL = TensorProto.FLOAT, TensorProto.BOOL


def branch(nodes, result, name="branch", initializers=()):
    return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(result, FLOAT, None)], list(initializers))


def constant(name, value):
    return helper.make_tensor(name, FLOAT, [], [value])


def rank_question(make_model, shape):
    """Shape(Shape(x)) == 2 ? (inner If on the same question) : −x, with a name used in both branches and outside."""
    inner = helper.make_node(
        "If", ["is_matrix"], ["inner"],
        then_branch=branch([helper.make_node("Add", ["x", "two"], ["t"])], "t", initializers=[constant("two", 2.0)]),
        else_branch=branch([helper.make_node("Abs", ["x"], ["t"])], "t"),
    )  # fmt: skip
    taken = branch([inner, helper.make_node("Mul", ["inner", "x"], ["t"])], "t")
    other = branch([helper.make_node("Neg", ["x"], ["t"])], "t")
    nodes = [
        helper.make_node("Shape", ["x"], ["extents"]),
        helper.make_node("Size", ["extents"], ["rank"]),
        helper.make_node("Equal", ["rank", "wanted"], ["is_matrix"]),
        helper.make_node("If", ["is_matrix"], ["chosen"], then_branch=taken, else_branch=other),
        helper.make_node("Sigmoid", ["chosen"], ["t"]),
    ]
    return make_model(nodes, {"x": (FLOAT, shape)}, ["t"], {"wanted": np.int64(2)})


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4)])
def test_questions_about_the_shape_are_answered_at_compile_time(make_model, shape):
    proto = rank_question(make_model, shape)
    model = normalize(load(proto))
    kinds = {node.op_type for node in model.proto.graph.node}
    assert kinds == ({"Add", "Mul", "Sigmoid"} if len(shape) == 2 else {"Neg", "Sigmoid"})
    feed = {"x": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    np.testing.assert_array_equal(
        reference_session(model).run(None, feed)[0], reference_session(proto).run(None, feed)[0]
    )


def test_a_branch_may_give_the_graphs_output(make_model):
    chosen = helper.make_node(
        "If", ["yes"], ["y"],
        then_branch=branch([helper.make_node("Identity", ["x"], ["i"])], "i"),
        else_branch=branch([helper.make_node("Neg", ["x"], ["n"])], "n"),
    )  # fmt: skip
    proto = make_model([chosen], {"x": (FLOAT, (2,))}, ["y"], {"yes": np.array(True)})
    proto.graph.output[0].type.CopyFrom(proto.graph.input[0].type)
    model = normalize(load(proto))
    assert "If" not in {node.op_type for node in model.proto.graph.node}
    x = np.array([1, -2], np.float32)
    np.testing.assert_array_equal(reference_session(model).run(None, {"x": x})[0], x)


def test_a_condition_that_comes_with_the_inputs_stays_and_runs_on_the_host(make_model):
    chosen = helper.make_node(
        "If", ["yes"], ["y"],
        then_branch=branch([helper.make_node("Abs", ["h"], ["a"])], "a"),
        else_branch=branch([helper.make_node("Neg", ["h"], ["n"])], "n"),
    )  # fmt: skip
    weights = np.random.default_rng(1).standard_normal((8, 8)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), chosen]
    proto = make_model(nodes, {"x": (FLOAT, (2, 8)), "yes": (BOOL, ())}, ["y"], {"w": weights})
    x = np.random.default_rng(2).standard_normal((2, 8)).astype(np.float32)
    quantized = weft.quantize(proto, {"x": x, "yes": np.array(True)})
    program = weft.compile(quantized)
    assert {node.device for node in program.nodes if node.op == "If"} == {"host"}
    for yes in (True, False):
        assert weft.verify(quantized, {"x": x, "yes": np.array(yes)}, device="golden").mismatches == 0
