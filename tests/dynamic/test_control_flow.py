"""The control-flow form by itself: semantics of loops, liveness, memory, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_writer import BOOL, FLOAT, INT64, GraphWriter
from oracle import Oracle

import weft
from weft.dynamic import assemble, integer_graph, split
from weft.errors import ArtifactError, CompileError, ExecutableError, SessionError
from weft.frontend import load, normalize, reference_session
from weft.lowering import Driver
from weft_runtime import artifact, interpreter, seat
from weft_runtime.control import Block, Branch, ControlFlow, Launch, Loop, ReadScalar
from weft_runtime.control_manifest import describe_control, restore_control
from weft_runtime.executable import Executable
from weft_runtime.fields import Fields
from weft_runtime.liveness import expiry
from weft_runtime.memory import Pool
from weft_runtime.validate import validate
from weft_runtime.values import find_room

SIZE = 16


def dense(g: GraphWriter, source: str, seed: int, *, relu: bool = True) -> str:
    random = np.random.default_rng(seed)
    weights = (random.standard_normal((SIZE, SIZE)) / 4).astype(np.float32)
    return g.dense(source, weights, np.full(SIZE, 0.1, np.float32), relu=relu)


def gated(limit: Any = 6, condition: str = "") -> onnx.ModelProto:
    """A loop that collects its states and ends where their first element falls."""
    g = GraphWriter()
    state = dense(g, g.value("vector", FLOAT, [1, SIZE]), 1)
    b = g.body()
    b.value("step", INT64, [])
    b.value("going", BOOL, [])
    hidden = b.value("hidden", FLOAT, [1, SIZE])
    following = dense(b, hidden, 2)
    element = b.node("Gather", [following, b.constant(np.asarray([0], np.int64))], axis=1)
    more = b.above(element, 0.3)
    given = "" if limit is None else g.constant(np.int64(limit), "limit")
    start = "" if not condition else g.above(g.node("ReduceMax", [state], keepdims=0), 0.5)
    last, states = g.node("Loop", [given, start, state], 2, body=b.graph([more, following, following]))
    return g.model([(last, FLOAT, [1, SIZE]), (states, FLOAT, ["steps", 1, SIZE])])


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 1, SIZE)).astype(np.float32)


def quantized(proto: onnx.ModelProto) -> weft.Model:
    return weft.quantize(load(proto), {"vector": rows(48).reshape(-1, SIZE)})


def compiled(model: weft.Model, driver: Driver = "device") -> Executable:
    return weft.compile(
        model, annotate=lambda node: "accelerator" if node.op_type == "QLinearConv" else None, driver=driver
    ).executable


def agrees(model: weft.Model, executable: Executable, count: int = 25) -> set[tuple[str, ...]]:
    """The paths taken, all as the oracle's, with equal outputs; ONNX Runtime's own control flow gives the same."""
    integer = integer_graph(normalize(model))
    oracle, reference = Oracle(integer.proto), reference_session(integer)
    paths = set()
    with weft.Session(executable) as session:
        for row in rows(count, 5):
            found = session.run({"vector": row})
            wanted, path = oracle.run({"vector": row})
            assert [(each.name, each.outcome) for each in session.profile.paths[0]] == path
            again = dict(zip(wanted, reference.run(list(wanted), {"vector": row}), strict=True))
            for name, array in wanted.items():
                np.testing.assert_array_equal(found[name], array)
                np.testing.assert_array_equal(again[name], array)
            paths.add(tuple(outcome for _, outcome in path))
    return paths


@pytest.mark.parametrize(("limit", "condition"), [(6, ""), (6, "start"), (0, ""), (1, "start"), (None, "start")])
def test_loops_end_as_onnx_says(limit: int | None, condition: str) -> None:
    model = quantized(gated(limit, condition))
    paths = agrees(model, compiled(model))
    assert paths == {("0",)} if limit == 0 else len(paths) > 1 or limit == 1


def test_a_program_survives_being_taken_apart_and_put_together() -> None:
    model = normalize(load(gated()))
    form = split(model).form
    assert form is not None
    again = assemble(form)
    onnx.checker.check_model(again.proto)
    first, second = reference_session(model), reference_session(again)
    for row in rows(8):
        for ours, theirs in zip(first.run(None, {"vector": row}), second.run(None, {"vector": row}), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_an_endless_loop_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    g = GraphWriter()
    state = dense(g, g.value("vector", FLOAT, [1, SIZE]), 1)
    b = g.body()
    b.value("step", INT64, [])
    going = b.value("going", BOOL, [])
    following = dense(b, b.value("hidden", FLOAT, [1, SIZE]), 2)
    more = b.node("Or", [going, b.above(b.node("ReduceMax", [following], keepdims=0), 0.0)])
    last = g.node("Loop", ["", "", state], body=b.graph([more, following]))
    monkeypatch.setattr(interpreter, "MAX_ITERATIONS", 50)
    form = split(normalize(load(g.model([(last, FLOAT, [1, SIZE])])))).form
    assert form is not None
    with pytest.raises(SessionError, match="has not ended after 50 iterations"):
        weft.dynamic.FormRunner(form).run({"vector": rows(1)[0]})


def test_values_that_find_no_room_go_to_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    model = quantized(gated())
    executable = compiled(model, "host")  # of a joined program one launch needs more
    room = find_room

    def cramped(pool: Pool, size: int, held: Any) -> int | None:
        return room(Pool(pool.start, min(pool.size, 2 * 4096)), size, held)

    monkeypatch.setattr(seat, "find_room", cramped)
    agrees(model, executable, 6)


def test_an_output_and_a_view_of_it_are_one_tensor() -> None:
    """A region's output that is read as it is and, reshaped, by a host graph: both have one register."""
    g = GraphWriter()
    state = dense(g, g.value("vector", FLOAT, [1, SIZE]), 1, relu=False)
    flat = g.node("Reshape", [state, g.constant(np.asarray([SIZE], np.int64))])
    element = g.node("Gather", [flat, g.constant(np.asarray([3], np.int64))])
    then, otherwise = g.body(), g.body()
    both = g.if_(g.above(element, 0.0), then, [dense(then, state, 2)], otherwise, [dense(otherwise, state, 3)])
    model = quantized(g.model([(both, FLOAT, [1, SIZE]), (state, FLOAT, [1, SIZE])]))
    executable = compiled(model)
    assert len(agrees(model, executable)) == 2


def test_rooms_are_the_lowest_that_fit() -> None:
    pool = Pool(4096, 5 * 4096)
    assert find_room(pool, 4096, []) == 4096
    assert find_room(pool, 4096, [(4096, 10), (3 * 4096, 4097)]) == 2 * 4096
    assert find_room(pool, 2 * 4096, [(4096, 10), (3 * 4096, 4097)]) is None
    assert find_room(pool, 4096, [(4096, 5 * 4096)]) is None


def test_a_loop_that_carries_a_sequence_stays_on_the_host_with_the_reason() -> None:
    g = GraphWriter()
    state = dense(g, g.value("vector", FLOAT, [1, SIZE]), 1)
    b = g.body()
    b.value("step", INT64, [])
    going = b.value("going", BOOL, [])
    hidden = b.value("hidden", FLOAT, [1, SIZE])
    b.values.append(
        onnx.ValueInfoProto(name="list", type=helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, None)))
    )
    following = dense(b, hidden, 2)
    longer = b.node("SequenceInsert", ["list", following])
    empty = g.node("SequenceEmpty", [])
    last, collected = g.node(
        "Loop", [g.constant(np.int64(3)), "", state, empty], 2, body=b.graph([going, following, longer])
    )
    joined = g.node("ConcatFromSequence", [collected], axis=0)
    model = quantized(g.model([(last, FLOAT, [1, SIZE]), (joined, FLOAT, ["n", SIZE])]))
    executable = compiled(model)
    assert executable.control is None and executable.offloaded_macs
    loop = next(node for node in executable.nodes if node.op == "Loop")
    assert loop.device == "host" and "runs whole on the host" in loop.reason and "tensor" in loop.reason
    wanted = reference_session(integer_graph(normalize(model))).run(None, {"vector": rows(1)[0]})
    with weft.Session(executable) as session:
        for ours, theirs in zip(session.run({"vector": rows(1)[0]}).values(), wanted, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_scans_along_other_axes_and_backwards() -> None:
    """Against ONNX Runtime's Scan."""
    g = GraphWriter()
    sequence = g.value("vector", FLOAT, [1, SIZE])
    state = dense(g, sequence, 1)
    wide = g.node("Reshape", [g.node("Tile", [state, g.constant(np.asarray([1, 4], np.int64))]),
                              g.constant(np.asarray([1, 4, SIZE], np.int64))])  # fmt: skip
    scaled = g.node("Mul", [wide, g.constant(np.arange(1, 5, dtype=np.float32).reshape(1, 4, 1))])
    b = g.body()
    hidden, each = b.value("hidden", FLOAT, [1, SIZE]), b.value("each", FLOAT, [1, SIZE])
    following = dense(b, b.node("Add", [hidden, each]), 2)
    last, states = g.node(
        "Scan", [state, scaled], 2, body=b.graph([following, following]), num_scan_inputs=1, scan_input_axes=[1],
        scan_input_directions=[1], scan_output_axes=[1], scan_output_directions=[1],
    )  # fmt: skip
    proto = g.model([(last, FLOAT, [1, SIZE]), (states, FLOAT, [1, 4, SIZE])])
    model = normalize(load(proto))
    form = split(model).form
    assert form is not None
    scan, loop = reference_session(model), reference_session(assemble(form))
    for row in rows(8):
        for ours, theirs in zip(scan.run(None, {"vector": row}), loop.run(None, {"vector": row}), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    stored = quantized(proto)
    assert agrees(stored, compiled(stored)) == {("4",)}


def test_a_scan_whose_slices_nobody_reads() -> None:
    g = GraphWriter()
    vector = g.value("vector", FLOAT, [1, SIZE])
    state = dense(g, vector, 1)
    rows_of_it = g.node("Reshape", [vector, g.constant(np.asarray([4, 1, 4], np.int64))])
    b = g.body()
    hidden, each = b.value("hidden", FLOAT, [1, SIZE]), b.value("each", FLOAT, [1, 4])
    wide = b.node("Tile", [each, b.constant(np.asarray([1, 4], np.int64))])
    following = dense(b, b.node("Add", [hidden, wide]), 2)
    last, _ = g.node(
        "Scan", [state, rows_of_it], 2, body=b.graph([following, following]), num_scan_inputs=1,
        scan_output_directions=[1],
    )  # fmt: skip
    model = quantized(g.model([(last, FLOAT, [1, SIZE])]))
    assert agrees(model, compiled(model), 8) == {("4",)}


def test_extents_behind_a_loop_that_stays_whole() -> None:
    """A Loop that multiplies nothing keeps its state's extents, so that what follows is quantized and offloaded."""
    g = GraphWriter()
    state = dense(g, g.value("vector", FLOAT, [1, SIZE]), 1)
    b, inner = g.body(), g.body().body()
    b.value("step", INT64, [])
    going, hidden = b.value("going", BOOL, []), b.value("hidden", FLOAT, [1, SIZE])
    inner.value("step", INT64, [])
    more, deeper = inner.value("more", BOOL, []), inner.value("deeper", FLOAT, [1, SIZE])
    halved = inner.node("Mul", [deeper, inner.constant(np.float32(0.5))])
    after = b.node("Loop", [b.constant(np.int64(2)), "", hidden], body=inner.graph([more, halved]))
    shifted = b.node("Add", [after, b.constant(np.float32(0.25))])
    last = g.node("Loop", [g.constant(np.int64(3)), "", state], body=b.graph([going, shifted]))
    sure = g.above(g.node("ReduceMax", [state], keepdims=0), 0.5)
    then, otherwise = g.body(), g.body()
    both = g.if_(sure, then, [dense(then, last, 2)], otherwise, [dense(otherwise, last, 3)])
    executable = compiled(quantized(g.model([(both, FLOAT, [1, SIZE])])))
    assert executable.offloaded_macs == executable.macs == 3 * SIZE * SIZE


def test_equal_sub_networks_are_compiled_once() -> None:
    """A layer with the same weights that is skipped or not, twice: the state has one scale throughout."""
    g = GraphWriter()
    state = first = dense(g, g.value("vector", FLOAT, [1, SIZE]), 1)
    for place in (0, 1):
        element = g.node("Gather", [first, g.constant(np.asarray([place], np.int64))], axis=1)
        then, otherwise = g.body(), g.body()
        state = g.if_(g.above(element, 0.2), then, [dense(then, state, 2)], otherwise, [state])
    # The correction would give each its own biases: they see other inputs.
    samples = {"vector": rows(48).reshape(-1, SIZE)}
    options = weft.QuantizeOptions(correct_bias=False)
    model = weft.quantize(load(g.model([(state, FLOAT, [1, SIZE])])), samples, options)
    executable = compiled(model, "host")
    assert executable.control is not None
    branches = [each for each in executable.control.body.statements if isinstance(each, Branch)]
    launched = [each.network for branch in branches for each in branch.then.statements]
    assert len(launched) == 2 and len(set(launched)) == 1
    assert len(agrees(model, executable, 25)) == 4


def test_a_branch_that_no_sample_takes_is_quantized_too() -> None:
    g = GraphWriter()
    state = dense(g, g.value("vector", FLOAT, [1, SIZE]), 1)
    never = g.above(g.node("ReduceMax", [state], keepdims=0), 1e6)
    then, otherwise = g.body(), g.body()
    both = g.if_(never, then, [dense(then, dense(then, state, 2), 4)], otherwise, [dense(otherwise, state, 3)])
    model = quantized(g.model([(both, FLOAT, [1, SIZE])]))
    executable = compiled(model)
    assert executable.offloaded_macs == executable.macs == 4 * SIZE * SIZE
    assert agrees(model, executable, 4) == {("else",)}


def test_pins_name_nodes_in_branches() -> None:
    model = quantized(gated())
    names = [node.name for node in compiled(model).nodes if node.op == "QLinearConv"]
    executable = weft.compile(model, pins=dict.fromkeys(names, "cpu")).executable
    assert not executable.regions
    with pytest.raises(CompileError, match="'nowhere'"):
        weft.compile(model, pins={"nowhere": "cpu"})


def test_liveness() -> None:
    """What a loop's body takes from outside lives until the loop ends; what only the body makes dies in it."""
    body = Block((Launch(1, ("state", "outer"), ("inner",)), Launch(2, ("inner",), ("next",))), ("next",))
    loop = Loop("loop", "count", "", "", "index", "going", 0, 0, ("start",), ("state",), ("last",), (), body)
    program = Block(
        (Launch(0, ("x",), ("outer", "start", "n")), ReadScalar("n", "count"), loop, Launch(3, ("last",), ("y",))),
        ("y",),
    )
    found = expiry(program)
    assert found[id(program), 0] == ("x",)
    assert found[id(program), 1] == ("n",)
    assert {"outer", "start", "next"} <= set(found[id(program), 2]) and "last" not in found[id(program), 2]
    assert found[id(body), 0] == ("state",) and found[id(body), 1] == ("inner",)


def dynamic() -> Executable:
    return compiled(quantized(gated()), "host")


def test_impossible_programs_are_refused() -> None:
    good = dynamic()
    assert good.control is not None
    validate(good)
    networks, body = good.control.networks, good.control.body
    deep = body
    for index in range(20):
        deep = Block((Branch(f"b{index}", "s", deep, Block((), ()), ()),), ())
    loop = next(each for each in body.statements if isinstance(each, Loop))
    launch = next(each for each in body.statements if isinstance(each, Launch))
    others = tuple(each for each in body.statements if each is not loop)

    def with_body(statements: tuple[Any, ...], results: tuple[str, ...] = body.results) -> Executable:
        return replace(good, control=ControlFlow(networks, Block(statements, results)))

    cases = [
        (replace(good, control=ControlFlow(networks, deep)), "nested more than"),
        (with_body(body.statements[::-1]), "is not there yet"),
        (with_body(others), "is not there yet"),
        (with_body((*body.statements, launch)), "assigned twice"),
        (with_body((replace(launch, network=99), *body.statements[1:])), "does not exist"),
        (with_body((replace(launch, outputs=()), *body.statements[1:])), "other numbers"),
        (with_body(body.statements, body.results[:1]), "returns 1 values for 2"),
        (with_body((*others[:-1], replace(loop, parameters=()), others[-1])), "not there yet|different numbers"),
        (with_body((ReadScalar(launch.outputs[0], ""), *body.statements)), "not there yet|no name"),
        (replace(good, steps=networks[0].steps), "belong to its sub-networks"),
        (replace(good, control=ControlFlow(networks[1:], body)), "no step runs|other numbers|exist"),
        (replace(good, control=None, steps=good.all_steps), "register|needs tensor|given|there already|two"),
    ]
    for executable, message in cases:
        with pytest.raises(ExecutableError, match=message):
            validate(executable)


def test_bindings_to_registers_are_checked() -> None:
    good = dynamic()
    region = good.regions[0]
    first = region.inputs[0]
    for changed, message in (
        (replace(region, inputs=(replace(first, register=16),)), "register 16"),
        (replace(region, inputs=(replace(first, register=1),)), "outside"),
        (replace(region, inputs=(replace(first, offset=64),)), "outside"),
        (replace(region, inputs=(first, replace(first, name="other"))), "two inputs"),
    ):
        with pytest.raises(ExecutableError, match=message):
            validate(replace(good, regions=(changed, *good.regions[1:])))


def test_artifacts_bound_what_they_nest(tmp_path: Path) -> None:
    good = dynamic()
    assert good.control is not None
    artifact.save(good, tmp_path / "good.weft")
    assert artifact.load(tmp_path / "good.weft") == good
    described = describe_control(good.control)
    assert restore_control(Fields(described, "control")) == good.control
    body: dict[str, Any] = {"statements": [], "results": []}
    for index in range(40):
        branch = {"kind": "branch", "name": str(index), "condition": "c", "results": []}
        body = {"statements": [{**branch, "then": body, "otherwise": {"statements": [], "results": []}}], "results": []}
    with pytest.raises(ArtifactError, match="nested more than"):
        restore_control(Fields({"networks": [], "body": body}, "control"))
    with pytest.raises(ArtifactError, match="none of"):
        statement = {"kind": "goto"}
        restore_control(Fields({"networks": [], "body": {"statements": [statement], "results": []}}, "control"))


def test_a_condition_of_several_elements_is_an_error() -> None:
    """ONNX decides once for the whole batch: a condition with one element for each row is refused when it is read."""
    g = GraphWriter()
    vector = g.value("vector", FLOAT, [1, SIZE])
    state = dense(g, vector, 1)
    larger = g.node("Greater", [state, g.constant(np.float32(0))])
    then, otherwise = g.body(), g.body()
    both = g.if_(larger, then, [dense(then, state, 2)], otherwise, [dense(otherwise, state, 3)])
    form = split(normalize(load(g.model([(both, FLOAT, [1, SIZE])])))).form
    assert form is not None
    with pytest.raises(SessionError, match="not one element"):
        weft.dynamic.FormRunner(form).run({"vector": rows(1)[0]})


def test_shared_names_in_branches_do_not_meet() -> None:
    """Both branches call their tensors alike, as ONNX allows, and capture one from the outermost graph."""
    weights = numpy_helper.from_array(np.eye(SIZE, dtype=np.float32), "weights")
    branches = {}
    for index, kind in enumerate(("then_branch", "else_branch")):
        scale = numpy_helper.from_array(np.float32(index + 2), "scale")
        nodes = [
            helper.make_node("MatMul", ["vector", "weights"], ["product"], name="product"),
            helper.make_node("Mul", ["product", "scale"], ["result"], name="times"),
        ]
        branches[kind] = helper.make_graph(nodes, kind, [], [onnx.ValueInfoProto(name="result")], [scale])
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMax", ["vector"], ["most"], keepdims=0, name="most"),
            helper.make_node("Greater", ["most", "level"], ["sure"], name="sure"),
            helper.make_node("If", ["sure"], ["answer"], name="choice", **branches),
        ],
        "g",
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, SIZE])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1, SIZE])],
        [weights, numpy_helper.from_array(np.float32(2), "level")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    model = quantized(proto)
    assert agrees(model, compiled(model)) == {("then",), ("else",)}
