"""Requests of dynamic programs that overlap: in a session's threads, and in simulated time."""

from __future__ import annotations

import dataclasses
import json
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx_writer import FLOAT, GraphWriter

import weft
from weft.api.deployment import DeploymentOptions, DeploymentReport, deploy
from weft.cli import main
from weft.deployment import Arrivals, Setting, play
from weft.errors import InputError, WeftError
from weft.frontend import load
from weft.partition.costs import host_profile
from weft.program import Program
from weft.report import write_html, write_trace
from weft_runtime.dispatch import BUS, HOST, CourseDispatcher, Part, Phase, Task
from weft_runtime.errors import SessionError

pytest.importorskip("sklearn")
import itertools

from networks import NETWORKS, Network

SLOW_HOST = dataclasses.replace(
    host_profile("cortex-a53"), name="slow", node_microseconds=1e6, launch_microseconds=0, transfer_microseconds=0
)


@cache
def network(name: str) -> Network:
    return NETWORKS[name]()


@cache
def built(name: str, driver: str = "host", batch: int = 1) -> Program:
    found = network(name)
    model = weft.quantize(load(found.model), {key: rows[:100] for key, rows in found.inputs.items()})
    return weft.compile(model, host=SLOW_HOST, driver="host" if driver == "host" else "device", batch=batch)


def samples(name: str, count: int) -> list[dict[str, np.ndarray]]:
    inputs = network(name).inputs
    return [{key: rows[index : index + 1] for key, rows in inputs.items()} for index in range(count)]


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    for key, array in wanted.items():
        assert (found[key].shape, found[key].tobytes()) == (array.shape, array.tobytes())


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("driver", ["host", "device"])
@pytest.mark.parametrize("name", ["early_exit", "halting", "scanned"])
def test_overlapping_answers_are_the_plain_ones(name: str, driver: str, devices: int) -> None:
    program = built(name, driver)
    with weft.Session(program) as plain, weft.Session(program, devices=devices, queue=8) as session:
        futures = [session.submit(each) for each in samples(name, 40)]
        for each, future in zip(samples(name, 40), futures, strict=True):
            same(future.result(), plain.run(each))


def test_several_samples_in_one_submission_keep_their_order() -> None:
    rows = {key: array[:12] for key, array in network("early_exit").inputs.items()}
    with weft.Session(built("early_exit")) as plain, weft.Session(built("early_exit", batch=4)) as session:
        wanted = plain.run(rows)
        same(session.submit(rows).result(), wanted)
        assert session.profile.paths == plain.profile.paths
        assert session.profile.transfer_bytes == plain.profile.transfer_bytes
        same(session.run(rows), wanted)  # joins the others


def test_errors_belong_to_their_request(monkeypatch: pytest.MonkeyPatch) -> None:
    from weft_runtime import seat

    with weft.Session(built("halting")) as session:
        good = session.submit(samples("halting", 1)[0])
        good.result()
        with pytest.raises(InputError):
            session.submit({"vector": np.zeros((1, 3), np.float32)})
        room = seat.find_room
        monkeypatch.setattr(seat, "find_room", lambda *each: None)
        with pytest.raises(WeftError, match="device memory are left"):
            session.submit(samples("halting", 1)[0]).result()
        monkeypatch.setattr(seat, "find_room", room)
        same(session.submit(samples("halting", 1)[0]).result(), good.result())


def test_what_has_not_begun_can_be_cancelled() -> None:
    with weft.Session(built("decoder"), queue=32) as session:
        futures = [session.submit(each) for each in samples("decoder", 30)]
        count = session.cancel()
        assert sum(future.cancelled() for future in futures) == count
        done = [future for future in futures if not future.cancelled()]
        assert all(future.result() for future in done)
    with pytest.raises(SessionError, match="closed"):
        session.submit(samples("decoder", 1)[0])


def test_from_several_threads() -> None:
    program, found = built("if_in_loop"), {}
    rows = samples("if_in_loop", 18)
    with weft.Session(program) as session:

        def work(first: int) -> None:
            for index in range(first, len(rows), 3):
                found[index] = session.submit(rows[index]).result()

        threads = [threading.Thread(target=work, args=(first,)) for first in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with weft.Session(program) as plain:
        for index, each in enumerate(rows):
            same(found[index], plain.run(each))


def played(name: str, program: Program | None = None, **options: Any) -> DeploymentReport:
    wishes = DeploymentOptions(60, options.pop("arrivals", Arrivals("saturating")), "cortex-a53", **options)
    inputs = {key: rows[:20] for key, rows in network(name).inputs.items()}
    return deploy((program or built(name)).executable, wishes, inputs)


@pytest.mark.parametrize("name", ["early_exit", "if_in_loop"])
def test_a_deployment_follows_every_requests_path(name: str) -> None:
    together, alone = played(name), played(name, at_once=1)
    assert together.answers_checked == 20
    assert together.figures.throughput > alone.figures.throughput
    assert together.figures.efficiency <= 1 + 1e-9
    with weft.Session(built(name)) as session:
        for index, each in enumerate(samples(name, 20)):
            session.run(each)
            setting = together.played.setting
            assert setting.paths[index] == " ".join(step.outcome for step in session.profile.paths[0])
            launches = sum(task.phase is Phase.LAUNCH for task in setting.courses[index])
            assert launches == session.profile.launches
            moved = sum(task.phase in (Phase.SEND, Phase.RECEIVE) for task in setting.courses[index])
            assert moved == session.profile.transfers
    figures = together.figures
    assert len(figures.paths) > 1 and sum(each.requests for each in figures.paths) == figures.completed == 60
    assert [each.requests for each in figures.paths] == sorted((each.requests for each in figures.paths), reverse=True)
    for each in alone.figures.paths:  # of a closed system, 16 wait, and each has its turn
        assert each.latency_p50 >= each.serial_seconds


def test_one_request_computes_while_another_one_is_on_the_host() -> None:
    """Of two requests on different paths, tasks run in each one's order, a part does one at a time, and the device
    works for one while the host works for the other."""
    report = played("early_exit", arrivals=Arrivals("closed", clients=2))
    spans = report.played.occupations
    for number in range(60):
        own = [each for each in spans if each.request == number]
        assert [each.task for each in own] == list(range(len(report.played.setting.tasks_of(number))))
        assert all(before.end <= after.start for before, after in itertools.pairwise(own))
    for part in report.played.parts:
        own = sorted((each.start, each.end) for each in spans if each.part == part)
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(own))
    on_host = [(each.start, each.end, each.request) for each in spans if each.part == HOST]
    launched = [(each.start, each.end, each.request) for each in spans if each.part.kind == "device"]
    assert any(
        start < other_end and other_start < end and request != other
        for start, end, request in launched
        for other_start, other_end, other in on_host
    )


def test_batches_do_not_change_what_is_played() -> None:
    assert played("early_exit", built("early_exit", batch=4)).figures == played("early_exit").figures


def test_reports_and_traces_name_the_tasks(tmp_path: Path) -> None:
    report = played("early_exit")
    write_trace(report.run.profile, tmp_path / "trace.json", report.view)
    events = json.loads((tmp_path / "trace.json").read_text())
    text = json.dumps(events)
    assert "value receive" in text and "region_0 launch" in text and "host_0" in text
    write_html(
        report.run.profile, tmp_path / "page.html", "x", executable=report.run.executable, deployment=report.view
    )
    assert "value receive" in (tmp_path / "page.html").read_text()
    found = json.loads(json.dumps(report.to_dict()))["deployment"]["paths"]
    assert {"path", "requests", "latency_p50", "latency_p99", "serial_seconds"} == found[0].keys()


def test_a_device_without_time_is_refused() -> None:
    inputs = {key: rows[:2] for key, rows in network("halting").inputs.items()}
    with pytest.raises(WeftError, match="has no time"):
        deploy(built("halting").executable, DeploymentOptions(4, Arrivals("saturating")), inputs, device="golden")


LAUNCH, FIRST, SEND = Task(-1, Phase.LAUNCH, 0, 0), Task(0, Phase.HOST), Task(-1, Phase.SEND, 0, 0)


def test_slots_are_given_to_the_oldest_and_come_back() -> None:
    courses = [(FIRST, SEND, LAUNCH), (FIRST,), (), (LAUNCH,)]

    def following(request: int, index: int) -> Task | None:
        return courses[request][index] if index < len(courses[request]) else None

    dispatcher = CourseDispatcher([0], following, devices=1, buffers=2)
    assert dispatcher.parts == (HOST, BUS, Part("device"))
    assert [dispatcher.admit(number) for number in range(4)] == [False, False, True, False]
    first = dispatcher.take(HOST)
    assert first is not None and first.request == 0 and dispatcher.take(Part("device")) is None  # 3 has no slot yet
    assert not dispatcher.finish(first)
    second = dispatcher.take(HOST)
    assert second is not None and second.slot != first.slot and dispatcher.finish(second)
    launch = dispatcher.take(Part("device"))
    assert launch is not None and (launch.request, launch.slot) == (3, second.slot)
    dispatcher.drop(0)
    assert dispatcher.take(BUS) is None
    assert dispatcher.finish(launch)
    with pytest.raises(ValueError, match="cannot work"):
        CourseDispatcher([0], following, buffers=0)


def test_settings_of_several_paths_are_checked() -> None:
    setting = Setting((), ((5, 7), (3,)), courses=((FIRST, LAUNCH), (FIRST,)), paths=("then", "else"))
    result = play(setting, Arrivals("saturating"), 4)
    assert [each.end for each in result.served] == [12, 8, 20, 16]
    for change in ({"tasks": (FIRST,)}, {"paths": ("then",)}, {"nanoseconds": ((5, 7), (3, 1))}):
        with pytest.raises(WeftError, match="needs"):
            dataclasses.replace(setting, **change)


def test_a_program_whose_outputs_are_ready_at_once() -> None:
    """A request of few tasks among others of many ends without them."""
    g = GraphWriter()
    matrix = np.eye(8, dtype=np.float32)
    state = g.value("vector", FLOAT, [1, 8])
    then, otherwise = g.body(), g.body()
    ours = then.dense(state, matrix, np.zeros(8, np.float32))
    level = g.node("ReduceMax", [state], keepdims=0)
    result = g.if_(g.above(level, 0.0), then, [ours], otherwise, [state])
    rows = np.random.default_rng(1).standard_normal((40, 8)).astype(np.float32)
    rows[::2] = -np.abs(rows[::2])
    model = weft.quantize(load(g.model([(result, FLOAT, [1, 8])])), {"vector": rows})
    with weft.Session(weft.compile(model)) as plain, weft.Session(weft.compile(model)) as session:
        futures = [session.submit({"vector": row[None]}) for row in rows]
        for row, future in zip(rows, futures, strict=True):
            same(future.result(), plain.run({"vector": row[None]}))


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(network("early_exit").model, tmp_path / "model.onnx")
    rows = {"image": network("early_exit").inputs["image"][:12]}
    np.savez(tmp_path / "rows.npz", **rows)
    compiled, given = str(tmp_path / "model.weft"), ("--input", str(tmp_path / "rows.npz"))
    calibrated = ("--calibration", str(tmp_path / "rows.npz"))
    assert main(["compile", str(tmp_path / "model.onnx"), "-o", compiled, *calibrated, "--batch", "4"]) == 0
    assert main(["explain", compiled]) == 0
    assert "; together: 2 (" in capsys.readouterr().out
    assert main(["run", compiled, *given, "--requests", "24"]) == 0
    assert "path" in capsys.readouterr().out
    assert main(["run", compiled, *given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["launches"] < 2
    for batch in ("0", "257"):
        assert main(["compile", str(tmp_path / "model.onnx"), "-o", compiled, "--batch", batch]) == 2
