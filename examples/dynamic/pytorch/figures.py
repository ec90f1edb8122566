"""Figures of the trained networks: accuracy and paths, in float and in 8 bits. Needs Weft, and no PyTorch."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from suite import SUITE, TRAINED, Entry
from suite_data import Samples

import weft
from weft.api.decisions import DecisionTally
from weft.dynamic import Form, FormRunner, split
from weft.frontend import Model, normalize
from weft_runtime.interpreter import Decision

FIGURES = TRAINED / "figures.json"


@dataclass(frozen=True)
class Measured:
    """Of one program over samples: the part of right answers; for each decision, in the order met, the part of each
    outcome among the samples that come to it (a loop's outcome is its number of iterations); and all paths."""

    accuracy: float
    outcomes: dict[str, dict[str, float]]
    paths: list[tuple[Decision, ...]]


def measured(form: Form, samples: Samples, entry: Entry) -> Measured:
    """Runs a program, float or quantized, in ONNX Runtime."""
    runner, right = FormRunner(form), 0
    outcomes: dict[str, Counter[str]] = {}
    paths = []
    for index in range(len(samples)):
        values, path = runner.run(samples.sample(index))
        right += entry.correct(np.asarray(next(iter(values.values()))), samples.targets[index])
        paths.append(path)
        for step in path:
            outcomes.setdefault(step.name, Counter())[step.outcome] += 1
    parts = {
        name: {outcome: round(count / counts.total(), 3) for outcome, count in sorted(counts.items())}
        for name, counts in outcomes.items()
    }
    return Measured(right / len(samples), parts, paths)


def form_of(model: Model) -> Form:
    """A model with control flow, taken apart."""
    form = split(normalize(model)).form
    assert form is not None
    return form


def flips(form: Form, samples: Samples, paths: list[tuple[Decision, ...]]) -> tuple[int, float | None]:
    """How many samples go another way than in the float program, and the largest margin by which that one decided where
    they part (None: no margin is known)."""
    tally = DecisionTally(form)
    for index, path in enumerate(paths):
        tally.compare(samples.sample(index), path)
    reports = tally.reports()
    margins = [each.largest_flipped for each in reports if each.largest_flipped is not None]
    return sum(each.flips for each in reports), max(margins, default=None)


def update(entry: Entry, seconds: float | None) -> dict[str, Any]:
    """Measures a stored network, and writes figures.json and README.md anew."""
    stored = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    model, data = weft.load(entry.model), entry.data()
    found: dict[str, Any] = {"name": entry.name, "decides": entry.decides}
    found["parameters"] = parameters(model.proto)
    found["seconds"] = stored.get(entry.name, {}).get("seconds") if seconds is None else round(seconds)
    form = form_of(model)
    by_float = measured(form, data.evaluation, entry)
    found["accuracy"], found["outcomes"] = by_float.accuracy, by_float.outcomes
    quantized = form_of(weft.quantize(model, dict(data.calibration.inputs)))
    by_int8 = measured(quantized, data.evaluation, entry)
    found["accuracy_int8"], found["outcomes_int8"] = by_int8.accuracy, by_int8.outcomes
    found["samples"] = len(data.evaluation)
    found["flips"], found["largest_flipped_margin"] = flips(form, data.evaluation, by_int8.paths)
    stored[entry.name] = found
    known = {name: stored[name] for name in SUITE if name in stored}
    FIGURES.write_text(json.dumps(known, indent=1) + "\n")
    Path(TRAINED / "README.md").write_text(_page(known))
    return found


def parameters(model: onnx.ModelProto) -> int:
    """Numbers in all float initializers."""
    arrays = [numpy_helper.to_array(each) for each in model.graph.initializer]
    return sum(each.size for each in arrays if each.dtype == np.float32)


def described(found: dict[str, Any]) -> str:
    """One network's figures in a line."""
    return (
        f"{found['name']}: accuracy {found['accuracy']:.1%} (int8 {found['accuracy_int8']:.1%}), "
        f"{found['parameters']:,} parameters, {found['seconds']} s; {shares(found['outcomes'])}; "
        f"int8 {shares(found['outcomes_int8'])}; {flipped(found)} go another way in int8"
    )


def shares(outcomes: dict[str, dict[str, float]]) -> str:
    """Of each If how many percent take the then branch; of each Loop the least and the most iterations."""
    texts = []
    for counts in outcomes.values():
        numbers = [int(each) for each in counts if each.isdigit()]
        texts.append(f"{min(numbers)}–{max(numbers)} times" if numbers else f"{100 * counts.get('then', 0):.0f}")
    return " ".join(texts)


def flipped(found: dict[str, Any]) -> str:
    """The percentage of samples whose path is another one in 8 bits, and the largest margin of these in float."""
    if "flips" not in found:
        return "not measured"
    margin = found["largest_flipped_margin"]
    share = f"{100 * found['flips'] / found['samples']:.1f}%"
    return share if margin is None else f"{share} (margins to {margin:.2g})"


def _page(known: dict[str, dict[str, Any]]) -> str:
    lines = [
        "# Trained dynamic networks",
        "",
        "Written by `python examples/dynamic/pytorch/train.py`; the source is in `../pytorch`. Each network is there",
        "as ONNX with its control flow (`NAME.onnx`) and as weights for PyTorch (`NAME.npz`, no pickles). Of each",
        "decision: the percentage of samples that take the then branch, among those that come to it, or how often a",
        "loop runs. Flips: samples that go another way in 8 bits than in float, and by how much the float program",
        "decided at most where they part (experts: the distance of two whole numbers). All figures are",
        "over samples that were neither trained nor calibrated with; seconds are those of training.",
        "",
        "| network | decides on | parameters | accuracy | int8 | taken: float | taken: int8 | flips | seconds |",
        "|---|---|---:|---:|---:|---|---|---|---:|",
    ]
    for name, each in known.items():
        lines.append(
            f"| {name} | {each['decides']} | {each['parameters']:,} | {each['accuracy']:.1%} | "
            f"{each['accuracy_int8']:.1%} | {shares(each['outcomes'])} | {shares(each['outcomes_int8'])} | "
            f"{flipped(each)} | {each['seconds']} |"
        )
    return "\n".join(lines) + "\n"
