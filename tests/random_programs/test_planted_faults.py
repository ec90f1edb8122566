"""Faults planted in the compiler: the check of random programs has to notice each within a few programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from checks import SAMPLES, SLOW_HOST
from onnx_text import draw_inputs, onnx_model
from oracle import Oracle
from tree import grow

import weft
from weft import joining
from weft.dynamic import integer_graph
from weft.errors import SessionError
from weft.frontend import load, normalize
from weft.ir.device_control import Decide, Piece, Repeat, Sequence

PROGRAMS = 12
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


class Stored:
    """Quantized programs with what the oracle says of them, made when they are asked for; programs without decisions
    on the accelerator do not count.
    """

    def __init__(self) -> None:
        self.made: list[tuple[Any, list[Any], list[Any]]] = []
        self.seed = 5000

    def program(self, index: int) -> tuple[Any, list[Any], list[Any]]:
        while len(self.made) <= index:
            self.seed += 1
            program = grow(self.seed, leaves=False)
            if not program.features.layers_alone:
                continue
            samples = draw_inputs(program, SAMPLES, self.seed)
            batch = {name: np.concatenate([each[name] for each in samples]) for name in samples[0]}
            model = weft.quantize(load(onnx_model(program)), batch)
            executable = weft.compile(model, host=SLOW_HOST).executable
            if any(region.decisions for region in executable.regions):
                oracle = Oracle(integer_graph(normalize(model)).proto)
                self.made.append((model, samples, [oracle.run(sample) for sample in samples]))
        return self.made[index]


@pytest.fixture(scope="module")
def stored() -> Stored:
    return Stored()


@pytest.mark.parametrize("fault", [swapped_branches, next_threshold, one_iteration_less, dropped_state])
def test_is_noticed(fault: Callable[[Step], Step], stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    joined = joining._Joining._joined
    programs = [stored.program(index) for index in range(2)]
    monkeypatch.setattr(
        joining._Joining, "_joined", lambda self, steps, needed: joined(self, everywhere(fault, steps), needed)
    )
    for index in range(PROGRAMS):
        if index >= len(programs):
            with monkeypatch.context() as without:
                without.setattr(joining._Joining, "_joined", joined)
                programs.append(stored.program(index))
        if differs(*programs[index]):
            print(f"{fault.__name__}: noticed by program {index + 1}")
            return
    pytest.fail(f"{fault.__name__}: not noticed by {PROGRAMS} programs")


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
