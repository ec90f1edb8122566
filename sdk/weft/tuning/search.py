"""The search: rounds in which a ranker proposes candidates of every problem, which are then measured in parallel.

What is proposed depends on the rounds before and not on who was quicker, so equal trials and seed give equal results on
any number of workers. Every number is kept as soon as it is there; a search that was interrupted finds them all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from weft.schedule.search import Problem, Ranker
from weft.tuning.subject import Subject, measure
from weft.tuning.workers import Call, Workers

__all__ = ["Budget", "Measurements", "SearchProgress", "Target", "search"]

BATCH = 8
"""Candidates of a problem in a round."""


class Measurements(Protocol):
    """Where cycles are kept; `weft.tuning.cache.TuningCache` keeps them on disk."""

    def measured(self, problem: Problem) -> Mapping[int, int]: ...

    def put(self, problem: Problem, number: int, cycles: int) -> None: ...


@dataclass(frozen=True)
class Target:
    """A problem with an operator that has it."""

    problem: Problem
    subject: Subject


@dataclass(frozen=True)
class Budget:
    """When to stop: after `trials` candidates of each problem, or at `until` (of time.monotonic), or when every
    candidate is measured."""

    trials: int
    until: float | None = None

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.until is not None and time.monotonic() >= self.until


class SearchProgress(Protocol):
    """Called after every measurement."""

    def __call__(self, done: int, total: int) -> None: ...


def search(
    targets: Sequence[Target],
    ranker: Ranker,
    workers: Workers,
    budget: Budget,
    kept: Measurements,
    progress: SearchProgress = lambda done, total: None,
) -> list[dict[int, int]]:
    """Cycles by candidate of each target's problem, in the order in which they were proposed. What `kept` knows is not
    measured again but counts as a trial. Raises CompileError if a candidate cannot be lowered."""
    found: list[dict[int, int]] = [{} for _ in targets]
    total = sum(min(budget.trials, len(target.problem.candidates)) for target in targets)
    while not budget.over:
        proposed = [
            (index, number)
            for index, target in enumerate(targets)
            for number in _propose(target.problem, ranker, found[index], budget.trials)
        ]
        if not proposed:
            break
        answers: dict[tuple[int, int], int] = {}
        done = sum(len(each) for each in found)
        for place, cycles in _measured(targets, proposed, workers, budget, kept):
            answers[place] = cycles
            progress(done + len(answers), total)
        for index, number in proposed:
            if (index, number) in answers:
                found[index][number] = answers[index, number]
        ranker.learn([(target.problem, each) for target, each in zip(targets, found, strict=True)])
    return found


def _propose(problem: Problem, ranker: Ranker, found: Mapping[int, int], trials: int) -> list[int]:
    """The numbers of the next candidates. The first of all is the default tile, against which gains count."""
    room = min(BATCH, trials - len(found), len(problem.candidates) - len(found))
    if room <= 0:
        return []
    scores = ranker.scores(problem, found)
    order = sorted(set(range(len(problem.candidates))) - set(found), key=lambda number: (scores[number], number))
    if not found:
        order = [0, *(number for number in order if number != 0)]
    return order[:room]


def _measured(
    targets: Sequence[Target],
    proposed: Sequence[tuple[int, int]],
    workers: Workers,
    budget: Budget,
    kept: Measurements,
) -> Iterator[tuple[tuple[int, int], int]]:
    missing: list[tuple[int, int]] = []
    for index, number in proposed:
        known = kept.measured(targets[index].problem).get(number)
        if known is None:
            missing.append((index, number))
        else:
            yield (index, number), known
    calls = [
        Call(measure, (targets[index].subject, targets[index].problem.candidates[number])) for index, number in missing
    ]
    for position, cycles in workers.run(calls, budget.until):
        index, number = missing[position]
        kept.put(targets[index].problem, number, cycles)
        yield (index, number), cycles
