"""Requests that overlap: equal answers, errors in their own future, bounded queues, shared and several devices, and an
end without threads left."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sample_program import adder

from weft_runtime import Session, SharedDevices, shared_devices
from weft_runtime.devices import GoldenDevice, SimulatorDevice
from weft_runtime.errors import InputError, SessionError
from weft_runtime.executable import Executable, Processor, Step, TensorSignature
from weft_runtime.npu import machine_of
from weft_runtime.sharing import Turnstile
from weft_sim import simulator
from weft_sim.errors import DeviceFault
from weft_sim.machine import machine
from weft_sim.result import RunOptions, RunResult

PATIENCE = 30.0
Inputs = dict[str, np.ndarray]


def inputs(seed: int, samples: int = 1) -> Inputs:
    draw = np.random.default_rng(seed)
    return {name: draw.integers(-128, 128, (samples, 3, 5, 4)).astype(np.int8) for name in ("a", "b")}


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def weft_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("weft-")]


class GatedDevice(GoldenDevice):
    """Launches wait for `gate`, and are counted."""

    name = "gated"

    def __init__(self, processor: Processor, dram_bytes: int, options: RunOptions) -> None:
        super().__init__(machine_of(processor), dram_bytes, options)
        self.gate, self.begun, self.launches, self.fails_at = threading.Event(), threading.Event(), 0, -1
        self.at_once = self.most_at_once = 0

    def launch(self, program_address: int, program_bytes: int, registers: Sequence[int]) -> RunResult:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun.set()
        assert self.gate.wait(PATIENCE)
        self.launches += 1
        try:
            if self.launches == self.fails_at:
                raise DeviceFault("region 'region_0', instruction 3: bad_address")
            return super().launch(program_address, program_bytes, registers)
        finally:
            self.at_once -= 1


class Gates:
    """Opens gated devices and remembers them."""

    def __init__(self) -> None:
        self.opened: list[GatedDevice] = []

    def __call__(self, processor: Processor, dram_bytes: int, options: RunOptions) -> GatedDevice:
        self.opened.append(GatedDevice(processor, dram_bytes, options))
        return self.opened[-1]


@pytest.mark.parametrize("devices", [1, 3])
def test_overlapped_answers_are_the_serial_ones(devices: int) -> None:
    asked = [inputs(seed, samples=1 + seed % 3) for seed in range(24)]
    with Session(adder()) as session:
        expected = [session.run(each) for each in asked]
        cycles = session.profile.cycles
    with Session(adder(), devices=devices, queue=5) as session:
        futures = [session.submit(each) for each in asked]
        for future, answer in zip(futures, expected, strict=True):
            assert_equal(future.result(PATIENCE), answer)
        assert session.profile.cycles == cycles and session.profile.host_seconds > 0
        assert_equal(session.run(asked[0]), expected[0])  # joins the others
        assert len(session._devices) == devices
    assert not weft_threads()


def test_host_and_device_work_at_the_same_time() -> None:
    gates = Gates()
    with Session(adder(), gates) as session:
        first, second = session.submit(inputs(1)), session.submit(inputs(2))
        device = gates.opened[-1]
        assert device.begun.wait(PATIENCE)
        area = session.memory.regions[0].areas[1]
        deadline = time.monotonic() + PATIENCE
        while not device.read(area, 8).any() and time.monotonic() < deadline:
            time.sleep(0.001)
        # The second request has been packed and sent while the first one is still on the device.
        assert device.read(area, 8).any() and not first.done()
        device.gate.set()
        assert_equal(second.result(PATIENCE), Session(adder(), "golden").run(inputs(2)))
        assert device.most_at_once == 1


def test_an_error_reaches_its_own_future_alone() -> None:
    gates = Gates()
    with Session(adder(), gates) as session:
        futures = [session.submit(inputs(seed)) for seed in range(4)]
        device = gates.opened[-1]
        device.fails_at = 2
        device.gate.set()
        with pytest.raises(DeviceFault, match="bad_address"):
            futures[1].result(PATIENCE)
        for index in (0, 2, 3):
            assert_equal(futures[index].result(PATIENCE), Session(adder(), "golden").run(inputs(index)))
        with pytest.raises(InputError, match="'b' is missing"):
            session.submit({"a": inputs(0)["a"]})
        broken = session.submit(inputs(9, samples=5))  # a fault in one of five samples is the whole answer
        device.fails_at = device.launches + 2
        with pytest.raises(DeviceFault):
            broken.result(PATIENCE)
        assert_equal(session.submit(inputs(3)).result(PATIENCE), Session(adder(), "golden").run(inputs(3)))
    assert not weft_threads()


def test_a_full_queue_makes_submit_wait() -> None:
    gates = Gates()
    with Session(adder(), gates, queue=2) as session, ThreadPoolExecutor(1) as pool:
        session.submit(inputs(0))
        session.submit(inputs(1))
        third = pool.submit(session.submit, inputs(2))
        time.sleep(0.05)
        assert not third.done()
        gates.opened[-1].gate.set()
        assert_equal(third.result(PATIENCE).result(PATIENCE), Session(adder(), "golden").run(inputs(2)))


def test_closing_finishes_what_was_submitted_and_refuses_what_waits() -> None:
    gates = Gates()
    session = Session(adder(), gates, queue=2)
    futures = [session.submit(inputs(seed)) for seed in range(2)]
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(session.submit, inputs(2))
        time.sleep(0.02)
        closing = pool.submit(session.close)
        with pytest.raises(SessionError, match="closed"):
            waiting.result(PATIENCE)
        assert not closing.done()
        gates.opened[-1].gate.set()
        closing.result(PATIENCE)
    assert all(future.done() for future in futures)
    session.close()
    with pytest.raises(SessionError, match="closed"):
        session.submit(inputs(0))
    assert not weft_threads()


def test_what_has_not_begun_can_be_cancelled() -> None:
    gates = Gates()
    with Session(adder(), gates) as session:
        futures = [session.submit(inputs(seed)) for seed in range(8)]
        assert gates.opened[-1].begun.wait(PATIENCE)
        assert futures[-1].cancel() and not futures[0].cancel()
        cancelled = 1 + session.cancel()
        gates.opened[-1].gate.set()
        ended = [future.exception(PATIENCE) if not future.cancelled() else CancelledError() for future in futures]
        assert sum(isinstance(each, CancelledError) for each in ended) == cancelled >= 1
        assert ended[0] is None
    assert not weft_threads()


def test_an_exception_in_the_block_cancels_and_closes() -> None:
    gates = Gates()
    futures: list[Future[Any]] = []
    with pytest.raises(KeyError), Session(adder(), gates) as session:
        futures += [session.submit(inputs(seed)) for seed in range(12)]
        gates.opened[-1].gate.set()
        raise KeyError("mine")
    assert all(future.done() for future in futures) and not weft_threads()


def test_callbacks_may_submit_close_and_fail() -> None:
    answers: list[dict[str, Any]] = []
    done = threading.Event()
    session = Session(adder(), "golden", queue=1)

    def again(future: Future[Any]) -> None:
        answers.append(future.result())
        if len(answers) < 5:
            session.submit(inputs(len(answers))).add_done_callback(again)
        else:
            session.close()
            done.set()

    session.submit(inputs(0)).add_done_callback(again)
    assert done.wait(PATIENCE)
    session.close()
    for index, answer in enumerate(answers):
        assert_equal(answer, Session(adder(), "golden").run(inputs(index)))
    with Session(adder(), "golden") as other:
        other.submit(inputs(0)).add_done_callback(lambda future: 1 // 0)
        other.submit(inputs(1)).result(PATIENCE)


def test_two_sessions_share_a_device_and_take_turns() -> None:
    gates = Gates()
    lock, now, most = threading.Lock(), 0, 0

    class Counting(SimulatorDevice):
        def launch(self, program_address: int, program_bytes: int, registers: Sequence[int]) -> RunResult:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.002)
            result = super().launch(program_address, program_bytes, registers)
            with lock:
                now -= 1
            return result

    for count in (1, 2):
        most = 0
        shared = SharedDevices(lambda processor, *rest: Counting(machine_of(processor), *rest), count)
        with Session(adder(), shared) as one, Session(adder(scale=0.25), shared) as two:
            futures = [
                (each, session.submit(inputs(seed))) for seed in range(12) for each, session in enumerate((one, two))
            ]
            for number, (which, future) in enumerate(futures):
                expected = Session(adder(scale=(0.5, 0.25)[which]), "golden").run(inputs(number // 2))
                assert_equal(future.result(PATIENCE), expected)
        assert most == count
    assert not gates.opened
    with Session(adder(), shared_devices("golden")) as session:
        assert_equal(session.submit(inputs(0)).result(PATIENCE), Session(adder(), "golden").run(inputs(0)))


def test_variants_take_turns_on_the_session_s_device() -> None:
    small, large = (replace(adder(shape=(batch, 3, 5, 4)), extents=(("batch", batch),)) for batch in (1, 2))
    from weft_runtime import Variants

    with Session(Variants((small, large))) as session:
        futures = [session.submit(inputs(seed, samples=1 + seed % 2)) for seed in range(10)]
        for seed, future in enumerate(futures):
            assert_equal(future.result(PATIENCE), Session(adder(), "golden").run(inputs(seed, samples=1 + seed % 2)))
        assert len(session._pipelines) == 2


def test_many_threads_submit_and_run() -> None:
    expected = [Session(adder(), "golden").run(inputs(seed)) for seed in range(40)]
    with Session(adder(), devices=2, queue=3) as session, ThreadPoolExecutor(8) as pool:
        ways = [
            session.run if seed % 3 == 0 else lambda each: session.submit(each).result(PATIENCE) for seed in range(40)
        ]
        futures = [pool.submit(way, inputs(seed)) for seed, way in enumerate(ways)]
        for future, answer in zip(futures, expected, strict=True):
            assert_equal(future.result(PATIENCE), answer)


def test_a_model_without_device_steps_and_one_without_steps() -> None:
    whole = adder()
    only_host = replace(
        whole, regions=(), steps=(Step("host", 0),), inputs=(TensorSignature("sum", "int8", ("batch", 3, 5, 4)),),
        outputs=whole.outputs[:1],
    )  # fmt: skip
    values = inputs(0)["a"]
    with Session(only_host) as session:
        answer = session.submit({"sum": values}).result(PATIENCE)
        np.testing.assert_array_equal(answer["y"], values * np.float32(0.5))
    nothing: Executable = replace(only_host, host_graphs=(), steps=(), outputs=only_host.inputs)
    with Session(nothing) as session:
        answer = session.submit({"sum": values}).result(PATIENCE)
        np.testing.assert_array_equal(answer["sum"], values)
        assert answer["sum"] is not values


def test_a_session_that_nobody_closes_ends_by_itself() -> None:
    future = Session(adder(), "golden").submit(inputs(0))
    assert_equal(future.result(PATIENCE), Session(adder(), "golden").run(inputs(0)))
    gc.collect()
    deadline = time.monotonic() + PATIENCE
    while weft_threads() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert not weft_threads()


def test_impossible_sessions_and_submitting_from_run_are_refused() -> None:
    for wish in ({"devices": 0}, {"queue": 0}):
        with pytest.raises(SessionError, match="at least 1 device"):
            Session(adder(), **wish)
    with pytest.raises(ValueError, match="0 devices"):
        shared_devices("golden", 0)
    with Session(adder(), "golden") as session:
        with pytest.raises(SessionError, match="progress callback"):
            session.run(inputs(0), lambda done, total: session.submit(inputs(1)) and None)
        session.run(inputs(0))


def test_the_simulator_runs_in_several_threads_at_once() -> None:
    """Its calls release the interpreter's lock: results must not depend on what runs beside them."""
    config = machine("weft-16")
    with Session(adder(config)) as session:
        session.run(inputs(0))
        memory, region = session._devices[0].read(0, session.memory.dram_bytes), session.executable.regions[0]
        placed = session.memory.regions[0]
    alone = memory.copy()
    count = len(region.sources)
    expected = simulator.run(config, alone, placed.program, count, placed.registers)

    def once(seed: int) -> tuple[RunResult, bytes]:
        own = memory.copy()
        return simulator.run(config, own, placed.program, count, placed.registers), own.tobytes()

    with ThreadPoolExecutor(4) as pool:
        for result, left in pool.map(once, range(200)):
            assert left == alone.tobytes()
            assert (result.cycles, result.units) == (expected.cycles, expected.units)
            np.testing.assert_array_equal(result.events, expected.events)


def test_turnstiles_are_passed_in_order_of_arrival() -> None:
    stile, order = Turnstile(), []
    threads = []

    def passing(number: int) -> None:
        with stile.turn():
            order.append(number)

    with stile.turn():
        for number in range(6):
            threads.append(threading.Thread(target=passing, args=(number,)))
            threads[-1].start()
            while len(stile._queue) <= number:
                time.sleep(0.0005)
    for thread in threads:
        thread.join(PATIENCE)
    assert order == list(range(6))
