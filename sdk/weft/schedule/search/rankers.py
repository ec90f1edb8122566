"""Rankers say which candidates look best before they are measured. All have one interface."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from weft.schedule.choice import Shape, Tile
from weft.schedule.search.space import estimate, space
from weft_sim.machine import MachineConfig

__all__ = ["AnalyticRanker", "Problem", "RandomRanker", "Ranker", "SimulatorRanker"]

STEP_PENALTY = 0.05
"""By how much a neighbour is taken to be worse than a measured candidate, for each halving or doubling between them."""


@dataclass(frozen=True)
class Problem:
    """One operator's shape on one machine; its candidates are numbered, number 0 is what is taken without tuning."""

    shape: Shape
    machine: MachineConfig

    @cached_property
    def candidates(self) -> tuple[Tile, ...]:
        """All tiles that may be tried. Empty if nothing fits."""
        return space(self.shape, self.machine)

    @cached_property
    def estimates(self) -> tuple[float, ...]:
        """The analytic estimate of each candidate, in cycles."""
        return tuple(estimate(self.shape, tile, self.machine) for tile in self.candidates)


class Ranker(Protocol):
    """Ranks candidates of any problem, and may learn from what was measured of all problems."""

    def learn(self, measured: Sequence[tuple[Problem, Mapping[int, int]]]) -> None:
        """Told, from time to time, all cycles that are known, by problem and number of the candidate."""

    def scores(self, problem: Problem, measured: Mapping[int, int]) -> Sequence[float]:
        """One score for each candidate, the lower the better. `measured` are the cycles known of this problem."""


@dataclass(frozen=True)
class RandomRanker:
    """No opinion: an order drawn from the seed. What any other ranker has to beat."""

    seed: int = 0

    def learn(self, measured: Sequence[tuple[Problem, Mapping[int, int]]]) -> None:
        """Learns nothing."""

    def scores(self, problem: Problem, measured: Mapping[int, int]) -> Sequence[float]:
        """The same order for the same shape, machine and seed."""
        text = f"{self.seed}:{problem.machine.hash()}:{problem.shape}"
        source = random.Random(hashlib.sha256(text.encode()).digest())
        return [source.random() for _ in problem.candidates]


@dataclass(frozen=True)
class AnalyticRanker:
    """The estimate by which tiles are chosen without tuning."""

    def learn(self, measured: Sequence[tuple[Problem, Mapping[int, int]]]) -> None:
        """Learns nothing."""

    def scores(self, problem: Problem, measured: Mapping[int, int]) -> Sequence[float]:
        """Estimated cycles."""
        return problem.estimates


@dataclass(frozen=True)
class SimulatorRanker:
    """No model, only exact cycles of the timing-only simulator: a candidate is as good as the best that was simulated
    near it. This searches from the default tile outwards, always around the best so far."""

    def learn(self, measured: Sequence[tuple[Problem, Mapping[int, int]]]) -> None:
        """Learns nothing beyond the cycles of the problem itself."""

    def scores(self, problem: Problem, measured: Mapping[int, int]) -> Sequence[float]:
        """Simulated cycles where there are any; else those of the neighbour that promises most. Before anything is
        simulated, the estimates."""
        if not measured:
            return problem.estimates
        points = [_point(tile) for tile in problem.candidates]
        known = [(cycles, points[number]) for number, cycles in sorted(measured.items())]
        return [
            float(measured[number])
            if number in measured
            else min(cycles * (1 + STEP_PENALTY * math.dist(point, other)) for cycles, other in known)
            for number, point in enumerate(points)
        ]


def _point(tile: Tile) -> tuple[float, ...]:
    """The tile's sizes as base-2 logarithms; choices that are no sizes as 0 or 1."""
    values = [getattr(tile, field.name) for field in dataclasses.fields(tile)]
    return tuple(
        float(value) if isinstance(value, bool) or value <= 0 else math.log2(value)
        for value in values
        if isinstance(value, int)
    )
