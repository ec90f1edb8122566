"""`weft run --requests`: figures, wrong usage, and times that are the partitioner's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sample_program import adder

from weft.api import deployment
from weft.api.deployment import DeploymentOptions, deploy, task_nanoseconds
from weft.bench import BENCHMARKS
from weft.compiler import compile as compile_model
from weft.deployment import Arrivals
from weft.errors import WeftError
from weft.frontend import load
from weft.partition.costs import host_profile
from weft_runtime.dispatch import Phase, tasks_of

KEYS = {
    "arrivals", "host", "devices", "queue", "overlap", "answers_checked", "requests", "completed", "rejected",
    "seconds", "throughput", "latency_p50", "latency_p90", "latency_p99", "latency_max", "serial_seconds", "parts",
    "busiest", "limit", "efficiency", "paths",
}  # fmt: skip


def test_figures_table_trace_and_report(weft: Callable, artifact: Path, tmp_path: Path) -> None:
    files = tmp_path / "trace.json", tmp_path / "page.html"
    options = ("--requests", 50, "--host", "cortex-a72", "--devices", 2)
    answer = weft("run", artifact, *options, "--trace", files[0], "--report", files[1], "--json")
    assert answer.status == 0
    found = answer.data["deployment"]
    assert found.keys() == KEYS and answer.data["cycles"] > 0
    assert (found["requests"], found["completed"], found["rejected"], found["answers_checked"]) == (50, 50, 0, 4)
    assert (found["arrivals"], found["host"], found["devices"]) == ("saturating", "cortex-a72", 2) and found["overlap"]
    assert [part["name"] for part in found["parts"]] == ["host", "bus", "weft-16 #0", "weft-16 #1"]
    assert 0.95 <= found["efficiency"] <= 1.0
    serial = weft("run", artifact, *options, "--no-overlap", "--json").data["deployment"]
    assert serial["throughput"] == pytest.approx(1 / serial["serial_seconds"])
    assert serial["throughput"] < found["throughput"]
    assert serial == weft("run", artifact, *options, "--no-overlap", "--json").data["deployment"]
    events = json.loads(files[0].read_text())["traceEvents"]
    assert sum(event["ph"] == "s" for event in events) == 50
    assert '"requests":{"title":"50 requests, arrivals saturating' in files[1].read_text()
    text = weft("run", artifact, "--requests", 20, "--arrival", "poisson:100").out
    assert "20 requests, arrivals poisson:100" in text and "requests per second" in text and "overlapped equal" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("--arrival", "poisson:5"), ("--devices", "2"), ("--queue", "3"), ("--no-overlap",), ("--requests", "0"),
        ("--requests", "3", "--arrival", "often"), ("--requests", "3", "--arrival", "poisson:-1"),
        ("--requests", "3", "--host", "nobody"), ("--requests", "3", "--queue", "0"),
        ("--requests", "3", "--device", "rtl", "--waves", "x.fst"),
    ],
)  # fmt: skip
def test_wrong_usage(weft: Callable, artifact: Path, arguments: tuple[str, ...]) -> None:
    answer = weft("run", artifact, *arguments)
    assert answer.status == 2 and not answer.out and "Traceback" not in answer.err


def test_a_device_without_time_cannot_play(weft: Callable, artifact: Path) -> None:
    answer = weft("run", artifact, "--requests", 3, "--device", "golden")
    assert answer.status == 1 and "'golden' has no time" in answer.err and "'sim'" in answer.err


def test_given_inputs_are_the_requests(weft: Callable, artifact: Path, tmp_path: Path) -> None:
    inputs = {name: np.arange(60 * 3, dtype=np.int8).reshape(3, 3, 5, 4) for name in ("a", "b")}
    np.savez(tmp_path / "in.npz", **inputs)
    answer = weft("run", artifact, "--input", tmp_path / "in.npz", "--requests", 9, "--json").data
    assert (answer["inputs"], answer["deployment"]["answers_checked"]) == ("given", 3)


def test_a_wrong_overlapped_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "_same", lambda found, expected: False)
    with pytest.raises(WeftError, match="request 0: output 'y' differs from the serial answer"):
        deploy(adder(), DeploymentOptions(4, Arrivals("saturating")))


def test_times_are_those_of_the_partition(qdq_path: Path) -> None:
    profile = host_profile("cortex-a53")
    executable = compile_model(load(qdq_path), host=profile, pins={"conv": "accelerator"})
    (region,) = executable.regions
    times = dict.fromkeys(Phase, 0)
    for task, duration in zip(tasks_of(executable), task_nanoseconds(executable, profile, [5000]), strict=True):
        times[task.phase] += duration
    assert executable.partition is not None
    chosen = next(each for each in executable.partition.candidates if each.name == executable.partition.chosen)
    assert times[Phase.HOST] == chosen.host > 0
    moved = times[Phase.PACK] + times[Phase.SEND] + times[Phase.RECEIVE] + times[Phase.UNPACK]
    assert moved == pytest.approx(chosen.transfers, abs=4)  # rounded up piece by piece
    assert times[Phase.LAUNCH] == chosen.launches + 5000  # at 1 GHz a cycle is a nanosecond
    assert times[Phase.SEND] == -(-region.inputs[0].layout.nbytes * 10 // 32)  # 3.2 GB/s
    faster = replace(profile, bus_gbytes=6.4)
    assert sum(task_nanoseconds(executable, faster, [5000])) < sum(times.values())


def test_the_benchmarks_of_compiling_and_deploying(shared_models: Path) -> None:
    compiled = BENCHMARKS["compile"].run(network="resnet18", size="32")
    assert compiled["peak_bytes"] > 50e6 and compiled["cpu_seconds"] > 0 and compiled["artifact_bytes"] > 11e6
    stages = ["load", "normalize", "integerize", "recognize", "partition", "emit", "package", "save"]
    assert [each["stage"] for each in compiled["stages"]] == ["start and imports", *stages]
    assert sum(each["seconds"] for each in compiled["stages"]) == pytest.approx(compiled["seconds"])
    with pytest.raises(ValueError, match="unknown network 'vgg'"):
        BENCHMARKS["compile"].run(network="vgg")
    figures = BENCHMARKS["deployment"].run(models=str(shared_models), hosts="cortex-a53", detectors="UltraFace")
    assert figures["within_goal"] and figures["least_reached"] >= 0.95
    alone, overlapped, two = figures["deployments"]
    assert (alone["overlap"], overlapped["overlap"], two["devices"]) == (False, True, 2)
    assert alone["reached"] < 0.9 * overlapped["reached"] and alone["answers_checked"] == 4
    with pytest.raises(ValueError, match="unknown detector 'YOLO'"):
        BENCHMARKS["deployment"].run(detectors="YOLO")
    with pytest.raises(WeftError, match="set models=FOLDER"):
        BENCHMARKS["deployment"].run(models="nowhere")
