"""The choice among the best candidates where it counts: in the regions of the model, next to other operators.

An operator alone starts and ends with idle units; in a region its neighbours fill these times, and share the memories.
So the few best of every shape are tried in the regions themselves, one shape after the other, those first with the most
to gain. Candidates of a shape are tried at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from weft.ir import Operator
from weft.schedule.choice import ChosenTiles, Tile
from weft.schedule.search import Problem
from weft.tuning.search import Budget
from weft.tuning.subject import restore, strip
from weft.tuning.workers import Call, Workers
from weft_sim.machine import MachineConfig

__all__ = ["RegionOperators", "Uses", "choose_among_neighbours"]

FINALISTS = 2


@dataclass(frozen=True)
class RegionOperators:
    """A region: its operators, without the values of their weights, and what is read outside of it."""

    operators: tuple[Operator, ...]
    outputs: frozenset[str]

    @classmethod
    def of(cls, operators: Sequence[Operator], outputs: frozenset[str]) -> RegionOperators:
        """Of operators as they are."""
        return cls(tuple(strip(each) for each in operators), outputs)


@dataclass(frozen=True)
class Uses:
    """A problem, how many operators of the model have it, and what was measured of it."""

    problem: Problem
    count: int
    measured: Mapping[int, int]

    @property
    def finalists(self) -> list[int]:
        """The best candidates alone, and the default one."""
        ordered = sorted(self.measured, key=lambda number: (self.measured[number], number))
        return [0, *(number for number in ordered[:FINALISTS] if number != 0)]

    @property
    def gain(self) -> int:
        """Cycles to gain at most, were the operators alone."""
        return self.count * (self.measured[0] - min(self.measured.values())) if 0 in self.measured else 0


def region_cycles(
    regions: Sequence[RegionOperators], machine: MachineConfig, chosen: Sequence[tuple[Problem, Tile]]
) -> int:
    """Cycles of all regions together with these tiles, and default ones for other shapes."""
    from weft.codegen.measured import lower_measured  # a worker process imports the compiler when it is first used
    from weft.codegen.region import Schedule

    tiles = ChosenTiles({(problem.shape, problem.machine): tile for problem, tile in chosen})
    schedule = Schedule(tiles=tiles)
    total = 0
    for region in regions:
        operators = [restore(operator) for operator in region.operators]
        total += lower_measured("tuned", operators, set(region.outputs), machine, schedule)[1].cycles
    return total


def choose_among_neighbours(
    regions: Sequence[RegionOperators],
    uses: Sequence[Uses],
    machine: MachineConfig,
    workers: Workers,
    budget: Budget,
    keep: Callable[[Problem, int], None],
) -> list[int]:
    """The candidate of each problem, kept by `keep` as it is found. Where the time is up, the best so far stays."""
    tried = [index for index, each in enumerate(uses) if each.gain > 0]

    def call(numbers: Sequence[int]) -> Call:
        chosen = [(each.problem, each.problem.candidates[n]) for each, n in zip(uses, numbers, strict=True) if n]
        return Call(region_cycles, (tuple(regions), machine, tuple(chosen)))

    default, alone = [0] * len(uses), [each.finalists[1] if each.gain > 0 else 0 for each in uses]
    starts = dict(workers.run([call(default), call(alone)] if tried else [], budget.until))
    if len(starts) < 2:
        return default
    numbers, best = (alone, starts[1]) if starts[1] < starts[0] else (default, starts[0])
    for index in sorted(tried, key=lambda each: (-uses[each].gain, each)):
        others = [number for number in uses[index].finalists if number != numbers[index]]
        trials = [[*numbers[:index], number, *numbers[index + 1 :]] for number in others]
        answers = dict(workers.run([call(each) for each in trials], budget.until))
        for position in sorted(answers):
            if answers[position] < best:
                numbers, best = trials[position], answers[position]
        if budget.over:
            break
    for each, number in zip(uses, numbers, strict=True):
        if 0 in each.measured:
            keep(each.problem, number)
    return numbers
