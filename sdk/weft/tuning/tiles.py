"""The tiles that a compiler takes: what tuning has found, or else the best of few that are measured at once."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping

from weft.ir import Operator
from weft.schedule.choice import ChosenTiles, Shape, Tile
from weft.schedule.search import Problem, default_cycles, lower_bound
from weft.tuning.cache import TuningCache, problem_key
from weft.tuning.subject import measure, subject
from weft_sim.machine import MachineConfig

__all__ = ["AskedTiles", "MeasuredTiles", "best_measured"]

Question = tuple[Shape, Operator, MachineConfig]

LEAST_GAIN = 0.002
"""A measured tile replaces the default one if it is better by this share: less is lost again between layers."""

FEW = 3
"""Candidates, by their estimates, that the compiler measures itself."""

WORTH_CYCLES = 1000
WORTH_SHARE = 1.05
"""Operators of fewer estimated cycles, or nearer to what array and DRAM allow, are not measured: little to gain."""


class AskedTiles:
    """Leaves every choice to the estimate, and remembers what it was asked."""

    def __init__(self) -> None:
        self._asked: list[Question] = []

    def tile(self, shape: Shape, operator: Operator, config: MachineConfig) -> Tile | None:
        """None."""
        self._asked.append((shape, operator, config))
        return None

    def questions(self, without: Collection[str]) -> list[Question]:
        """The questions about operators of other names than these."""
        return [each for each in self._asked if each[1].name not in without]


class MeasuredTiles:
    """Of shapes that were tuned, the best tile; of others the best of few. `cache` is None where nothing of what was
    tuned shall count."""

    def __init__(self, cache: TuningCache | None) -> None:
        self._cache = cache
        self._chosen: dict[Problem, Tile | None] = {}

    def tile(self, shape: Shape, operator: Operator, config: MachineConfig) -> Tile | None:
        """The measured tile, or None where the default one stays."""
        problem = Problem(shape, config)
        if problem not in self._chosen:
            self._chosen[problem] = self._choose(problem, operator)
        return self._chosen[problem]

    def better(self, questions: Iterable[Question]) -> ChosenTiles | None:
        """The tiles for these, or None if all of them keep the default one."""
        found = {(shape, config): self.tile(shape, operator, config) for shape, operator, config in questions}
        better = {key: tile for key, tile in found.items() if tile is not None}
        return ChosenTiles(better) if better else None

    def _choose(self, problem: Problem, operator: Operator) -> Tile | None:
        known: Mapping[int, int] = {}
        if self._cache is not None:
            chosen = self._cache.chosen(problem)
            if chosen is not None:
                return problem.candidates[chosen] if chosen else None
            known = self._cache.measured(problem)
        return best_measured(problem, known if 0 in known else _few(problem, operator))


def best_measured(problem: Problem, known: Mapping[int, int]) -> Tile | None:
    """The measured tile of least cycles, or None if none is known to beat the default tile."""
    default = known.get(0)
    if default is None:
        return None
    number = min(known, key=lambda each: (known[each], each))
    return None if known[number] > default * (1 - LEAST_GAIN) else problem.candidates[number]


def _few(problem: Problem, operator: Operator) -> Mapping[int, int]:
    estimated = default_cycles(problem.shape, problem.machine)
    if estimated < max(WORTH_CYCLES, WORTH_SHARE * lower_bound(problem.shape, problem.machine)):
        return {}
    return _measured(problem, _Given(operator))


class _Given:
    """An operator that does not count when calls are compared: any of the shape has the same cycles."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Given)

    def __hash__(self) -> int:
        return 0


@functools.lru_cache(maxsize=1024)
def _measured(problem: Problem, given: _Given) -> Mapping[int, int]:
    measured = subject(problem_key(problem), given.operator, problem.shape, problem.machine)
    return {number: measure(measured, tile) for number, tile in enumerate(problem.candidates[:FEW])}
