"""Decisions of a quantized model against those of the float model it was made from, with margins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from weft.api.arrays import Arrays
from weft.dynamic import Form, FormRunner
from weft.frontend import Model, reference_session
from weft_runtime.control import Branch, Loop, ReadScalar, statements_within
from weft_runtime.interpreter import Decision, Interpreter

__all__ = ["DecisionReport", "DecisionTally"]

COMPARISONS = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
PASSING = frozenset({"Cast", "Flatten", "Identity", "Not", "Reshape", "Squeeze", "Unsqueeze"})
MARGIN = "weft_margin"
Margins = tuple[float | None, ...]


@dataclass(frozen=True)
class DecisionReport:
    """One If or Loop over all samples. `taken` counts the float model's decisions, `flips` the samples whose path first
    differs here. A margin is how far apart the two sides of the condition's comparison are in the float model:
    `median_margin` of all decisions, `largest_flipped` of the flipped ones; None where no comparison decides."""

    name: str
    taken: int
    flips: int
    median_margin: float | None
    largest_flipped: float | None


class DecisionTally:
    """Runs the float program beside the quantized one, and counts where paths part. Raises ModelError where ONNX
    Runtime refuses a sub-network."""

    def __init__(self, form: Form) -> None:
        self._runner = _WatchingRunner(form)
        self._margins: dict[str, list[float]] = {}
        self._flipped: dict[str, list[float]] = {}
        self._taken: dict[str, int] = {}
        self._flips: dict[str, int] = {}

    def compare(self, sample: Arrays, path: Sequence[Decision]) -> None:
        """One sample, and the path that it took quantized. What comes behind the first difference is not compared."""
        wanted, margins = self._runner.watch(sample)
        for step, found in zip(wanted, margins, strict=True):
            known = [each for each in found if each is not None]
            self._taken[step.name] = self._taken.get(step.name, 0) + max(1, len(found))
            self._margins.setdefault(step.name, []).extend(known)
        for step, other, found in zip(wanted, path, margins, strict=False):
            if step == other:
                continue
            self._flips[step.name] = self._flips.get(step.name, 0) + 1
            margin = _deciding(step, other, found)
            if margin is not None:
                self._flipped.setdefault(step.name, []).append(margin)
            break

    def reports(self) -> tuple[DecisionReport, ...]:
        """One for each If and Loop that was reached, in order."""
        return tuple(
            DecisionReport(
                name, taken, self._flips.get(name, 0),
                median(self._margins[name]) if self._margins[name] else None,
                max(self._flipped.get(name, ()), default=None),
            )
            for name, taken in self._taken.items()
        )  # fmt: skip


def _deciding(step: Decision, other: Decision, margins: Margins) -> float | None:
    """The margin of the decision at which two ways part: of a Loop, that of the iteration behind which one ends."""
    if not step.outcome.isdigit():
        return margins[0] if margins else None
    if step.name != other.name:  # a decision inside an iteration that only one of them makes
        return None
    last = min(int(step.outcome), int(other.outcome)) - 1
    return margins[last] if 0 <= last < len(margins) else None


class _WatchingRunner(FormRunner):
    """A runner that keeps, beside every decision of a path, the margins of the conditions that led to it."""

    def __init__(self, form: Form) -> None:
        self.latest: dict[str, list[float | None]] = {}
        self.margins: list[Margins] = []
        self.conditions = {
            each.scalar: each.value for each in statements_within(form.body) if isinstance(each, ReadScalar)
        }
        wanted = set(self.conditions.values())
        self._probes: list[dict[str, onnxruntime.InferenceSession | None]] = [
            {value.name: _probe(network, value.name) for value in network.proto.graph.output if value.name in wanted}
            for network in form.networks
        ]
        super().__init__(form)

    def watch(self, sample: Mapping[str, Any]) -> tuple[tuple[Decision, ...], list[Margins]]:
        """The path, and for each of its decisions the margins: one of an If, one per iteration of a Loop."""
        self.latest, self.margins = {}, []
        _, path = self.run(sample)
        return path, self.margins

    def launch(self, network: int, inputs: Sequence[Any]) -> Sequence[Any]:
        outputs = super().launch(network, inputs)
        names = (value.name for value in self._form.networks[network].proto.graph.input)
        feeds = dict(zip(names, inputs, strict=True))
        for name, probe in self._probes[network].items():
            difference = None if probe is None else np.asarray(probe.run([MARGIN], feeds)[0])
            margin = None if difference is None or difference.size != 1 else abs(float(difference.reshape(-1)[0]))
            self.latest.setdefault(name, []).append(margin)
        return outputs

    def _interpreter_of(self, form: Form) -> Interpreter[Any]:
        return _Watching(form, self)


class _Watching(Interpreter[Any]):
    def __init__(self, form: Form, runner: _WatchingRunner) -> None:
        super().__init__(form.body, runner)
        self._runner = runner

    def _run_branch(self, branch: Branch) -> None:
        found = self._runner.latest.get(self._runner.conditions[branch.condition], [])
        self._runner.margins.append(tuple(found[-1:]))
        super()._run_branch(branch)

    def _run_loop(self, loop: Loop) -> None:
        name = self._runner.conditions.get(loop.proceed, "")
        before = len(self._runner.latest.get(name, []))
        super()._run_loop(loop)
        self._runner.margins.append(tuple(self._runner.latest.get(name, [])[before:]))


def _probe(network: Model, condition: str) -> onnxruntime.InferenceSession | None:
    """A session that gives the difference of the two sides of the comparison which makes the condition; None where
    there is none."""
    made = {name: node for node in network.proto.graph.node for name in node.output}
    while condition in made and made[condition].op_type in PASSING:
        condition = made[condition].input[0]
    if condition not in made or made[condition].op_type not in COMPARISONS:
        return None
    proto = onnx.ModelProto()
    proto.CopyFrom(network.proto)
    proto.graph.node.append(helper.make_node("Sub", list(made[condition].input), [MARGIN], name=MARGIN))
    proto.graph.output.append(onnx.ValueInfoProto(name=MARGIN))
    return reference_session(network.with_proto(proto))
