"""What both branches of an If compute: moved in front of it, or the whole If gone, with the same answers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx_writer import FLOAT, GraphWriter
from oracle import Oracle

import weft
from weft.dynamic import integer_graph
from weft.frontend import load, normalize, reference_session
from weft.frontend.passes.hoist_common import HoistCommonNodes
from weft.frontend.topology import all_nodes, subgraphs

SIZE, INPUTS = 16, 500


def weights(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return (random.standard_normal((SIZE, SIZE)) / 4).astype(np.float32), np.full(SIZE, 0.1, np.float32)


def element(g: GraphWriter, source: str, place: int) -> str:
    return str(g.node("Gather", [source, g.constant(np.asarray([place], np.int64))], axis=1))


def deep(g: GraphWriter, source: str, seeds: list[int]) -> str:
    for seed in seeds:
        source = g.dense(source, *weights(seed), relu=True)
    return source


def branching(ours: list[int], theirs: list[int]) -> onnx.ModelProto:
    """An If whose branches are dense layers with these weights, on one outer tensor."""
    g = GraphWriter()
    state = deep(g, g.value("vector", FLOAT, [1, SIZE]), [1])
    then, otherwise = g.body(), g.body()
    result = g.if_(g.above(element(g, state, 0), 0.3), then, [deep(then, state, ours)], otherwise, [
        deep(otherwise, state, theirs)
    ])  # fmt: skip
    return g.model([(result, FLOAT, [1, SIZE])])


def nested() -> onnx.ModelProto:
    """Ifs in both branches of an If; all of them begin alike."""
    g = GraphWriter()
    state = deep(g, g.value("vector", FLOAT, [1, SIZE]), [1])
    outside, inside = (g.above(element(g, state, place), 0.2) for place in (0, 1))
    sides = []
    for last in ([7, 8], [8, 9]):
        body = g.body()
        then, otherwise = body.body(), body.body()
        ours, theirs = deep(then, state, [2, 3, last[0]]), deep(otherwise, state, [2, 3, last[1]])
        sides.append((body, [body.if_(inside, then, [ours], otherwise, [theirs])]))
    result = g.if_(outside, *sides[0], *sides[1])
    return g.model([(result, FLOAT, [1, SIZE])])


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 1, SIZE)).astype(np.float32)


def hoisted(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model behind the pass, which gives the same answers in ONNX Runtime, bit for bit."""
    model = load(proto)
    result = HoistCommonNodes().run(model)
    onnx.checker.check_model(result.proto, full_check=True)
    before, after = reference_session(model), reference_session(result)
    for row in rows(20):
        for a, b in zip(before.run(None, {"vector": row}), after.run(None, {"vector": row}), strict=True):
            np.testing.assert_array_equal(a, b)
    again = HoistCommonNodes().run(result)
    assert again is result, "a second run finds more"
    assert result.proto.SerializeToString(deterministic=True) == (
        HoistCommonNodes().run(load(proto)).proto.SerializeToString(deterministic=True)
    )
    return result.proto


def counts(nodes: Any) -> Counter[str]:
    return Counter(node.op_type for node in nodes)


@pytest.mark.parametrize(
    ("ours", "theirs", "common"), [([2, 3], [2, 4], 1), ([2, 3, 4], [2, 3, 5, 6], 2), ([2], [3], 0)]
)
def test_a_common_beginning_stands_before(ours: list[int], theirs: list[int], common: int) -> None:
    graph = hoisted(branching(ours, theirs)).graph
    assert counts(graph.node)["Gemm"] == 1 + common
    if_node = next(node for node in graph.node if node.op_type == "If")
    inner = [counts(each.node)["Gemm"] for each in subgraphs(if_node)]
    assert inner == [len(ours) - common, len(theirs) - common] or inner == [len(theirs) - common, len(ours) - common]


def test_equal_branches_leave_no_decision() -> None:
    graph = hoisted(branching([2, 3], [2, 3])).graph
    assert counts(all_nodes(graph))["If"] == 0 and counts(graph.node)["Gemm"] == 3


def test_nested_ifs_hand_on_what_they_share() -> None:
    graph = hoisted(nested()).graph
    assert counts(graph.node)["Gemm"] == 3 and counts(all_nodes(graph))["Gemm"] == 3 + 4


def test_an_output_that_both_make_alike_leaves_the_if() -> None:
    g = GraphWriter()
    state = deep(g, g.value("vector", FLOAT, [1, SIZE]), [1])
    then, otherwise = g.body(), g.body()
    first, second = g.if_(
        g.above(element(g, state, 0), 0.3), then, [deep(then, state, [2]), deep(then, state, [3])],
        otherwise, [deep(otherwise, state, [2]), deep(otherwise, state, [4])],
    )  # fmt: skip
    graph = hoisted(g.model([(first, FLOAT, [1, SIZE]), (second, FLOAT, [1, SIZE])])).graph
    if_node = next(node for node in graph.node if node.op_type == "If")
    assert len(if_node.output) == 1 and counts(graph.node)["Gemm"] == 2


def test_equal_tensor_names_in_both_branches() -> None:
    """Sibling graphs may use one name for different things, and different names for equal ones."""
    then = helper.make_graph(
        [helper.make_node("Mul", ["x", "two"], ["a"]), helper.make_node("Sqrt", ["a"], ["b"])], "then", [],
        [onnx.ValueInfoProto(name="b")], [numpy_helper.from_array(np.float32(2), "two")],
    )  # fmt: skip
    otherwise = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.float32(2))),
         helper.make_node("Mul", ["x", "c"], ["b"]), helper.make_node("Exp", ["b"], ["a"])], "else", [],
        [onnx.ValueInfoProto(name="a")],
    )  # fmt: skip
    nodes = [
        helper.make_node("Abs", ["vector"], ["x"]), helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Greater", ["m", "level"], ["c0"]),
        helper.make_node("If", ["c0"], ["y"], then_branch=then, else_branch=otherwise),
    ]  # fmt: skip
    kinds = [helper.make_tensor_value_info(name, FLOAT, [1, SIZE]) for name in ("vector", "y")]
    graph = helper.make_graph(nodes, "g", kinds[:1], kinds[1:], [numpy_helper.from_array(np.float32(1.5), "level")])
    result = hoisted(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))
    assert counts(result.graph.node)["Mul"] == 1 == counts(all_nodes(result.graph))["Mul"]


def test_random_numbers_are_drawn_where_they_were() -> None:
    g = GraphWriter()
    source = g.value("vector", FLOAT, [1, SIZE])
    then, otherwise = g.body(), g.body()
    ours, theirs = (
        body.node("RandomUniformLike", [source], seed=1.0) for body in (then, otherwise)
    )  # fmt: skip
    result = g.if_(g.above(element(g, source, 0), 0.3), then, [ours], otherwise, [theirs])
    model = load(g.model([(result, FLOAT, [1, SIZE])]))
    assert HoistCommonNodes().run(model) is model


def test_a_fused_activation_stays_with_its_operator() -> None:
    """A layer is moved with its Relu or not at all: cut in two it would be rounded twice."""
    g = GraphWriter()
    source = g.value("vector", FLOAT, [1, SIZE])
    then, otherwise = g.body(), g.body()
    ours = then.dense(source, *weights(2), relu=True)
    theirs = otherwise.node("Tanh", [otherwise.dense(source, *weights(2))])
    result = g.if_(g.above(element(g, source, 0), 0.3), then, [ours], otherwise, [theirs])
    model = load(g.model([(result, FLOAT, [1, SIZE])]))
    assert HoistCommonNodes().run(model) is model


@pytest.mark.parametrize("proto", [branching([2, 3, 4], [2, 3, 5]), branching([2, 3], [2, 3]), nested()])
def test_outputs_and_paths(proto: onnx.ModelProto) -> None:
    model = weft.quantize(load(proto), {"vector": rows(64).reshape(-1, SIZE)})
    program = weft.compile(
        model, annotate=lambda node: "accelerator" if node.op_type == "QLinearConv" else None, driver="device"
    )  # fmt: skip
    oracle = Oracle(integer_graph(normalize(model)).proto)
    paths: Counter[tuple[Any, ...]] = Counter()
    with weft.Session(program) as session:
        for row in rows(INPUTS, 5):
            wanted, path = oracle.run({"vector": row})
            found = session.run({"vector": row})
            np.testing.assert_array_equal(found["output_0"], wanted["output_0"])
            taken = session.profile.paths[0] if session.profile.paths else ()
            assert [(each.name, each.outcome) for each in taken] == path
            paths[tuple(path)] += 1
    decisions = counts(all_nodes(HoistCommonNodes().run(load(proto)).proto.graph))["If"]
    assert len(paths) == {0: 1, 1: 2, 3: 4}[decisions]


def stored_layer(g: GraphWriter, source: str, seed: int) -> str:
    """A quantized dense layer: all scales given, the result dequantized."""
    values = np.random.default_rng(seed).integers(-60, 60, (SIZE, SIZE)).astype(np.int8)
    weight_scale = g.constant(np.float32(1 / 128), "weight_scale")
    matrix = g.node("DequantizeLinear", [g.constant(values, "weights"), weight_scale, g.constant(np.int8(0))])
    result = g.node("Relu", [g.node("MatMul", [stored(g, source), matrix])])
    return stored(g, result)


def stored(g: GraphWriter, source: str) -> str:
    parameters = [g.constant(np.float32(1 / 32), "scale"), g.constant(np.int8(0), "zero")]
    return str(g.node("DequantizeLinear", [g.node("QuantizeLinear", [source, *parameters]), *parameters]))


def test_a_quantized_model_is_hoisted_in_whole_operators() -> None:
    """What crosses into the branches is stored; they dequantize it themselves."""
    g = GraphWriter()
    state = stored_layer(g, g.value("vector", FLOAT, [1, SIZE]), 1)
    then, otherwise = g.body(), g.body()
    ours, theirs = (
        stored_layer(body, stored_layer(body, state, 2), seed) for body, seed in ((then, 3), (otherwise, 4))
    )  # fmt: skip
    result = g.if_(g.above(element(g, state, 0), 0.3), then, [ours], otherwise, [theirs])
    graph = hoisted(g.model([(result, FLOAT, [1, SIZE])])).graph
    assert counts(graph.node)["MatMul"] == 2 and counts(all_nodes(graph))["MatMul"] == 4
    if_node = next(node for node in graph.node if node.op_type == "If")
    producers = {name: node.op_type for node in graph.node for name in node.output}
    for each in subgraphs(if_node):
        made = {name for node in each.node for name in node.output} | {tensor.name for tensor in each.initializer}
        read = {name for node in each.node for name in node.input if name not in made}
        assert {producers[name] for name in read if name in producers} == {"QuantizeLinear"}
