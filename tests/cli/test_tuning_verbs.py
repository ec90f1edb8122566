"""weft tune and weft explore on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from weft.bench.builder import QdqBuilder


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "cache"))
    build = QdqBuilder("small", 5)
    onnx.save(build.build(build.convolution(build.input((1, 16, 28, 28)), 64, 3)), tmp_path / "small.onnx")
    return tmp_path / "small.onnx"


def test_tune_reports_and_compile_takes_the_tiles(weft: Callable, model: Path) -> None:
    arguments = ("tune", model, "--ranker", "simulator", "--trials", "10")
    first = weft(*arguments, "--json")
    assert first.status == 0 and first.data["trials"] == 10 and first.data["complete"]
    (operator,) = first.data["operators"]
    assert operator["tuned_cycles"] <= operator["default_cycles"] and operator["tile"]["rows"] >= 1
    again = weft(*arguments)
    assert again.status == 0 and "whole model on weft-16" in again.out
    compiled = weft("compile", model, "-o", model.with_suffix(".weft"), "--json")
    assert compiled.data["estimated_cycles"] == first.data["cycles_after"]


def test_wrong_options_of_tune(weft: Callable, model: Path) -> None:
    assert weft("tune", model, "--ranker", "oracle").status == 2
    assert weft("tune", model, "--trials", "0").status == 2
    answer = weft("tune", model, "--target", "weft-8,weft-16")
    assert answer.status == 1 and "Traceback" not in answer.err


def test_explore_reports_and_draws(weft: Callable, model: Path) -> None:
    vary = ("--vary", "lanes=8,16,12", "--plot", model.with_suffix(".svg"))
    answer = weft("explore", model, *vary, "--json")
    assert answer.status == 0 and len(answer.data["machines"]) == 2
    assert [each["parameters"] for each in answer.data["invalid"]] == [{"lanes": 12}]
    assert model.with_suffix(".svg").read_text().startswith("<svg")
    assert "not possible: lanes=12" in weft("explore", model, *vary).out


@pytest.mark.parametrize("vary", ["lanes", "lane=8", "lanes=eight"])
def test_wrong_parameters_of_explore(weft: Callable, model: Path, vary: str) -> None:
    answer = weft("explore", model, "--vary", vary)
    assert answer.status == 2 and "--vary" in answer.err
