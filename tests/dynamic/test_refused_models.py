"""ONNX models with control flow that must be refused, or stay whole on the host: each names its node or value, and
says what to do or why.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_writer import BOOL, FLOAT, INT64, GraphWriter

import weft
from weft.dynamic import FormRunner, split
from weft.errors import ModelError, QuantizationError, SessionError
from weft.frontend import load, normalize
from weft_runtime import interpreter

SIZE = 16
Body = Callable[[GraphWriter, str], str]


def dense(g: GraphWriter, source: str, seed: int) -> str:
    random = np.random.default_rng(seed)
    return g.dense(source, (random.standard_normal((SIZE, SIZE)) / 4).astype(np.float32), np.zeros(SIZE, np.float32))


def unchecked(g: GraphWriter, result: str) -> onnx.ModelProto:
    """The model as it is: the writer's own would have it checked."""
    g.nodes.append(helper.make_node("Identity", [result], ["output"], name="give"))
    outputs = [helper.make_tensor_value_info("output", FLOAT, [1, SIZE])]
    graph = helper.make_graph(g.nodes, "refused", g.values, outputs, g.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def started() -> tuple[GraphWriter, str]:
    g = GraphWriter()
    return g, dense(g, g.value("vector", FLOAT, [1, SIZE]), 1)


def branching(then: Body, otherwise: Body) -> onnx.ModelProto:
    g, state = started()
    sure = g.above(g.node("ReduceMax", [state], keepdims=0), 0.5)
    ours, theirs = g.body(), g.body()
    return unchecked(g, g.if_(sure, ours, [then(ours, state)], theirs, [otherwise(theirs, state)]))


def looping() -> tuple[GraphWriter, str, GraphWriter, str, str]:
    g, state = started()
    b = g.body()
    b.value("step", INT64, [])
    return g, state, b, b.value("going", BOOL, []), b.value("hidden", FLOAT, [1, SIZE])


def refusal(proto: onnx.ModelProto) -> str:
    """What the first step that refuses the model says."""
    samples = np.random.default_rng(0).standard_normal((8, SIZE)).astype(np.float32)
    with pytest.raises((ModelError, QuantizationError)) as caught:
        weft.quantize(load(proto), {"vector": samples})
    return str(caught.value)


def test_branches_of_different_types() -> None:
    proto = branching(
        lambda b, x: dense(b, x, 2), lambda b, x: str(b.node("Cast", [dense(b, x, 3)], to=TensorProto.INT64))
    )
    assert "different or unknown element types" in split(normalize(load(proto))).refused["If_node"]
    assert "Node (If_node)" in refusal(proto)


def test_an_undefined_name_in_a_branch() -> None:
    message = refusal(branching(lambda b, x: dense(b, "nowhere", 2), lambda b, x: dense(b, x, 3)))
    assert "node 'Gemm_node_1' (Gemm) reads 'nowhere'" in message and "export the model again" in message


def test_a_name_of_the_other_branch() -> None:
    """What one branch makes is not there in the other."""
    made: list[str] = []

    def then(b: GraphWriter, x: str) -> str:
        made.append(dense(b, x, 2))
        return made[0]

    message = refusal(branching(then, lambda b, x: dense(b, made[0], 3)))
    assert f"reads '{made[0]}'" in message and "export the model again" in message


def test_an_if_without_else() -> None:
    proto = branching(lambda b, x: dense(b, x, 2), lambda b, x: dense(b, x, 3))
    node = next(each for each in proto.graph.node if each.op_type == "If")
    kept = [each for each in node.attribute if each.name == "then_branch"]
    del node.attribute[:]
    node.attribute.extend(kept)
    message = refusal(proto)
    assert "else_branch" in message and "export the model again" in message


def test_an_if_with_more_outputs_than_its_branches() -> None:
    proto = branching(lambda b, x: dense(b, x, 2), lambda b, x: dense(b, x, 3))
    next(each for each in proto.graph.node if each.op_type == "If").output.append("more")
    assert "another number of outputs" in split(normalize(load(proto))).refused["If_node"]
    assert "(If_node)" in refusal(proto)


def test_a_loop_whose_body_does_not_fit() -> None:
    g, state = started()
    b = g.body()
    b.value("step", INT64, [])
    hidden = b.value("hidden", FLOAT, [1, SIZE])
    last = g.node("Loop", [g.constant(np.int64(2)), "", state], body=b.graph([dense(b, hidden, 2)]))
    proto = unchecked(g, last)
    assert split(normalize(load(proto))).refused["Loop_node"] == "its body does not fit its inputs"
    assert "(Loop_node)" in refusal(proto)


def test_a_sequence_as_state_stays_whole() -> None:
    """It is legal ONNX: the loop runs on the host, and explain says why."""
    g, state = started()
    first = g.node("SequenceConstruct", [state])
    b = g.body()
    b.value("step", INT64, [])
    going, name = b.value("going", BOOL, []), b.name("states")
    b.values.append(helper.make_tensor_sequence_value_info(name, FLOAT, [1, SIZE]))
    latest = b.node("SequenceAt", [name, b.constant(np.int64(-1))])
    longer = b.node("SequenceInsert", [name, dense(b, latest, 2)])
    states = g.node("Loop", [g.constant(np.int64(3)), "", first], body=b.graph([going, longer]))
    proto = unchecked(g, g.node("SequenceAt", [states, g.constant(np.int64(-1))]))
    assert split(normalize(load(proto))).refused == {"Loop_node": "a value that it returns is no tensor"}
    model = weft.quantize(load(proto), {"vector": np.ones((4, SIZE), np.float32)})
    with weft.Session(weft.compile(model)) as session:
        assert session.run({"vector": np.ones((1, SIZE), np.float32)})["output"].shape == (1, SIZE)


@pytest.mark.parametrize("kind", ["If", "Loop count", "Loop condition"])
def test_a_condition_of_several_elements(kind: str) -> None:
    if kind == "If":
        g, state = started()
        given = g.node("Greater", [state, g.constant(np.float32(0))])
        ours, theirs = g.body(), g.body()
        result = g.if_(given, ours, [dense(ours, state, 2)], theirs, [dense(theirs, state, 3)])
    else:
        g, state, b, going, hidden = looping()
        count, condition = g.constant(np.int64(3)), ""
        if kind == "Loop count":
            given = count = g.node("Cast", [state], to=TensorProto.INT64)
        else:
            given = condition = g.node("Greater", [state, g.constant(np.float32(0))])
        result = g.node("Loop", [count, condition, state], body=b.graph([going, dense(b, hidden, 2)]))
    message = refusal(unchecked(g, result))
    assert repr(given) in message
    assert "not one element but 16; reduce it to one, and compile with batch 1" in message


def nested(depth: int) -> onnx.ModelProto:
    def level(g: GraphWriter, state: str, left: int) -> str:
        sure = g.above(g.node("ReduceMax", [state], keepdims=0), 0.5)
        ours, theirs = g.body(), g.body()
        inner = dense(ours, state, left) if left == 1 else level(ours, dense(ours, state, left), left - 1)
        return str(g.if_(sure, ours, [inner], theirs, [dense(theirs, state, left + 50)]))

    g, state = started()
    return unchecked(g, level(g, state, depth))


def test_nesting_as_deep_as_can_be_and_deeper() -> None:
    assert not split(normalize(load(nested(14)))).refused
    refused = split(normalize(load(nested(15)))).refused
    assert list(refused.values()) == ["it is nested more than 14 deep"]
    assert next(iter(refused)) in {node.name for node in nested(15).graph.node}


def test_a_function_that_contains_itself() -> None:
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    call = helper.make_node("Again", ["x"], ["y"], domain="own", name="call")
    function = helper.make_function("own", "Again", ["x"], ["y"], [call], opsets)
    graph = helper.make_graph(
        [helper.make_node("Again", ["vector"], ["output"], domain="own", name="first")],
        "recursive",
        [helper.make_tensor_value_info("vector", FLOAT, [1, SIZE])],
        [helper.make_tensor_value_info("output", FLOAT, [1, SIZE])],
    )
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=[function])
    assert "function 'Again' contains itself" in refusal(proto)


def test_a_loop_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "MAX_ITERATIONS", 40)
    g, state, b, going, hidden = looping()
    proto = unchecked(g, g.node("Loop", ["", "", state], body=b.graph([going, dense(b, hidden, 2)])))
    wanted = "loop 'Loop_node' has not ended after 40 iterations; check its condition, or give it a largest number"
    assert wanted in refusal(proto)
    form = split(normalize(load(proto))).form
    assert form is not None
    with pytest.raises(SessionError, match="'Loop_node' has not ended"):
        FormRunner(form).run({"vector": np.ones((1, SIZE), np.float32)})
