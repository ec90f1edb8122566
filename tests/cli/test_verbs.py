"""The command line on artifacts: what each verb prints where, and its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from sample_program import TimedDevice, adder, expected_sum

from weft.api import execution
from weft.bench import BENCHMARKS, Benchmark
from weft.cli.app import VERBS
from weft_runtime import artifact as artifacts
from weft_runtime import devices
from weft_sim.isa import INSTRUCTION_BYTES, decode

RUN_KEYS = {
    "device", "cycles", "macs", "utilization", "host_seconds", "wall_seconds", "transfers", "transfer_bytes",
    "samples", "calibration",
}  # fmt: skip


def one_line(text: str) -> bool:
    return text.startswith("weft: ") and text.count("\n") == 1 and text.endswith("\n")


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_help_has_an_example(weft: Callable, verb: str) -> None:
    answer = weft(verb, "--help")
    assert answer.status == 0 and "Example:" in answer.out and f"weft {verb}" in answer.out


def test_version_and_bare_call(weft: Callable) -> None:
    assert weft("--version").out.startswith("weft ")
    assert "compile" in weft("--help").out


@pytest.mark.parametrize(
    "arguments",
    [
        ("fly",),
        ("run",),
        ("run", "x.weft", "--wings"),
        ("run", "x.weft", "--device", "fpga"),
        ("run", "x.weft", "--target", "weft-9"),
        ("verify", "x.onnx", "--samples", "0"),
        ("verify", "x.onnx", "--samples", "many"),
        ("compile", "x.onnx"),
        ("compile", "x.onnx", "-o", "x.weft", "--shape", "H=0"),
        ("bench", "fly"),
    ],
)
def test_wrong_usage_is_status_2(weft: Callable, arguments: tuple[str, ...]) -> None:
    answer = weft(*arguments)
    assert answer.status == 2 and not answer.out and "Traceback" not in answer.err


def test_run_an_artifact(weft: Callable, artifact: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    inputs = {name: generator.integers(-128, 128, (2, 3, 5, 4)).astype(np.int8) for name in ("a", "b")}
    np.savez(tmp_path / "in.npz", **inputs)
    outputs = tmp_path / "out.npz"
    answer = weft("run", artifact, "--device", "golden", "--input", tmp_path / "in.npz", "--output", outputs, "--json")
    assert answer.status == 0 and not answer.err
    assert answer.data.keys() >= RUN_KEYS
    assert (answer.data["samples"], answer.data["inputs"], answer.data["device"]) == (2, "given", "golden")
    with np.load(outputs) as found:
        np.testing.assert_array_equal(found["sum"], expected_sum(inputs["a"], inputs["b"]))
    text = weft("run", artifact, "-d", "golden")
    assert "region_0" in text.out and "random inputs (seed 0)" in text.err


def test_trace_and_report_files(
    weft: Callable, artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(devices._factories, "timed", TimedDevice)
    files = tmp_path / "trace.json", tmp_path / "page.html"
    answer = weft("run", artifact, "-d", "timed", "--trace", files[0], "--report", files[1], "--json")
    layers = {layer["name"]: layer["cycles"] for layer in answer.data["layers"]}
    assert layers == {"(launch)": 41, "Add_0": 20, "Bias:1": 30}
    assert answer.data["units"]["vpu"] == {"busy": 20, "stalls": {"token": 5}}
    assert answer.data["cycles"] == 91 and answer.data["utilization"] == pytest.approx(1000 / (91 * 256))
    assert any(event["name"] == "Bias:1" for event in json.loads(files[0].read_text())["traceEvents"])
    assert "Bias:1" in files[1].read_text()
    refused = weft("run", artifact, "-d", "golden", "--trace", tmp_path / "none.json")
    assert refused.status == 1 and one_line(refused.err) and "recorded no events" in refused.err
    assert not (tmp_path / "none.json").exists()


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"a": np.zeros((1, 3, 5, 4), np.int8)}, "input 'b' is missing"),
        ({name: np.zeros((1, 3, 5, 4), np.int8) for name in "abc"}, "no input 'c'"),
        ({name: np.zeros((1, 3, 5, 4), np.float32) for name in "ab"}, "input 'a' must be int8"),
        ({name: np.zeros((1, 3, 5), np.int8) for name in "ab"}, "input 'a' must have shape [batch, 3, 5, 4]"),
        ({name: np.array([{}], object) for name in "ab"}, "cannot read the arrays"),
    ],
)
def test_wrong_inputs(
    weft: Callable, artifact: Path, tmp_path: Path, arrays: dict[str, np.ndarray], reason: str
) -> None:
    np.savez(tmp_path / "in.npz", **arrays)
    answer = weft("run", artifact, "-d", "golden", "-i", tmp_path / "in.npz", "--json")
    assert answer.status == 1 and not answer.out and one_line(answer.err) and reason in answer.err


def test_models_and_artifacts_at_fault(weft: Callable, artifact: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.weft"
    damaged.write_bytes(artifact.read_bytes()[:-1] + b"\0")
    (tmp_path / "noise.onnx").write_bytes(b"noise")
    cases: list[tuple[object, ...]] = [
        ("run", damaged),
        ("disasm", damaged),
        ("run", tmp_path / "missing.onnx"),
        ("run", tmp_path),
        ("explain", tmp_path / "noise.onnx"),
        ("compile", tmp_path / "noise.onnx", "-o", tmp_path / "out.weft"),
        ("verify", tmp_path / "noise.onnx"),
        ("verify", artifact),
        ("compile", artifact, "-o", tmp_path / "out.weft"),
        ("run", artifact, "--target", "weft-8"),
        ("run", artifact, "--target", tmp_path / "none.json"),
        ("run", artifact, "-d", "golden", "-o", tmp_path / "no" / "out.npz"),
    ]
    for case in cases:
        answer = weft(*case)
        assert answer.status == 1 and not answer.out and one_line(answer.err), (case, answer)


def test_a_fault_of_the_device_is_one_line(weft: Callable, tmp_path: Path) -> None:
    region = adder().regions[0]
    wrong = b"\xff" * INSTRUCTION_BYTES + region.instructions[INSTRUCTION_BYTES:]
    path = tmp_path / "wrong.weft"
    artifacts.save(replace(adder(), regions=(replace(region, instructions=wrong),)), path)
    answer = weft("run", path, "-d", "golden")
    assert answer.status == 1 and one_line(answer.err) and "instruction 0: illegal_opcode" in answer.err
    answer = weft("disasm", path)
    assert answer.status == 1 and one_line(answer.err) and "region 'region_0': instruction 0" in answer.err


def test_disasm_and_explain(weft: Callable, artifact: Path) -> None:
    text = weft("disasm", artifact).out.splitlines()
    assert len(text) == 10 and text[0] == "region_0:"
    assert "STORE" in text[5] and text[5].endswith("; Add_0") and "HALT" in text[9]
    listing = weft("disasm", artifact, "--json").data
    assert listing["regions"][0]["lines"] == text[1:]
    nodes = weft("explain", artifact, "--json").data["nodes"]
    assert [node["name"] for node in nodes] == ["Add_0", "Bias:1", "Dequantize"]
    assert nodes[0].keys() >= {"name", "op", "device", "reason", "estimated_cycles"}
    assert "Dequantize" in weft("explain", artifact).out


def test_check_finds_a_missing_token(weft: Callable, artifact: Path, tmp_path: Path) -> None:
    answer = weft("check", artifact, "--json")
    assert answer.status == 0 and answer.data["findings"] == [] and answer.data["instructions"] == 9
    region = adder().regions[0]
    parts = [
        region.instructions[start : start + INSTRUCTION_BYTES]
        for start in range(0, len(region.instructions), INSTRUCTION_BYTES)
    ]
    parts[4] = decode(parts[4]).replace(wait=0).encode()  # the STORE no longer waits for the sum
    racing = replace(adder(), regions=(replace(region, instructions=b"".join(parts)),))
    artifacts.save(racing, tmp_path / "racing.weft")
    answer = weft("check", tmp_path / "racing.weft", "--json")
    assert answer.status == 1 and one_line(answer.err)
    assert answer.data["findings"] and all("region_0" in finding for finding in answer.data["findings"])


def test_targets(weft: Callable) -> None:
    found = weft("targets", "--json").data["targets"]
    assert {"weft-8", "weft-16", "weft-32", "vta-16"} <= {each["name"] for each in found}
    assert all(each["lanes"] ** 2 == each["macs_per_cycle"] for each in found)
    assert "vta-16" in weft("targets").out


def test_benchmarks_are_found_by_name_and_given_their_options(weft: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("echo_benchmark")
    monkeypatch.setattr(module, "run", lambda size="1": {"size": int(size), "rate": 2.5}, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(BENCHMARKS, "echo", Benchmark("echo", "says what it was told", module.__name__))
    assert weft("bench", "echo", "--set", "size=7", "--json").data == {
        "benchmark": "echo",
        "size": 7,
        "rate": 2.5,
    }
    assert {"name": "echo", "summary": "says what it was told"} in weft("bench", "--json").data["benchmarks"]
    assert "rate" in weft("bench", "echo").out and "says what" in weft("bench").out
    for setting in ("size", "=7", "speed=1", "size=big"):
        assert weft("bench", "echo", "--set", setting).status == 2


def test_unforeseen_errors_are_one_line_unless_debugging(
    weft: Callable, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*arguments: object, **options: object) -> None:
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr(execution, "Session", explode)
    monkeypatch.delenv("WEFT_DEBUG", raising=False)
    answer = weft("run", artifact)
    assert answer.status == 1 and one_line(answer.err)
    assert "unexpected RuntimeError: first second" in answer.err and "WEFT_DEBUG=1" in answer.err
    monkeypatch.setenv("WEFT_DEBUG", "1")
    answer = weft("run", artifact)
    assert answer.status == 1 and "Traceback" in answer.err and not answer.out


def test_as_a_process_of_its_own(artifact: Path) -> None:
    command = [sys.executable, "-m", "weft.cli", "run", str(artifact), "-d", "golden", "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    good = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert good.returncode == 0 and json.loads(good.stdout)["samples"] == 1 and not good.stderr
    artifact.write_bytes(b"")
    bad = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert bad.returncode == 1 and one_line(bad.stderr) and not bad.stdout
