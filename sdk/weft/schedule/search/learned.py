"""A cost model that learns from measurements: gradient-boosted trees over features of the task mapping.

It predicts by how much the analytic estimate is wrong, log(cycles ÷ estimate), so before it knows anything it ranks as
the estimate does, and what it has learned of one layer it applies to the next one.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weft.errors import CompileError
from weft.schedule.search.features import features
from weft.schedule.search.rankers import Problem

__all__ = ["LearnedRanker"]

ROUNDS = 60
LEAST = 8
"""Measurements without which there is no model yet."""

MOST = 20_000
"""Measurements that a model is trained on at most, the newest."""

PARAMETERS: dict[str, Any] = {
    "objective": "reg:squarederror", "max_depth": 5, "eta": 0.2, "min_child_weight": 1, "nthread": 1,
    "tree_method": "exact", "base_score": 0.0, "verbosity": 0,
}  # fmt: skip


class LearnedRanker:
    """Ranks by predicted cycles. One thread and no sampling: equal measurements give equal scores.

    Raises CompileError if the package xgboost is not installed.
    """

    def __init__(self, seed: int = 0) -> None:
        try:
            self._xgboost: Any = importlib.import_module("xgboost")
        except ImportError as error:
            raise CompileError("the learned ranker needs xgboost: pip install 'weft[tune]'") from error
        self._seed = seed
        self._model: Any = None
        self._features: dict[Problem, npt.NDArray[np.float32]] = {}

    def learn(self, measured: Sequence[tuple[Problem, Mapping[int, int]]]) -> None:
        """Trains a new model on everything that is known."""
        rows, targets = [], []
        for problem, cycles in measured:
            table = self._table(problem)
            for number, value in sorted(cycles.items()):
                rows.append(table[number])
                targets.append(math.log(max(1, value) / problem.estimates[number]))
        if len(rows) < LEAST:
            return
        data = self._xgboost.DMatrix(np.array(rows[-MOST:]), label=np.array(targets[-MOST:], np.float32))
        self._model = self._xgboost.train({**PARAMETERS, "seed": self._seed}, data, ROUNDS)

    def scores(self, problem: Problem, measured: Mapping[int, int]) -> Sequence[float]:
        """Predicted cycles; the estimates as long as there is no model."""
        if self._model is None:
            return problem.estimates
        wrong = self._model.predict(self._xgboost.DMatrix(self._table(problem)))
        return [
            estimate * math.exp(float(each)) for estimate, each in zip(problem.estimates, wrong, strict=True)
        ]  # fmt: skip

    def _table(self, problem: Problem) -> npt.NDArray[np.float32]:
        if problem not in self._features:
            rows = [features(problem.shape, tile, problem.machine) for tile in problem.candidates]
            self._features[problem] = np.array(rows, np.float32)
        return self._features[problem]
