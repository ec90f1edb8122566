"""How close the decisions of a run were, in the quantized program's own values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weft.api.preparation import Prepared
from weft.api.progress import Progress, quiet
from weft.dynamic import DecisionMargins, MarginRunner, split
from weft.dynamic.form import normalize_network
from weft.frontend import integerize, normalize
from weft_runtime.executable import Executable
from weft_runtime.inputs import check_inputs, split_samples
from weft_runtime.interpreter import Decision

__all__ = ["PathMargins", "path_margins"]

Path = Sequence[Decision]
PathMargins = tuple[tuple[DecisionMargins, ...], ...]
UNKNOWN = DecisionMargins()


def path_margins(
    prepared: Prepared,
    executable: Executable,
    inputs: Mapping[str, Any],
    paths: Sequence[Path],
    progress: Progress = quiet,
) -> PathMargins:
    """For each sample the margins of its path's decisions, whoever took them.

    The host runs the quantized program's integer sub-networks once more, in ONNX Runtime: they hold the bits that the
    device holds, also where a decision was taken on the device and none of its values left it. Behind the first
    decision that comes out otherwise (only programs with inexact operators have such) margins are unknown. Empty for a
    model without control flow. Raises ModelError or HostError where ONNX Runtime fails.
    """
    form = split(normalize(prepared.model, prepared.shapes)).form if paths else None
    if form is None:
        return ()
    runner = MarginRunner(form.with_networks(tuple(integerize(normalize_network(each)) for each in form.networks)))
    arrays = check_inputs(inputs, executable.inputs)
    found: list[tuple[DecisionMargins, ...]] = []
    for sample, path in zip(split_samples(arrays, executable.bound_inputs, executable.batch), paths, strict=True):
        progress("margins", len(found), len(paths))
        found.append(_agreeing(path, *runner.run(sample)))
    return tuple(found)


def _agreeing(path: Path, again: Path, margins: Sequence[DecisionMargins]) -> tuple[DecisionMargins, ...]:
    same = 0
    while same < min(len(path), len(again)) and path[same] == again[same]:
        same += 1
    return (*margins[:same], *[UNKNOWN] * (len(path) - same))
