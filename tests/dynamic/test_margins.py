"""Margins of conditions: rules by operator, against perturbations of the inputs, and through branches and loops."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx_writer import BOOL, FLOAT, INT64, GraphWriter

from weft.dynamic import MarginRunner, split
from weft.frontend import load, normalize

Condition = Callable[[GraphWriter, str], str]


def scalar(g: GraphWriter, value: str) -> str:
    return str(g.node("Reshape", [value, g.constant(np.zeros(0, np.int64), "scalar")]))


def element(g: GraphWriter, x: str, place: int) -> str:
    return str(g.node("Gather", [x, g.constant(np.asarray([place], np.int64), "place")], axis=1))


def above(g: GraphWriter, x: str, place: int, threshold: float) -> str:
    return str(g.node("Greater", [element(g, x, place), g.constant(np.float32(threshold), "threshold")]))


def gated(condition: Condition) -> MarginRunner:
    """A model whose only If decides by the condition of its input x, [1, 4]."""
    g = GraphWriter()
    x = g.value("x", FLOAT, [1, 4])
    decided = scalar(g, condition(g, x))
    then, otherwise = g.body(), g.body()
    ours = then.node("MatMul", [x, then.constant(np.eye(4, dtype=np.float32), "weights")])
    model = g.model([(g.if_(decided, then, [ours], otherwise, [x]), FLOAT, [1, 4])])
    return runner(model)


def runner(model: onnx.ModelProto) -> MarginRunner:
    splitting = split(normalize(load(model)))
    assert splitting.form is not None
    return MarginRunner(splitting.form)


def taken(found: MarginRunner, *values: float) -> tuple[str, float | None]:
    path, margins = found.run({"x": np.asarray([values], np.float32)})
    return path[0].outcome, margins[0].conditions[0]


def argmax_is(g: GraphWriter, x: str, op: str, other: int, extreme: str = "ArgMax") -> str:
    chosen = g.node(extreme, [x], axis=1, keepdims=0)
    return str(g.node(op, [chosen, g.constant(np.asarray([other], np.int64), "class")]))


@pytest.mark.parametrize(
    ("condition", "values", "expected"),
    [
        (lambda g, x: argmax_is(g, x, "Equal", 1), (1.0, 4.0, 3.5, 0.0), ("then", 0.5)),
        (lambda g, x: argmax_is(g, x, "Equal", 3), (1.0, 4.0, 3.5, 0.0), ("else", 4.0)),  # to the compared class
        (lambda g, x: argmax_is(g, x, "Less", 2), (1.0, 4.0, 3.5, 0.0), ("then", 0.5)),
        (lambda g, x: argmax_is(g, x, "Less", 4), (1.0, 4.0, 3.5, 0.0), ("then", None)),  # always so
        (lambda g, x: argmax_is(g, x, "Equal", 3, "ArgMin"), (1.0, 4.0, 3.5, 0.0), ("then", 1.0)),
        (lambda g, x: g.node("Not", [argmax_is(g, x, "Equal", 1)]), (1.0, 4.0, 3.5, 0.0), ("else", 0.5)),
        (
            lambda g, x: g.node("Greater", [g.confidence(x), g.constant(np.asarray([[0.5]], np.float32))]),
            (0.0, 0.0, 0.0, 0.0), ("else", 0.25),
        ),
        (
            lambda g, x: g.node(
                "ReduceMax",
                [g.node("Cast", [g.node("Greater", [x, g.constant(np.float32(2))])], to=TensorProto.INT32)],
                keepdims=0,
            ),
            (1.0, 4.0, 2.5, 0.0), ("then", 2.0),
        ),
        (lambda g, x: g.node("Cast", [element(g, x, 2)], to=BOOL), (1.0, 4.0, -0.25, 0.0), ("then", 0.25)),
        (
            lambda g, x: g.node(
                "Less", [g.node("Cast", [element(g, x, 0)], to=INT64), g.constant(np.asarray([7], np.int64))]
            ),
            (3.0, 0.0, 0.0, 0.0), ("then", 4.0),
        ),
        (
            lambda g, x: g.node("Xor", [above(g, x, 0, 0.0), above(g, x, 1, 0.0)]),
            (1.0, -0.5, 0.0, 0.0), ("then", 0.5),
        ),
        (lambda g, x: g.node("IsNaN", [element(g, x, 0)]), (1.0, 0.0, 0.0, 0.0), ("else", None)),
    ],
)  # fmt: skip
def test_rules(condition: Condition, values: tuple[float, ...], expected: tuple[str, float | None]) -> None:
    def as_bool(g: GraphWriter, x: str) -> str:
        return str(g.node("Cast", [condition(g, x)], to=BOOL))

    assert taken(gated(as_bool), *values) == expected


def mixed(g: GraphWriter, x: str) -> str:
    """(x0 > 0 and not x1 > 1) or (x2 > -1 and x3 > 2)"""
    first = g.node("And", [above(g, x, 0, 0.0), g.node("Not", [above(g, x, 1, 1.0)])])
    second = g.node("And", [above(g, x, 2, -1.0), above(g, x, 3, 2.0)])
    return str(g.node("Or", [first, second]))


def test_nothing_below_the_margin_changes_a_mixed_condition() -> None:
    """And something a little above it does: the margin is the exact distance in the largest change of an element."""
    found = gated(mixed)
    generator = np.random.default_rng(3)
    seen = set()
    for _ in range(40):
        values = generator.uniform(-3, 3, 4)
        outcome, margin = taken(found, *values)
        assert margin is not None and margin > 0
        corners = [np.asarray(signs) for signs in product((-1, 0, 1), repeat=4)]
        below = {taken(found, *(values + signs * margin * 0.99))[0] for signs in corners}
        beyond = {taken(found, *(values + signs * margin * 1.01))[0] for signs in corners}
        assert below == {outcome} and len(beyond) == 2
        seen.add(outcome)
    assert len(seen) == 2


def test_a_class_decided_on_again_inside_a_branch() -> None:
    """What the argmax looked at is known wherever its answer goes."""
    g = GraphWriter()
    x = g.value("x", FLOAT, [1, 4])
    choice = g.node("ArgMax", [x], axis=1, keepdims=0)
    then, otherwise = g.body(), g.body()
    ours = then.node("MatMul", [x, then.constant(np.eye(4, dtype=np.float32), "weights")])
    again = scalar(otherwise, otherwise.node("Equal", [choice, otherwise.constant(np.asarray([2], np.int64))]))
    second, third = otherwise.body(), otherwise.body()
    theirs = second.node("MatMul", [x, second.constant(np.eye(4, dtype=np.float32), "weights")])
    inner = otherwise.if_(again, second, [theirs], third, [x])
    zero = scalar(g, g.node("Equal", [choice, g.constant(np.asarray([0], np.int64))]))
    found = runner(g.model([(g.if_(zero, then, [ours], otherwise, [inner]), FLOAT, [1, 4])]))
    path, margins = found.run({"x": np.asarray([[1.0, 4.0, 3.5, 0.0]], np.float32)})
    assert [step.outcome for step in path] == ["else", "else"]
    assert [each.conditions for each in margins] == [(3.0,), (0.5,)]


def test_counts_and_rounds_of_a_loop() -> None:
    """The number of iterations is an argmax, and a flag handed from round to round ends the loop."""
    g = GraphWriter()
    x = g.value("x", FLOAT, [1, 4])
    count = scalar(g, g.node("ArgMax", [x], axis=1, keepdims=0))
    b = g.body()
    b.value("step", INT64, [])
    b.value("going", BOOL, [])
    state = b.value("state", FLOAT, [1, 4])
    grown = b.node("MatMul", [state, b.constant(np.eye(4, dtype=np.float32) * 2, "weights")])
    small = scalar(b, b.node("Less", [element(b, grown, 0), b.constant(np.float32(5))]))
    result = g.node("Loop", [count, "", x], body=b.graph([small, grown]))
    found = runner(g.model([(result, FLOAT, [1, 4])]))
    path, (margins,) = found.run({"x": np.asarray([[1.0, 0.0, 3.0, 7.5]], np.float32)})
    assert [step.outcome for step in path] == ["3"]
    assert (margins.conditions, margins.count, margins.least) == ((3.0, 1.0, 3.0), 4.5, 1.0)


def test_a_long_chain_of_conditions() -> None:
    def many(g: GraphWriter, x: str) -> str:
        condition = above(g, x, 0, 0.0)
        for _ in range(3000):
            condition = str(g.node("Not", [condition]))
        return condition

    assert taken(gated(many), 2.0, 0.0, 0.0, 0.0) == ("then", 2.0)
