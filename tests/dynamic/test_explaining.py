"""What weft explain and a run's page show of control flow: frequencies, whoever decides, pictures, errors."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest

import weft
from weft.api.describe import explain
from weft.api.execution import run
from weft.cli import main
from weft.lowering import Driver
from weft_runtime.executable import Executable
from weft_runtime.profile import Profile

pytest.importorskip("sklearn")
from networks import NETWORKS

SAMPLES = 30
NAME = "skip_gates"


@cache
def ran(driver: Driver) -> tuple[Executable, Profile]:
    network = NETWORKS[NAME]()
    rows = {key: each[:SAMPLES] for key, each in network.inputs.items()}
    executable = weft.compile(weft.quantize(weft.load(network.model), rows), driver=driver).executable
    return executable, run(executable, rows).profile


def items(graph: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for each in graph:
        yield each
        for key in ("decisions", "then", "otherwise", "body"):
            yield from items(each.get(key, []))


def test_frequencies_are_those_of_the_run_whoever_decides() -> None:
    seen = []
    for driver in ("device", "host"):
        executable, profile = ran(driver)
        graph = explain(executable, profile.paths)["control"]
        branches = [each for each in items(graph) if each["kind"] == "branch"]
        for each in branches:
            taken = [step.outcome for path in profile.paths for step in path if step.name == each["name"]]
            assert each["outcomes"] == {way: taken.count(way) for way in dict.fromkeys(taken)}
            assert each["runs"] == len(taken) == SAMPLES
            ways = {"then": each["then"], "otherwise": each["otherwise"]}
            for way, inner in ways.items():
                runs = each["outcomes"].get("else" if way == "otherwise" else way, 0)
                assert all(part["runs"] == runs for part in inner)
        seen.append([(each["name"], each["outcomes"]) for each in branches])
        inside = [each for launch in graph if launch["kind"] == "launch" for each in items(launch["decisions"])]
        assert any(each["kind"] == "branch" for each in inside) == (driver == "device")
    assert seen[0] == seen[1] and len(seen[0]) == 4


def test_without_a_run_nothing_is_claimed() -> None:
    for each in items(explain(ran("device")[0])["control"]):
        assert each["runs"] is None and not each.get("outcomes")


class Page(HTMLParser):
    """Elements by name, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    network = NETWORKS[NAME]()
    onnx.save(network.model, tmp_path / "model.onnx")
    np.savez(tmp_path / "inputs.npz", **{key: each[:SAMPLES] for key, each in network.inputs.items()})
    return tmp_path


def test_pages_and_pictures(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, inputs, page, picture = (str(files / name) for name in ("model.onnx", "inputs.npz", "e.html", "flow.svg"))
    assert main(["explain", model, "--input", inputs, "--html", page, "--control-flow", picture, "--json"]) == 0
    control = json.loads(capsys.readouterr().out)["control"]
    branch = next(each for each in items(control) if each["kind"] == "branch")
    share = branch["outcomes"]["then"] / SAMPLES
    svg = Path(picture).read_text()
    assert f"then {share:.0%}" in svg and f"{SAMPLES} samples" in svg
    found = Page(Path(page).read_text())
    assert not any(tag == "script" for tag, _ in found.elements)
    images = [attributes["src"] or "" for tag, attributes in found.elements if tag == "img"]
    assert base64.b64decode(images[0].partition(",")[2]).decode() == svg and len(images) == 2
    assert branch["name"] in found.words and any("then " in word and "else " in word for word in found.words)
    assert main(["run", model, "--input", inputs, "--report", str(files / "r.html")]) == 0
    url = re.search(r'"control":"data:image/svg\+xml;base64,([^"]+)"', (files / "r.html").read_text())
    assert url is not None and f"then {share:.0%}" in ElementTree.tostring(
        ElementTree.fromstring(base64.b64decode(url[1])), encoding="unicode"
    )


def test_a_model_without_control_flow(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "plain", values[:1], values[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10),
              files / "plain.onnx")  # fmt: skip
    assert main(["explain", str(files / "plain.onnx"), "--control-flow", str(files / "flow.svg")]) == 1
    error = capsys.readouterr().err
    assert "has no control flow to draw" in error and error.count("\n") == 1
    assert not (files / "flow.svg").exists()
    assert main(["explain", str(files / "plain.onnx"), "--html", str(files / "plain.html")]) == 0
    assert "Control flow" not in Page((files / "plain.html").read_text()).words
