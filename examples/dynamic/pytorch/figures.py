"""Figures of the trained networks: accuracy and paths, in float and in 8 bits. Needs Weft, and no PyTorch."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from suite import SUITE, TRAINED, Entry
from suite_data import Samples

import weft
from weft.dynamic import FormRunner, split
from weft.frontend import Model, normalize

FIGURES = TRAINED / "figures.json"


def measured(model: Model, samples: Samples, entry: Entry) -> tuple[float, dict[str, dict[str, float]]]:
    """The part of right answers, and for each decision (in the order met) the part of each outcome among the samples
    that come to it. A loop's outcome is its number of iterations."""
    form = split(normalize(model)).form
    assert form is not None
    runner, right = FormRunner(form), 0
    outcomes: dict[str, Counter[str]] = {}
    for index in range(len(samples)):
        values, path = runner.run(samples.sample(index))
        right += entry.correct(np.asarray(next(iter(values.values()))), samples.targets[index])
        for step in path:
            outcomes.setdefault(step.name, Counter())[step.outcome] += 1
    parts = {
        name: {outcome: round(count / counts.total(), 3) for outcome, count in sorted(counts.items())}
        for name, counts in outcomes.items()
    }
    return right / len(samples), parts


def update(entry: Entry, seconds: float | None) -> dict[str, Any]:
    """Measures a stored network, and writes figures.json and README.md anew."""
    stored = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    model, data = weft.load(entry.model), entry.data()
    found: dict[str, Any] = {"name": entry.name, "decides": entry.decides}
    found["parameters"] = parameters(model.proto)
    found["seconds"] = stored.get(entry.name, {}).get("seconds") if seconds is None else round(seconds)
    found["accuracy"], found["outcomes"] = measured(model, data.evaluation, entry)
    quantized = weft.quantize(model, dict(data.calibration.inputs))
    found["accuracy_int8"], found["outcomes_int8"] = measured(quantized, data.evaluation, entry)
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
        f"int8 {shares(found['outcomes_int8'])}"
    )


def shares(outcomes: dict[str, dict[str, float]]) -> str:
    """Of each If how many percent take the then branch; of each Loop the least and the most iterations."""
    texts = []
    for counts in outcomes.values():
        numbers = [int(each) for each in counts if each.isdigit()]
        texts.append(f"{min(numbers)}–{max(numbers)} times" if numbers else f"{100 * counts.get('then', 0):.0f}")
    return " ".join(texts)


def _page(known: dict[str, dict[str, Any]]) -> str:
    lines = [
        "# Trained dynamic networks",
        "",
        "Written by `python examples/dynamic/pytorch/train.py`; the source is in `../pytorch`. Each network is there",
        "as ONNX with its control flow (`NAME.onnx`) and as weights for PyTorch (`NAME.npz`, no pickles). Of each",
        "decision: the percentage of samples that take the then branch, among those that come to it, or how often a",
        "loop runs. All figures are over samples that were neither trained nor calibrated with.",
        "",
        "| network | decides on | parameters | accuracy | int8 | taken: float | taken: int8 | seconds to train |",
        "|---|---|---:|---:|---:|---|---|---:|",
    ]
    for name, each in known.items():
        lines.append(
            f"| {name} | {each['decides']} | {each['parameters']:,} | {each['accuracy']:.1%} | "
            f"{each['accuracy_int8']:.1%} | {shares(each['outcomes'])} | {shares(each['outcomes_int8'])} | "
            f"{each['seconds']} |"
        )
    return "\n".join(lines) + "\n"
