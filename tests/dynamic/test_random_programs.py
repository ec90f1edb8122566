"""Random structured programs: products, Ifs, Loops and Scans in each other, against the independent interpreter."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from follower import Follower
from onnx_writer import BOOL, FLOAT, INT64, GraphWriter
from oracle import Oracle, decided

import weft
from weft.api.race_check import check
from weft.backends import Target
from weft.dynamic import integer_graph, split
from weft.frontend import load, normalize
from weft.lowering import Driver
from weft.partition.costs import HostProfile, host_profile
from weft_runtime.control import Branch, Loop, statements_within
from weft_sim.machine import machine

SIZE = 16
DEPTH = 3
SLOW_HOST = dataclasses.replace(
    host_profile("cortex-a53"), name="slow", node_microseconds=1e6, launch_microseconds=0, transfer_microseconds=0
)
DEAR_LAUNCHES = dataclasses.replace(
    host_profile("cortex-a53"), name="dear", node_microseconds=200, launch_microseconds=300, transfer_microseconds=50
)


class Generator:
    """Writes one program: every block sees the values of the blocks around it."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def program(self) -> onnx.ModelProto:
        g = GraphWriter()
        values = [self.dense(g, g.value("vector", FLOAT, [1, SIZE]))]
        self.block(g, values, DEPTH)
        result = self.pick(values[-2:])
        outputs = [(result, FLOAT, [1, SIZE])]
        if len(values) > 2:
            outputs.append((self.pick(values), FLOAT, [1, SIZE]))
        return g.model(outputs)

    def block(self, g: GraphWriter, values: list[str], depth: int) -> None:
        """Appends what a few statements compute to `values`."""
        for _ in range(self.random.integers(1, 4)):
            kinds = ["dense", "add", "if", "loop", "scan"] if depth else ["dense", "add", "dense"]
            match self.random.choice(kinds):
                case "dense":
                    values.append(self.dense(g, self.pick(values)))
                case "add":
                    values.append(g.node("Add", [self.pick(values), self.pick(values)]))
                case "if":
                    values.extend(self.branch(g, values, depth))
                case "loop":
                    values.append(self.loop(g, values, depth))
                case "scan":
                    values.append(self.scan(g, values))

    def branch(self, g: GraphWriter, values: list[str], depth: int) -> list[str]:
        condition = self.condition(g, self.pick(values))
        count = int(self.random.integers(1, 3))
        bodies, results = [], []
        for _ in range(2):
            body, inner = g.body(), list(values)
            if self.random.random() < 0.8:
                self.block(body, inner, depth - 1)
            bodies.append(body)
            results.append([self.pick(inner[-3:]) for _ in range(count)])
        given = g.if_(condition, bodies[0], results[0], bodies[1], results[1])
        return [given] if count == 1 else list(given)

    def loop(self, g: GraphWriter, values: list[str], depth: int) -> str:
        start = self.pick(values)
        body = g.body()
        body.value("step", INT64, [])
        going = body.value("going", BOOL, [])
        inner = [*values, body.value("state", FLOAT, [1, SIZE])]
        self.block(body, inner, depth - 1)
        following = self.dense(body, inner[-1])
        more = self.condition(body, following) if self.random.random() < 0.6 else going
        limit = g.constant(np.int64(self.random.integers(0, 5)), "limit")
        return str(g.node("Loop", [limit, "", start], body=body.graph([more, following])))

    def scan(self, g: GraphWriter, values: list[str]) -> str:
        """Over four rows of four elements each, made of a value."""
        shape = g.constant(np.asarray([4, 1, SIZE // 4], np.int64), "shape")
        rows = g.node("Reshape", [self.pick(values), shape])
        body = g.body()
        state, each = body.value("state", FLOAT, [1, SIZE]), body.value("each", FLOAT, [1, SIZE // 4])
        wide = body.node("Tile", [each, body.constant(np.asarray([1, 4], np.int64))])
        following = self.dense(body, body.node("Add", [state, wide]))
        backwards = [int(self.random.integers(0, 2))]
        return str(
            g.node(
                "Scan", [self.pick(values), rows], body=body.graph([following]), num_scan_inputs=1,
                scan_input_directions=backwards,
            )
        )  # fmt: skip

    def condition(self, g: GraphWriter, value: str) -> str:
        weights = (self.random.standard_normal((SIZE, 1)) * 0.7).astype(np.float32)
        score = g.dense(value, weights, np.asarray([self.random.normal() * 0.2], np.float32))
        if self.random.random() < 0.5:
            return g.above(g.node("Sigmoid", [score]), 0.5)
        return g.above(score, 0.0)

    def dense(self, g: GraphWriter, value: str) -> str:
        weights = (self.random.standard_normal((SIZE, SIZE)) * 0.3).astype(np.float32)
        bias = (self.random.standard_normal(SIZE) * 0.1).astype(np.float32)
        return g.dense(value, weights, bias, relu=bool(self.random.random() < 0.7))

    def pick(self, values: list[str]) -> str:
        return values[int(self.random.integers(len(values)))]


@pytest.mark.parametrize("seed", range(16))
def test_random_program(seed: int) -> None:
    samples = np.random.default_rng(1000 + seed).standard_normal((40, SIZE)).astype(np.float32)
    model = load(Generator(seed).program())
    assert not split(normalize(model)).refused
    quantized = weft.quantize(model, {"vector": samples[:24]})
    oracle = Oracle(integer_graph(normalize(quantized)).proto)
    wanted = [oracle.run({"vector": row[None]}) for row in samples]
    form = split(normalize(quantized)).form
    # An If or Loop that multiplies nothing stays whole, for the host, and is no part of the path.
    statements = () if form is None else statements_within(form.body)
    opened = {each.name for each in statements if isinstance(each, Branch | Loop)}
    ways: list[tuple[Driver, Target, HostProfile]] = [
        ("device", "weft-16", SLOW_HOST), ("host", "weft-16", SLOW_HOST),
        ("auto", Follower(machine("weft-16")), DEAR_LAUNCHES),  # there, most small branches become selects
    ]  # fmt: skip
    for driver, target, host in ways:
        executable = weft.compile(quantized, target, host=host, driver=driver).executable
        assert not check(executable).findings
        with weft.Session(executable) as session:
            for row, (outputs, path) in zip(samples, wanted, strict=True):
                found = session.run({"vector": row[None]})
                taken = session.profile.paths[0] if session.profile.paths else ()
                steps = [step for step in decided(path, executable.nodes) if step[0] in opened]
                assert [(each.name, each.outcome) for each in taken] == steps
                for name, array in outputs.items():
                    np.testing.assert_array_equal(found[name], array)
