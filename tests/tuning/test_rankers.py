"""Rankers: one interface, repeatable answers, and what the learned one carries from layer to layer."""

from __future__ import annotations

import numpy as np
import pytest

from weft.errors import CompileError
from weft.schedule.convolution import ConvolutionMode, ConvolutionShape
from weft.schedule.search import RANKERS, Problem, make_ranker
from weft_sim.machine import machine


def problem(channels: int, size: int) -> Problem:
    shape = ConvolutionShape(ConvolutionMode.DENSE, 1, size, size, channels, channels, (3, 3), (1, 1), (1, 1))
    return Problem(shape, machine("weft-16"))


def true_cycles(given: Problem) -> list[int]:
    """A world in which the estimate forgets that reductions had better be whole and columns narrow."""
    return [
        round(estimate * (1 + 0.5 * (tile.reduce_blocks < given.shape.reduce_blocks) + 0.02 * tile.columns))
        for estimate, tile in zip(given.estimates, given.candidates, strict=True)
    ]


def agreement(scores, truth) -> float:
    """Spearman's rank correlation."""
    ranks = [np.argsort(np.argsort(each, kind="stable")) for each in (scores, truth)]
    return float(np.corrcoef(*ranks)[0, 1])


def available(name: str):
    if name == "learned":
        pytest.importorskip("xgboost")
    return make_ranker(name, seed=7)


@pytest.mark.parametrize("name", RANKERS)
def test_equal_questions_equal_answers(name):
    given = problem(8, 28)
    known = dict(list(enumerate(true_cycles(given)))[:40])
    scores = []
    for _ in range(2):
        ranker = available(name)
        ranker.learn([(given, known)])
        scores.append(list(ranker.scores(given, known)))
    assert scores[0] == scores[1] and len(scores[0]) == len(given.candidates)


def test_random_orders_differ_by_seed():
    given = problem(8, 28)
    assert make_ranker("random", 1).scores(given, {}) != make_ranker("random", 2).scores(given, {})


def test_the_simulator_ranks_what_it_knows_by_its_cycles():
    given, ranker = problem(8, 28), make_ranker("simulator")
    truth = true_cycles(given)
    known = {number: truth[number] for number in (0, 5, 9)}
    scores = ranker.scores(given, known)
    assert [scores[number] for number in known] == list(known.values())
    assert all(score >= min(known.values()) for score in scores)


def test_what_is_learned_of_some_layers_holds_on_another():
    ranker, unseen = available("learned"), problem(16, 14)
    layers = [problem(4, 56), problem(8, 28), problem(32, 7)]
    ranker.learn([(each, dict(enumerate(true_cycles(each)))) for each in layers])
    truth, scores = true_cycles(unseen), ranker.scores(unseen, {})
    assert agreement(scores, truth) > 0.9 > agreement(unseen.estimates, truth)


def test_without_data_the_learned_ranker_is_the_analytic_one():
    given = problem(8, 28)
    assert list(available("learned").scores(given, {})) == list(make_ranker("analytic").scores(given, {}))


def test_unknown_rankers_and_missing_packages_are_named(monkeypatch):
    with pytest.raises(CompileError, match="known: learned"):
        make_ranker("oracle")
    monkeypatch.setitem(__import__("sys").modules, "xgboost", None)
    with pytest.raises(CompileError, match=r"weft\[tune\]"):
        make_ranker("learned")
