"""The command line on ONNX models, on the golden device: compile, run, verify, and where calibration comes
from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from weft.api import fused, preparation
from weft.api.verification import verify
from weft.frontend import load
from weft_runtime.executable import Executable

COMPILE_KEYS = {
    "target", "nodes", "offloaded_nodes", "macs", "offloaded_macs", "estimated_cycles", "instructions",
    "dram_bytes", "inexact", "seconds", "calibration",
}  # fmt: skip
VERIFY_KEYS = {
    "device", "elements", "mismatches", "max_abs_diff_lsb", "ort_default_mismatches", "samples",
    "calibration",
}  # fmt: skip
MACS = 6 * 5 * 4 * 3 * 9


def images(samples: int, dtype: str = "int8") -> np.ndarray:
    generator = np.random.default_rng(3)
    if dtype == "float32":
        return generator.standard_normal((samples, 3, 6, 5)).astype(np.float32)
    return generator.integers(-128, 128, (samples, 3, 6, 5)).astype(dtype)


def test_compile_then_run_answers_as_onnx_runtime(weft: Callable, qdq_path: Path, tmp_path: Path) -> None:
    x = images(3)
    np.savez(tmp_path / "in.npz", x=x)
    compiled = weft("compile", qdq_path, "-o", tmp_path / "model.weft", "--target", "weft-8", "--json")
    assert compiled.status == 0 and compiled.data.keys() >= COMPILE_KEYS
    assert (compiled.data["target"], compiled.data["calibration"]) == ("weft-8", "none")
    assert compiled.data["macs"] == compiled.data["offloaded_macs"] == MACS
    ran = weft(
        "run",
        tmp_path / "model.weft",
        "-d",
        "golden",
        "-i",
        tmp_path / "in.npz",
        "-o",
        tmp_path / "out.npz",
        "--json",
    )
    assert ran.data["samples"] == 3 and ran.data["macs"] == MACS and ran.data["target"] == "weft-8"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    plain = onnxruntime.InferenceSession(str(qdq_path), options, providers=["CPUExecutionProvider"])
    (expected,) = plain.run(["q"], {"x": x})
    with np.load(tmp_path / "out.npz") as found:
        assert found["q"].shape == (3, 4, 6, 5)
        # The literal QDQ text sums in float32: plausible is all this can be, verify has the exact reference.
        assert np.abs(found["q"].astype(int) - expected).max() <= 1


def test_verify_is_exact_and_counts_elements(weft: Callable, qdq_path: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=images(4))
    answer = weft("verify", qdq_path, "-d", "golden", "-i", tmp_path / "in.npz", "-k", "3", "--json")
    assert answer.status == 0 and answer.data.keys() >= VERIFY_KEYS
    assert answer.data["samples"] == 3 and answer.data["elements"] == 3 * 2 * 120
    assert answer.data["mismatches"] == 0 and answer.data["max_abs_diff_lsb"] == 0
    assert answer.data["inputs"] == "given" and answer.data["ort_default_mismatches"] is not None
    text = weft("verify", qdq_path, "-d", "golden", "--samples", "2")
    assert text.status == 0 and "every element agrees" in text.out and "2 random samples" in text.out
    assert weft("verify", qdq_path, "-d", "golden", "-i", tmp_path / "in.npz", "-k", "5").status == 1


def test_verify_finds_a_wrong_answer(
    weft: Callable, qdq_path: Path, make_qdq: Callable[..., onnx.ModelProto], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiler that raised the bias by two output steps: every element above the lower bound is two steps
    off."""
    compile_model = preparation.compile_model

    def miscompile(model: Any, *arguments: Any, **options: Any) -> Executable:
        return compile_model(load(make_qdq(2)), *arguments, **options)

    monkeypatch.setattr(preparation, "compile_model", miscompile)
    answer = weft("verify", qdq_path, "-d", "golden", "--json")
    assert answer.status == 1 and answer.err.startswith("weft: ") and answer.err.count("\n") == 1
    assert 50 < answer.data["mismatches"] <= 240
    steps = {each["name"]: each["max_abs_diff_lsb"] for each in answer.data["outputs"]}
    assert steps["q"] == 2
    assert steps["y"] == answer.data["max_abs_diff_lsb"] == pytest.approx(2, rel=1e-4)  # y is a float32


@pytest.mark.parametrize(
    ("options", "expected"), [((), "random"), (("-i",), "input"), (("-i", "--calibration"), "file")]
)
def test_float_models_are_quantized_first(
    weft: Callable, float_path: Path, tmp_path: Path, options: tuple[str, ...], expected: str
) -> None:
    np.savez(tmp_path / "in.npz", x=images(2, "float32"))
    arguments = [part for option in options for part in (option, tmp_path / "in.npz")]
    verified = weft("verify", float_path, "-d", "golden", *arguments, "--json")
    assert verified.status == 0 and verified.data["mismatches"] == 0
    assert verified.data["calibration"] == expected
    ran = weft("run", float_path, "-d", "golden", *arguments, "--json")
    assert ran.data["calibration"] == expected and ran.data["samples"] == (2 if options else 1)


def test_calibration_arrays_that_do_not_fit(weft: Callable, float_path: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", other=images(1, "float32"))
    for verb in (("run",), ("verify",), ("explain",), ("compile", "-o", tmp_path / "out.weft")):
        answer = weft(verb[0], float_path, *verb[1:], "--calibration", tmp_path / "other.npz")
        assert answer.status == 1 and answer.err.startswith("weft: ") and answer.err.count("\n") == 1
        assert "calibration" in answer.err
    assert not (tmp_path / "out.weft").exists()


def test_explain_names_every_node_with_a_reason(weft: Callable, qdq_path: Path) -> None:
    nodes = weft("explain", qdq_path, "--target", "weft-16", "--json").data["nodes"]
    assert any(node["device"] == "weft-16" and "conv" in node["name"] for node in nodes)
    assert all(node["reason"] for node in nodes)


def test_a_default_session_that_dies_is_reported_and_does_no_harm(
    make_qdq: Callable[..., onnx.ModelProto], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(make_qdq())
    sample = {"x": images(1)}
    alive = fused.run_fused(model, [sample])
    assert alive.samples is not None and alive.samples[0]["q"].shape == (1, 4, 6, 5)
    assert "fails" in fused.run_fused(model, [{}]).failure
    dying = tmp_path / "api" / "fused_worker.py"
    dying.parent.mkdir()
    dying.write_text("import os\nos.abort()\n")
    monkeypatch.setattr(fused, "__file__", str(dying.with_name("fused.py")))
    report = verify(model, sample, device="golden")
    assert report.exact and report.ort_default_mismatches is None
    assert "signal 6" in report.ort_default_failure


OFFLOADED: dict[str, Callable[[dict[str, Any]], bool]] = {
    "run": lambda data: data["transfers"] > 0,
    "compile": lambda data: data["offloaded_macs"] == MACS,
    "explain": lambda data: any(each["device"] != "host" for each in data["nodes"]),
}


@pytest.mark.parametrize("verb", ["run", "verify", "explain", "compile"])
def test_a_pin_counts_in_every_verb_that_compiles(weft: Callable, qdq_path: Path, tmp_path: Path, verb: str) -> None:
    more = {"compile": ("-o", tmp_path / "pinned.weft"), "explain": ()}.get(verb, ("--device", "golden"))
    for pin, offloaded in (("conv=cpu", False), ("conv=accelerator", True)):
        answer = weft(verb, qdq_path, *more, "--pin", pin, "--host", "x86-server", "--json")
        assert answer.status == 0
        assert OFFLOADED[verb](answer.data) is offloaded if verb in OFFLOADED else answer.data["mismatches"] == 0
    unknown = weft(verb, qdq_path, *more, "--pin", "cnv=cpu")
    assert unknown.status == 1 and "cnv" in unknown.err and unknown.err.count("\n") == 1


@pytest.mark.parametrize("option", [("--pin", "conv=cpu"), ("--host", "x86-server")])
def test_an_artifact_takes_no_pins(weft: Callable, qdq_path: Path, tmp_path: Path, option: tuple[str, str]) -> None:
    weft("compile", qdq_path, "-o", tmp_path / "model.weft")
    for verb in ("run", "explain"):
        answer = weft(verb, tmp_path / "model.weft", *option)
        assert answer.status == 1 and "compiled already" in answer.err and answer.err.count("\n") == 1
    assert weft("cosim", "--fuzz", "1", *option).status == 2
