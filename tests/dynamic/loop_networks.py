"""Random networks of Ifs and loops, and whether an executable does as the oracle says, in so many launches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx_writer import BOOL, FLOAT, INT64, GraphWriter
from oracle import Oracle

import weft
from weft.api.cosimulation import cosim_model
from weft.api.race_check import check
from weft.dynamic import integer_graph
from weft.frontend import load, normalize
from weft.lowering import Driver
from weft_runtime.executable import Executable

SIZE, ROWS, SEED = 16, 64, 3
Array = np.ndarray
Step = Callable[["Body", str], str]


class Body:
    """Layers of one random network, in whichever graph they stand."""

    def __init__(self, seed: int, gain: float) -> None:
        self.random = np.random.default_rng(seed)
        self.gain = gain
        self.counts = 0
        self.extra: list[tuple[str, int, list[int | str]]] = []
        """Further outputs: tensor, element type and shape."""
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
        return self.graph.model([(result, FLOAT, [1, SIZE]), *self.extra])


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


def golden_agrees(given: Case, count: int) -> None:
    """So many inputs on the golden model: outputs and paths as on the simulator."""
    with weft.Session(given.executable) as simulator, weft.Session(given.executable, device="golden") as golden:
        for index in range(count):
            ours, theirs = simulator.run(given.row(index)), golden.run(given.row(index))
            assert simulator.profile.paths == golden.profile.paths
            for name, array in ours.items():
                np.testing.assert_array_equal(array, theirs[name])


def in_lockstep(given: Case, count: int) -> None:
    """So many inputs, each one launch, on simulator and RTL with random stalls."""
    for index in range(count):
        report = cosim_model(given.executable, given.row(index), stall_seed=index)
        assert report.programs == 1
        assert (report.mismatches, report.first_mismatch) == (0, None)
