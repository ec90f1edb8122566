"""`weft bench partition`: how long the assignment of large random graphs takes."""

from __future__ import annotations

import random
import time
from typing import Any

from weft.partition.assignment import Problem, Tensor, Unit, assign

__all__ = ["random_problem", "run"]


def run(units: str = "10000", problems: str = "5", processors: str = "2") -> dict[str, Any]:
    """Assigns `problems` random graphs of `units` units each; the seconds are of the assignment alone."""
    seconds, optimal = [], True
    for seed in range(int(problems)):
        problem = random_problem(int(units), int(processors), seed)
        start = time.perf_counter()
        optimal &= assign(problem).optimal
        seconds.append(time.perf_counter() - start)
    return {
        "units": int(units),
        "processors": int(processors),
        "problems": len(seconds),
        "mean_seconds": sum(seconds) / max(1, len(seconds)),
        "worst_seconds": max(seconds, default=0.0),
        "all_proven_optimal": optimal,
    }


def random_problem(units: int, processors: int, seed: int, most: int = 10**9, reach: int = 50) -> Problem:
    """A layered random graph like a network's: units read one to three of the `reach` units before them, some are
    pinned, costs go up to `most`, moves up to a tenth of that."""
    draw = random.Random(seed)
    readers: list[list[int]] = [[] for _ in range(units)]
    for index in range(1, units):
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            readers[draw.randrange(max(0, index - reach), index)].append(index)
    return Problem(
        tuple(f"p{index}" for index in range(processors)),
        tuple(Unit(f"u{index}", _unit_costs(draw, processors, most)) for index in range(units)),
        tuple(
            Tensor(f"t{index}", index, tuple(each), _moves(draw, processors, most // 10))
            for index, each in enumerate(readers)
            if each
        ),
    )


def _unit_costs(draw: random.Random, processors: int, most: int) -> tuple[int | None, ...]:
    costs: list[int | None] = [draw.randint(0, most) for _ in range(processors)]
    if draw.random() < 0.2:
        kept = draw.randrange(processors)
        costs = [cost if index == kept or draw.random() < 0.3 else None for index, cost in enumerate(costs)]
    return tuple(costs)


def _moves(draw: random.Random, processors: int, most: int) -> tuple[tuple[int | None, ...], ...]:
    rows: list[tuple[int | None, ...]] = []
    for source in range(processors):
        rows.append(tuple(0 if target == source else draw.randint(0, most) for target in range(processors)))
    return tuple(rows)
