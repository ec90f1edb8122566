"""Samples that run together, each on its own path: bit for bit what each gives alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from onnx_writer import BOOL, FLOAT, INT64, GraphWriter

import weft
from weft.api.describe import explain
from weft.api.race_check import check
from weft.errors import CompileError
from weft.frontend import Model, load
from weft.partition.costs import host_profile
from weft.program import Program
from weft.report.control_flow import outline
from weft_runtime import seat
from weft_runtime.batch_plan import BatchPlan
from weft_runtime.control import Batching, NetworkBatch
from weft_runtime.devices import Device, open_device
from weft_runtime.executable import Processor
from weft_runtime.memory import Pool
from weft_runtime.npu import machine_of
from weft_runtime.values import find_room
from weft_sim.result import RunOptions

pytest.importorskip("sklearn")
from networks import NETWORKS, Network

SLOW_HOST = dataclasses.replace(
    host_profile("cortex-a53"), name="slow", node_microseconds=1e6, launch_microseconds=0, transfer_microseconds=0
)
INPUTS = 60
SIZE = 16


@cache
def stored(name: str) -> tuple[Network, Model]:
    network = NETWORKS[name]()
    return network, weft.quantize(load(network.model), {key: rows[:200] for key, rows in network.inputs.items()})


@cache
def built(name: str, batch: int, host: str = "") -> Program:
    return weft.compile(stored(name)[1], host=host or SLOW_HOST, driver="host", batch=batch)


@cache
def alone(name: str) -> tuple[dict[str, np.ndarray], tuple[Any, ...], float]:
    """Outputs, paths and launches per sample, one by one."""
    with weft.Session(built(name, 1)) as session:
        outputs = session.run(rows_of(stored(name)[0], 0, INPUTS))
        return outputs, session.profile.paths, session.profile.launches


def rows_of(network: Network, start: int, stop: int) -> dict[str, np.ndarray]:
    return {key: rows[start:stop] for key, rows in network.inputs.items()}


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    for key, array in wanted.items():
        assert (found[key].shape, found[key].dtype) == (array.shape, array.dtype)
        assert found[key].tobytes() == array.tobytes(), key


@pytest.mark.parametrize("batch", [2, 5, 8])
@pytest.mark.parametrize("name", NETWORKS)
def test_together_as_alone(name: str, batch: int) -> None:
    """More samples than the batch: outputs in order, and every path, as one by one, in fewer launches."""
    network, program = stored(name)[0], built(name, batch)
    wanted, paths, launches = alone(name)
    assert program.executable.control is not None and program.executable.control.batching is not None
    seen: list[tuple[int, int]] = []
    with weft.Session(program) as session:
        same(session.run(rows_of(network, 0, INPUTS), lambda *each: seen.append(each)), wanted)
        assert session.profile.paths == paths
        assert session.profile.launches < launches * (1 if batch == 2 else 0.8)
        assert seen == [(done, INPUTS) for done in range(1, INPUTS + 1)]
        with weft.Session(built(name, 1)) as single:
            for count in (1, 3):  # fewer than the batch
                same(session.run(rows_of(network, 7, 7 + count)), single.run(rows_of(network, 7, 7 + count)))
                assert session.profile.paths == paths[7 : 7 + count]


@pytest.mark.parametrize("name", ["early_exit", "decoder"])
def test_on_a_host_that_keeps_what_is_cheap_there(name: str) -> None:
    with weft.Session(built(name, 5, "cortex-a53")) as session:
        same(session.run(rows_of(stored(name)[0], 0, INPUTS)), alone(name)[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_programs_for_several_are_free_of_races(name: str) -> None:
    assert not check(built(name, 5).executable).findings


def test_bytes_are_those_that_cross(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte between host and device is counted: what enters, leaves, and is copied to put samples together."""
    crossed = [0, 0]

    class Counting:
        def __init__(self, device: Device) -> None:
            self._device, self.name = device, device.name
            self.launch, self.close = device.launch, device.close
            self.write, self.read = device.write, device.read

        def count(self) -> None:
            def write(address: int, data: Any) -> None:
                crossed[0] += len(data)
                crossed[1] += 1
                self._device.write(address, data)

            def read(address: int, size: int) -> Any:
                crossed[0] += size
                crossed[1] += 1
                return self._device.read(address, size)

            self.write, self.read = write, read

    opened: list[Counting] = []

    def factory(processor: Processor, size: int, options: RunOptions) -> Any:
        opened.append(Counting(open_device("sim", machine_of(processor), size, options)))
        return opened[-1]

    network, program = stored("early_exit")[0], built("early_exit", 5)
    with weft.Session(program, factory) as session:
        for device in opened:
            device.count()
        session.run(rows_of(network, 0, 10))
        assert session.profile.transfer_bytes == round(crossed[0] / 10)
        assert session.profile.transfers == round(crossed[1] / 10)


@pytest.mark.parametrize(
    ("name", "pages", "cut"), [("skip_gates", 3, True), ("skip_gates", 4, False), ("halting", 4, False)]
)
def test_a_small_device_takes_fewer_at_once(name: str, pages: int, cut: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full pool sends values to the host, and where one launch has no room, the group is cut: never an error."""
    program = built(name, 8)

    def cramped(pool: Pool, size: int, held: Any) -> int | None:
        return find_room(Pool(pool.start, min(pool.size, pages * 4096)), size, held)

    with weft.Session(program) as session:
        session.run(rows_of(stored(name)[0], 0, 20))
        free = session.profile.launches
        monkeypatch.setattr(seat, "find_room", cramped)
        found = session.run(rows_of(stored(name)[0], 0, 20))
        same(found, {key: rows[:20] for key, rows in alone(name)[0].items()})
        assert (session.profile.launches > free) == cut


def gated(second: str) -> Model:
    """A gate, and behind it a part: one whose weights are values, or one that stacks its samples."""
    random = np.random.default_rng(11)
    g = GraphWriter()
    matrix = (random.standard_normal((SIZE, SIZE)) * 0.4).astype(np.float32)
    state = g.dense(g.value("vector", FLOAT, [1, SIZE]), matrix, np.zeros(SIZE, np.float32), relu=True)
    gate = g.dense(state, matrix[:, :1], np.zeros(1, np.float32))
    then, otherwise = g.body(), g.body()
    if second == "weights":
        square = then.node("Reshape", [state, then.constant(np.asarray([4, 4], np.int64))])
        part = then.node("Gemm", [then.node("Reshape", [state, then.constant(np.asarray([4, 4], np.int64))]), square])
        ours = then.node("Reshape", [part, then.constant(np.asarray([1, SIZE], np.int64))])
        ours = then.dense(ours, matrix, np.zeros(SIZE, np.float32))
    else:
        taller = then.node("Reshape", [state, then.constant(np.asarray([4, 4], np.int64))])
        part = then.node("MatMul", [taller, then.constant(matrix[:4, :4])])
        ours = then.node("Reshape", [part, then.constant(np.asarray([1, SIZE], np.int64))])
    theirs = otherwise.dense(state, matrix, np.zeros(SIZE, np.float32))
    result = g.if_(g.above(gate, 0.05), then, [ours], otherwise, [theirs])
    samples = random.standard_normal((200, SIZE)).astype(np.float32)
    return weft.quantize(load(g.model([(result, FLOAT, [1, SIZE])])), {"vector": samples})


@pytest.mark.parametrize("second", ["weights", "stacked"])
def test_what_cannot_run_together_runs_sample_by_sample_and_says_so(second: str) -> None:
    model = gated(second)
    program = weft.compile(model, host=SLOW_HOST, batch=4)
    text = "\n".join(outline(explain(program.executable)["control"]))
    assert ("sample by sample: Gemm" in text) == (second == "weights")
    assert "together: 2 (" in text and "4 (" in text
    samples = {"vector": np.random.default_rng(12).standard_normal((23, SIZE)).astype(np.float32)}
    with weft.Session(program) as several, weft.Session(weft.compile(model, host=SLOW_HOST)) as single:
        same(several.run(samples), single.run(samples))
        assert several.profile.paths == single.profile.paths
        assert len(set(single.profile.paths)) == 2


def test_a_text_with_a_batch_of_its_own_decides_once_for_it() -> None:
    """Four rows and one condition over all of them: two such units run together, and each decides for its four."""
    random = np.random.default_rng(13)
    matrix = (random.standard_normal((SIZE, SIZE)) * 0.4).astype(np.float32)
    g = GraphWriter()
    state = g.dense(g.value("rows", FLOAT, [4, SIZE]), matrix, np.zeros(SIZE, np.float32), relu=True)
    samples = random.standard_normal((80, SIZE)).astype(np.float32)
    middle = float(np.median((samples @ matrix).reshape(20, -1).max(axis=1)))
    level = g.node("ReduceMax", [state], keepdims=0)
    then, otherwise = g.body(), g.body()
    ours = then.dense(state, matrix, np.zeros(SIZE, np.float32))
    result = g.if_(g.above(level, middle), then, [ours], otherwise, [state])
    model = weft.quantize(load(g.model([(result, FLOAT, [4, SIZE])])), {"rows": samples})
    with weft.Session(weft.compile(model, host=SLOW_HOST)) as single:
        wanted = single.run({"rows": samples})
        paths = single.profile.paths
    with weft.Session(weft.compile(model, host=SLOW_HOST, batch=3)) as several:
        same(several.run({"rows": samples}), wanted)
        assert several.profile.paths == paths and len(paths) == 20 and len(set(paths)) == 2


def test_a_loop_whose_counts_and_shapes_are_scalars() -> None:
    """A count of its own for every sample, an iteration number that is read, and slices that are collected."""
    random = np.random.default_rng(14)
    matrix = (random.standard_normal((SIZE, SIZE)) * 0.4).astype(np.float32)
    g = GraphWriter()
    state = g.value("vector", FLOAT, [1, SIZE])
    steps = g.node("Reshape", [g.value("steps", INT64, [1]), g.constant(np.zeros(0, np.int64), "scalar")])
    b = g.body()
    number, going = b.value("step", INT64, []), b.value("going", BOOL, [])
    hidden = b.value("hidden", FLOAT, [1, SIZE])
    added = b.node("Add", [b.dense(hidden, matrix, np.zeros(SIZE, np.float32)), b.node("Cast", [number], to=FLOAT)])
    last, slices = g.node("Loop", [steps, "", state], 2, body=b.graph([going, added, added]))
    total = g.node("ReduceMax", [slices, g.constant(np.asarray([0], np.int64))], keepdims=0)
    rows = {"vector": random.standard_normal((30, SIZE)).astype(np.float32), "steps": random.integers(1, 6, 30)}
    text = g.model([(last, FLOAT, [1, SIZE]), (total, FLOAT, [1, SIZE])])
    model = weft.quantize(load(text), rows)
    with weft.Session(weft.compile(model, host=SLOW_HOST)) as single:
        wanted, paths = single.run(rows), single.profile.paths
    with weft.Session(weft.compile(model, host=SLOW_HOST, batch=4)) as several:
        same(several.run(rows), wanted)
        assert several.profile.paths == paths and len(set(paths)) == 5


def plan(times: dict[int, int], most: int) -> BatchPlan:
    sizes = tuple(NetworkBatch(0, size, size, time, (False,)) for size, time in times.items() if size > 1)
    return BatchPlan(Batching(most, (times[1],), sizes, ()))


@pytest.mark.parametrize(
    ("times", "samples", "wanted"),
    [
        ({1: 10, 2: 12, 4: 14, 8: 16}, 5, (8,)),  # three rows for nothing are cheaper than a second launch
        ({1: 10, 2: 19, 4: 36, 8: 70}, 5, (4, 1)),
        ({1: 10, 2: 19, 4: 36, 8: 70}, 3, (2, 1)),
        ({1: 10, 8: 70}, 6, (1,) * 6),
        ({1: 10, 2: 12, 4: 14, 8: 16}, 19, (8, 8, 4)),
        ({1: 10}, 3, (1, 1, 1)),
        ({1: 10, 2: 12, 4: 14, 8: 16}, 0, ()),
    ],
)
def test_sizes_are_put_together_at_the_least_cost(times: dict[int, int], samples: int, wanted: Sequence[int]) -> None:
    assert plan(times, 8).cover(0, samples, 8) == tuple(wanted)
    assert max(plan(times, 8).cover(0, 7, 2), default=0) <= 2


def test_an_artifact_holds_the_sizes(tmp_path: Any) -> None:
    program = built("loop_in_if", 5)
    program.save(tmp_path / "model.weft")
    with weft.Session(tmp_path / "model.weft") as again:
        assert again.executable == program.executable
        same(again.run(rows_of(stored("loop_in_if")[0], 0, INPUTS)), alone("loop_in_if")[0])


@pytest.mark.parametrize("batch", [0, -1, 257])
def test_batches_have_bounds(batch: int) -> None:
    with pytest.raises(CompileError, match="outside 1 to 256"):
        weft.compile(stored("halting")[1], batch=batch)


def test_a_model_without_decisions_is_told_to_give_its_extent() -> None:
    g = GraphWriter()
    dense = g.dense(g.value("x", FLOAT, [1, SIZE]), np.eye(SIZE, dtype=np.float32), np.zeros(SIZE, np.float32))
    model = weft.quantize(load(g.model([(dense, FLOAT, [1, SIZE])])), {"x": np.ones((2, SIZE), np.float32)})
    with pytest.raises(CompileError, match=r"no path depends on the input.*--shape"):
        weft.compile(model, batch=4)
