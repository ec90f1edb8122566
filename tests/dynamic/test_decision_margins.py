"""weft verify on float models with control flow: where int8 decides otherwise, and how close it was."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest

import weft
from weft.api.decisions import DecisionTally
from weft.api.execution import run_with_margins
from weft.api.preparation import PrepareOptions
from weft.cli.app import main
from weft.dynamic import FormRunner, integer_graph, split
from weft.errors import ModelError
from weft.frontend import load, normalize, reference_session
from weft.lowering import Driver
from weft_runtime.interpreter import Decision

pytest.importorskip("sklearn")
from networks import NETWORKS


def test_flips_and_margins_of_gates() -> None:
    network = NETWORKS["skip_gates"]()
    model = load(network.model)
    rows = {key: array[:40] for key, array in network.inputs.items()}
    report = weft.verify(model, rows)
    assert len(report.decisions) == 4 and report.exact
    assert all(each.taken == 40 and each.median_margin is not None for each in report.decisions)
    form = split(normalize(model)).form
    assert form is not None
    runner = FormRunner(form)
    ours = [runner.run({"image": rows["image"][index : index + 1]})[1] for index in range(40)]
    with weft.Session(weft.compile(weft.quantize(model, rows))) as session:
        session.run(rows)
        parting = sum(float_path != path for float_path, path in zip(ours, session.profile.paths, strict=True))
    assert sum(each.flips for each in report.decisions) == parting
    for each in report.decisions:
        assert (each.flips > 0) == (each.largest_flipped is not None)
        assert each.median_margin is not None and 0 < each.median_margin <= 0.5


def test_a_changed_path_is_counted_where_it_parts() -> None:
    """Of a loop the margin is that of the iteration behind which only one goes on."""
    network = NETWORKS["halting"]()
    form = split(normalize(load(network.model))).form
    assert form is not None
    sample = {"vector": network.inputs["vector"][:1]}
    _, (step,) = FormRunner(form).run(sample)
    rounds = int(step.outcome)
    tally = DecisionTally(form)
    tally.compare(sample, [step])
    (same,) = tally.reports()
    assert (same.taken, same.flips, same.largest_flipped) == (rounds, 0, None)
    tally = DecisionTally(form)
    tally.compare(sample, [Decision(step.name, str(rounds + 1))])
    (parted,) = tally.reports()
    assert parted.flips == 1 and parted.largest_flipped is not None
    # The float loop ends where the sum of its probabilities has passed 1 by this much.
    assert 0 <= parted.largest_flipped < 1 and np.isfinite(parted.largest_flipped)
    tally = DecisionTally(form)
    tally.compare(sample, [Decision(step.name, "1")])
    (early,) = tally.reports()
    assert rounds > 1 and early.largest_flipped is not None and early.largest_flipped != parted.largest_flipped


@pytest.mark.parametrize("driver", ["device", "host"])
def test_margins_of_a_run(driver: Driver) -> None:
    """Those of the values that the quantized program compares, whoever decides."""
    network = NETWORKS["skip_gates"]()
    rows = {"image": network.inputs["image"][:30]}
    model = weft.quantize(load(network.model), rows)
    report = run_with_margins(model, rows, options=PrepareOptions(driver=driver))
    integer = onnx.ModelProto()
    integer.CopyFrom(integer_graph(normalize(model)).proto)
    makers = {name: node for node in integer.graph.node for name in node.output}
    scores = []
    for node in integer.graph.node:
        if node.op_type == "If":
            scores.append(makers[makers[node.input[0]].input[0]].input[0])  # in front of Reshape and Greater
    integer.graph.output.extend(onnx.ValueInfoProto(name=name) for name in scores)
    session = reference_session(integer)
    for index, margins in enumerate(report.margins):
        values = session.run(scores, {"image": rows["image"][index : index + 1]})
        assert [each.conditions for each in margins] == [(abs(value.item() - 0.5),) for value in values]
    shown = report.to_dict()["paths"][3][0]
    assert shown == {
        "name": "If_node", "outcome": report.profile.paths[3][0].outcome,
        "margins": list(report.margins[3][0].conditions), "count": None,
    }  # fmt: skip


def test_flips_of_a_quantized_model_against_its_float_model() -> None:
    network = NETWORKS["halting"]()
    source = load(network.model)
    rows = {"vector": network.inputs["vector"][:100]}
    quantized = weft.quantize(source, {"vector": network.inputs["vector"][:200]})
    assert weft.verify(quantized, rows).decisions == ()
    (report,) = weft.verify(quantized, rows, float_model=source).decisions
    form = split(normalize(source)).form
    assert form is not None
    runner = FormRunner(form)
    with weft.Session(weft.compile(quantized)) as session:
        session.run(rows)
        flips = sum(
            runner.run({"vector": rows["vector"][index : index + 1]})[1] != path
            for index, path in enumerate(session.profile.paths)
        )
    assert report.flips == flips > 0 and report.largest_flipped is not None


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("quantized", "is quantized, and cannot be the float model"),
        ("halting", "its inputs are others"),
        ("early_exit", "has no decision 'If_node_"),
    ],
)
def test_another_float_model_is_refused(other: str, message: str) -> None:
    network = NETWORKS["skip_gates"]()
    rows = {"image": network.inputs["image"][:4]}
    quantized = weft.quantize(load(network.model), rows)
    against = quantized if other == "quantized" else load(NETWORKS[other]().model)
    with pytest.raises(ModelError, match=message):
        weft.verify(quantized, rows, float_model=against)


def test_the_command_line_shows_margins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = NETWORKS["decoder"]()
    model, data = tmp_path / "decoder.onnx", tmp_path / "inputs.npz"
    onnx.save(network.model, model)
    np.savez(data, context=network.inputs["context"][:3])
    assert main(["run", str(model), "--input", str(data), "--profile"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^2 +Loop_node \d+ \(\d[\d.]*\)$", text, re.MULTILINE) and "in parentheses" in text
    assert main(["compile", str(model), "--calibration", str(data), "-o", str(tmp_path / "decoder.weft")]) == 0
    assert main(["run", str(tmp_path / "decoder.weft"), "--input", str(data), "--profile"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^2 +Loop_node \d+$", text, re.MULTILINE) and "run the ONNX model" in text
