"""Decisions of a quantized model against those of the float model it was made from, with margins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from weft.api.arrays import Arrays
from weft.dynamic import DecisionMargins, Form, MarginRunner
from weft.errors import ModelError
from weft_runtime.control import Branch, Loop, statements_within
from weft_runtime.interpreter import Decision

__all__ = ["DecisionReport", "DecisionTally"]


@dataclass(frozen=True)
class DecisionReport:
    """One If or Loop over all samples. `taken` counts the float model's decisions, `flips` the samples whose path first
    differs here. A margin is how far the float model was from deciding otherwise, in the unit of what it compares:
    `median_margin` of all decisions, `largest_flipped` of the flipped ones; None where it cannot be told."""

    name: str
    taken: int
    flips: int
    median_margin: float | None
    largest_flipped: float | None


class DecisionTally:
    """Runs the float program beside the quantized one, and counts where paths part. Raises ModelError where ONNX
    Runtime refuses a sub-network."""

    def __init__(self, form: Form) -> None:
        self._runner = MarginRunner(form)
        self._known = {each.name for each in statements_within(form.body) if isinstance(each, Branch | Loop)}
        self._margins: dict[str, list[float]] = {}
        self._flipped: dict[str, list[float]] = {}
        self._taken: dict[str, int] = {}
        self._flips: dict[str, int] = {}

    def compare(self, sample: Arrays, path: Sequence[Decision]) -> None:
        """One sample, and the path that it took quantized. What comes behind the first difference is not compared.

        Raises ModelError for a decision that the float program does not have.
        """
        for step in path:
            if step.name not in self._known:
                raise ModelError(
                    f"the float model has no decision {step.name!r}: the quantized one was not made from it"
                )
        wanted, margins = self._runner.run(sample)
        for step, found in zip(wanted, margins, strict=True):
            known = [each for each in (*found.conditions, found.count) if each is not None]
            self._taken[step.name] = self._taken.get(step.name, 0) + max(1, len(found.conditions))
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


def _deciding(step: Decision, other: Decision, margins: DecisionMargins) -> float | None:
    """The margin of the decision at which two ways part: of a Loop, that of the iteration behind which one ends, or of
    its number of iterations where it has no condition."""
    if not step.outcome.isdigit():
        return margins.least
    if step.name != other.name:  # a decision inside an iteration that only one of them makes
        return None
    last = min(int(step.outcome), int(other.outcome)) - 1
    if not margins.conditions:
        return margins.count
    return margins.conditions[last] if 0 <= last < len(margins.conditions) else None
