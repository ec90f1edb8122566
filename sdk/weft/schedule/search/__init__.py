"""The search for tiles: the space, and rankers behind one interface."""

from __future__ import annotations

from weft.errors import CompileError
from weft.schedule.search.learned import LearnedRanker
from weft.schedule.search.rankers import AnalyticRanker, Problem, RandomRanker, Ranker, SimulatorRanker
from weft.schedule.search.space import default_tile, estimate, space

__all__ = [
    "RANKERS",
    "AnalyticRanker",
    "LearnedRanker",
    "Problem",
    "RandomRanker",
    "Ranker",
    "SimulatorRanker",
    "default_tile",
    "estimate",
    "make_ranker",
    "space",
]

RANKERS = ("learned", "simulator", "analytic", "random")


def make_ranker(name: str, seed: int = 0) -> Ranker:
    """The ranker of that name. Raises CompileError for an unknown one, or if a package that it needs is missing."""
    match name:
        case "learned":
            return LearnedRanker(seed)
        case "simulator":
            return SimulatorRanker()
        case "analytic":
            return AnalyticRanker()
        case "random":
            return RandomRanker(seed)
    raise CompileError(f"unknown ranker {name!r}; known: {', '.join(RANKERS)}")
