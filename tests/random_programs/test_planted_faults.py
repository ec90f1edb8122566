"""Faults planted in the compiler: the check of random programs has to notice each within a few programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from checks import SAMPLES, SLOW_HOST
from onnx_text import draw_inputs, onnx_model
from oracle import Oracle
from tree import grow

import weft
from weft.dynamic import integer_graph
from weft.errors import SessionError
from weft.frontend import load, normalize
from weft.ir.device_control import Decide, Piece, Repeat, Sequence
from weft.joining import decisions as joining

# Of the programs from seed 5001 on that decide on the accelerator, the first (branches), the second (loops) and the
# seventh (the threshold) are the first to notice.
SEEDS = (5002, 5031, 5001, 5010)
Step = Piece | Decide | Repeat


def swapped_branches(step: Step) -> Step:
    return replace(step, when_below=step.when_above, when_above=step.when_below) if isinstance(step, Decide) else step


def next_threshold(step: Step) -> Step:
    if not isinstance(step, Decide):
        return step
    return replace(step, comparison=replace(step.comparison, value=step.comparison.value + 1))


def one_iteration_less(step: Step) -> Step:
    return replace(step, limit=step.limit - 1) if isinstance(step, Repeat) and step.limit > 1 else step


def dropped_state(step: Step) -> Step:
    if not isinstance(step, Repeat):
        return step
    return replace(step, body=replace(step.body, results=(step.parameters[0], *step.body.results[1:])))


def everywhere(fault: Callable[[Step], Step], steps: tuple[Step, ...]) -> tuple[Step, ...]:
    def within(sequence: Sequence) -> Sequence:
        return replace(sequence, steps=everywhere(fault, sequence.steps))

    found = []
    for step in steps:
        match step:
            case Decide():
                step = replace(step, when_below=within(step.when_below), when_above=within(step.when_above))
            case Repeat():
                step = replace(step, body=within(step.body))
        found.append(fault(step))
    return tuple(found)


@cache
def stored(seed: int) -> tuple[Any, list[Any], list[Any]]:
    """A quantized program, samples, and what the oracle says of them."""
    program = grow(seed, leaves=False)
    samples = draw_inputs(program, SAMPLES, seed)
    batch = {name: np.concatenate([each[name] for each in samples]) for name in samples[0]}
    model = weft.quantize(load(onnx_model(program)), batch)
    oracle = Oracle(integer_graph(normalize(model)).proto)
    wanted = [oracle.run(sample) for sample in samples]
    assert not differs(model, samples, wanted)
    return model, samples, wanted


@pytest.mark.parametrize("fault", [swapped_branches, next_threshold, one_iteration_less, dropped_state])
def test_is_noticed(fault: Callable[[Step], Step], monkeypatch: pytest.MonkeyPatch) -> None:
    joined = joining._Joining._joined
    for seed in SEEDS:
        program = stored(seed)
        with monkeypatch.context() as planted:
            planted.setattr(
                joining._Joining, "_joined", lambda self, steps, needed: joined(self, everywhere(fault, steps), needed)
            )
            if differs(*program):
                return
    pytest.fail(f"{fault.__name__}: not noticed by {len(SEEDS)} programs")


def differs(model: Any, samples: list[Any], wanted: list[Any]) -> bool:
    with weft.Session(weft.compile(model, host=SLOW_HOST)) as session:
        for sample, (outputs, path) in zip(samples, wanted, strict=True):
            try:
                found = session.run(sample)
            except SessionError:
                return True
            taken = {(each.name, each.outcome) for each in session.profile.paths[0]}
            if not taken.issubset(path) or any(not np.array_equal(found[name], each) for name, each in outputs.items()):
                return True
    return False
