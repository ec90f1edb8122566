"""weft bench dynamic, on two of the example networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import weft.bench.dynamic
from weft.bench import BENCHMARKS
from weft.bench.static_networks import both_branches
from weft.dynamic import Form
from weft.errors import WeftError
from weft.frontend import Model

pytest.importorskip("sklearn")
EXAMPLES = str(Path(__file__).parents[2] / "examples")


def measured(**options: str) -> dict[str, Any]:
    return BENCHMARKS["dynamic"].run(examples=EXAMPLES, **options)


def test_variants_are_compared() -> None:
    figures = measured(networks="skip_gates,loop_in_if", inputs="10")
    rows = {(row["network"], row["variant"]): row for row in figures["networks"]}
    variants = ("host-driven", "device-driven", "static")
    assert rows.keys() == {
        *((name, variant) for name in ("skip_gates", "loop_in_if") for variant in variants),
        ("skip_gates", "both branches"),
    }
    for each in figures["decisions"]:
        name = each["network"]
        host, device, static = (rows[name, variant] for variant in variants)
        assert each["by_device"] == each["decisions"] == round(10 * host["decisions"]) > 0
        assert host["decisions"] == device["decisions"] > static["decisions"] == 0
        assert device["launches"] == static["launches"] == 1 < host["launches"]
        assert device["microseconds"] < host["microseconds"]
        assert each["overhead"] == pytest.approx((device["cycles"] - host["cycles"]) / device["decisions"])
        assert 0 < each["overhead"] < figures["goal_cycles"]
        assert each["saved_cycles_static"] == pytest.approx(100 * (1 - device["cycles"] / static["cycles"]))
        assert device["compared"] == 10 > static["compared"]
        assert sum(path["percent"] for path in figures["paths"] if path["network"] == name) == pytest.approx(100)
    # Only a path with every gate open is the static network's.
    opened = [path for path in figures["paths"] if path["path"] == "then then then then"]
    assert rows["skip_gates", "static"]["compared"] == round(sum(path["percent"] for path in opened) / 10) > 0
    assert rows["skip_gates", "both branches"]["compared"] == 10
    (absent,) = figures["absent"]
    assert (absent["network"], absent["variant"]) == ("loop_in_if", "both branches") and "Loop" in absent["reason"]
    assert figures["within_goal"] and figures["worst_overhead"] == max(e["overhead"] for e in figures["decisions"])


def test_a_loop_is_written_out() -> None:
    """Scan of five rows, with collected slices: the static network answers the same for every input."""
    figures = measured(networks="scanned", inputs="3")
    (static,) = (row for row in figures["networks"] if row["variant"] == "static")
    assert static["compared"] == 3 and static["launches"] < 5
    assert np.isclose(figures["paths"][0]["percent"], 100) and figures["paths"][0]["path"] == "5"


def test_another_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def exchanged(form: Form) -> Model:
        model = both_branches(form)
        proto = onnx.ModelProto()
        proto.CopyFrom(model.proto)
        for node in proto.graph.node:
            if node.op_type == "Where":
                node.input[1:] = reversed(node.input[1:])
        return model.with_proto(proto)

    monkeypatch.setattr(weft.bench.dynamic, "both_branches", exchanged)
    with pytest.raises(WeftError, match=r"both branches: input \d+: output 'output_0' differs"):
        measured(networks="skip_gates", inputs="3")


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeftError, match="set examples=FOLDER"):
        BENCHMARKS["dynamic"].run(examples=str(tmp_path))
    with pytest.raises(ValueError, match="unknown network 'maze'"):
        measured(networks="maze")
    with pytest.raises(ValueError, match="offload"):
        measured(networks="skip_gates", offload="some")
