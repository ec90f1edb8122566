"""weft bench dynamic, on a few of the example networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import weft
import weft.bench.dynamic
from weft.bench import BENCHMARKS
from weft.bench.dynamic_networks import chosen_networks, example_networks
from weft.bench.needed_work import NeededWork
from weft.bench.static_networks import both_branches
from weft.dynamic import Form, split
from weft.errors import WeftError
from weft.frontend import Model, normalize

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
        assert each["saved"] == pytest.approx(static["cycles"] - device["cycles"])
        assert each["worth"] - each["gates"] - (device["cycles"] - host["cycles"]) == pytest.approx(each["saved"])
        assert 0 < each["worth"] < static["cycles"] and 0 < each["gates"] < host["cycles"]
        assert each["saved_of_worth"] == pytest.approx(100 * each["saved"] / each["worth"])
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
    # Nothing is there for decisions only: the sub-networks cut down to what the answer needs are those that ran.
    assert figures["decisions"][0]["gates"] == 0


def test_alternatives_are_selected_in_the_static_network() -> None:
    """Four experts, of which one runs: the static network runs all, and answers the same for every input. What the
    gates take is the router, without what it shares with the experts."""
    figures = measured(networks="experts", inputs="5")
    rows = {row["variant"]: row for row in figures["networks"]}
    assert rows["static"]["cycles"] == rows["both branches"]["cycles"] > rows["device-driven"]["cycles"]
    assert rows["static"]["compared"] == 5 and not figures["absent"]
    (each,) = figures["decisions"]
    assert 0 < each["gates"] < each["worth"] < rows["static"]["cycles"]


@pytest.mark.parametrize("input_name", ["open", "closed"])
def test_work_that_an_answer_needs(input_name: str) -> None:
    """A gate is not needed where it is open nor where it is closed, a layer only where it ran."""
    gate, layer, last = (np.full((4, 4), value, np.float32) for value in (1, 2, 3))
    model = gated_layer(gate, layer, last)
    form = split(normalize(model)).form
    assert form is not None
    counted: list[list[str]] = []

    def cycles(network: Model) -> int:
        counted.append([node.input[1] for node in network.proto.graph.node if node.op_type == "MatMul"])
        return 100 * len(counted[-1])

    rows = np.full((1, 4), 1 if input_name == "open" else -1, np.float32)
    found, path = NeededWork(form, cycles).measure({"x": rows})
    assert [step.outcome for step in path] == ["then" if input_name == "open" else "else"]
    assert found == 100 * sum(map(len, counted)) == (200 if input_name == "open" else 100)
    assert not any("gate" in name for names in counted for name in names)


def gated_layer(gate: np.ndarray, layer: np.ndarray, last: np.ndarray) -> Model:
    """x · last, of what `layer` made of x, if x · gate has a positive sum, else of x."""
    text = """
        <ir_version: 8, opset_import: ["": 17]>
        gated (float[1,4] x) => (float[1,4] y) {
            g = MatMul(x, gate)
            zero = Constant<value = float {0}>()
            sum = ReduceSum<keepdims = 0>(g)
            going = Greater(sum, zero)
            z = If(going) <
                then_branch = taken () => (float[1,4] z_then) { z_then = MatMul(x, layer) },
                else_branch = skipped () => (float[1,4] z_else) { z_else = Identity(x) }
            >
            y = MatMul(z, last)
        }
    """
    proto = onnx.parser.parse_model(text)
    weights = {"gate": gate, "layer": layer, "last": last}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in weights.items())
    return weft.load(proto)


def test_groups_of_networks() -> None:
    known = ["skip_gates", "halting", "trained/skipnet", "trained/ranet"]
    assert chosen_networks("trained, halting,trained/ranet", known) == ["trained/skipnet", "trained/ranet", "halting"]
    assert chosen_networks("written", known) == known[:2] and chosen_networks("all", known) == known
    everything = example_networks(Path(EXAMPLES))
    assert set(chosen_networks("", everything)) < everything.keys()


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
