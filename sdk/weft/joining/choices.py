"""States of a loop that are chosen: each is a function of the place where the greatest (or least) of a stored tensor
stands, as a token is that is decoded greedily."""

from __future__ import annotations

from typing import Any

import numpy as np

from weft.conditions import Composite
from weft.conditions.numbers import number_behind
from weft.conditions.trial import Trial, program_of
from weft.ir.device_control import Reading, Unjoinable
from weft.joining.counters import Numbers
from weft.joining.slices import OpenChoice, OpenLoop
from weft_runtime.errors import HostError
from weft_runtime.executable import TensorBinding

__all__ = ["MOST_STORED", "chosen_values", "open_choice"]

MOST_PLACES = 4096
MOST_STORED = 256
"""Places that a byte tells apart."""


def open_choice(parameter: str, first: Any, reading: Reading, values: Any) -> OpenChoice:
    """The state `parameter`, which begins as `first`, and becomes one of the values. Raises Unjoinable where these are
    of another type or shape."""
    if values.dtype != first.dtype or values.shape[1:] != first.shape:
        raise Unjoinable(f"{parameter!r} has another type or shape before the loop")
    numbers = Numbers("", 0, {}, {parameter: [*values, first]})
    return OpenChoice(reading, OpenLoop(numbers, len(values) + 1))


def chosen_values(composite: Composite, binding: TensorBinding) -> tuple[Reading, Any]:
    """Of which place in its only input a composite is a function, and its value for each. Raises Unjoinable."""
    trial = Trial(composite.model, binding.shape, binding.dtype)
    reading = number_behind(composite, trial)
    count = len(reading.elements)
    if not reading.kind.endswith(("_maximum", "_minimum")) or count > MOST_PLACES:
        raise Unjoinable(f"a state is no function of one of {MOST_PLACES} places")
    if len(set(reading.elements)) < count:
        raise Unjoinable("a state is a function of a place among elements of which some are the same")
    least, greatest = trial.domain[0], trial.domain[-1]
    others, chosen = (least, greatest) if reading.kind.endswith("_maximum") else (greatest, least)
    program = program_of(composite.model, composite.output)
    (given,) = composite.inputs
    values = []
    for element in reading.elements:
        feed = np.full(trial.shape, others, trial.dtype)
        feed.reshape(-1)[element] = chosen
        try:
            values.append(np.asarray(program.run({given: feed})[composite.output]))
        except HostError as error:
            raise Unjoinable(f"a state cannot be tried: {error}") from error
    return reading, np.stack(values)
