"""weft.tune: repeatable, resumable, and of use to the compiler."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import weft
from weft.api.tuning import TuneOptions, tune
from weft.errors import CompileError, MachineError
from weft.tuning.cache import TuningCache

OPTIONS = TuneOptions(trials=12, ranker="simulator", processes=2)


class Interrupted(Exception):
    pass


def outcome(report):
    return [
        (each.operators, each.trials, each.default_cycles, each.tuned_cycles, each.tile) for each in report.operators
    ]


def test_tuned_tiles_reach_the_program_and_keep_its_answers(small_model):
    inputs = {"input": np.random.default_rng(0).normal(0, 1, (1, 16, 14, 14)).astype(np.float32)}
    before = weft.compile(small_model, "weft-8")
    report = tune(small_model, "weft-8", OPTIONS)
    after = weft.compile(small_model, "weft-8")
    assert report.complete and report.cycles_before == before.estimated_cycles
    assert report.cycles_after == after.estimated_cycles
    assert any(each.tuned_cycles < each.default_cycles for each in report.operators)
    assert after.estimated_cycles < before.estimated_cycles
    answers = []
    for program in (before, after):
        with weft.Session(program, device="sim") as session:
            answers.append(session.run(inputs)["output"])
    assert (answers[0] == answers[1]).all()


@pytest.mark.parametrize("ranker", ["learned", "random"])
def test_equal_trials_and_seed_give_equal_results_on_any_number_of_workers(small_model, tmp_path, ranker):
    if ranker == "learned":
        pytest.importorskip("xgboost")
    reports = [
        tune(
            small_model,
            options=dataclasses.replace(OPTIONS, ranker=ranker, processes=processes),
            cache=TuningCache(tmp_path / f"{processes}"),
        )
        for processes in (1, 2)
    ]
    assert outcome(reports[0]) == outcome(reports[1])
    assert [each.operators[1:] != () for each in reports[0].operators].count(True) == 1  # two layers of one shape


def test_an_interrupted_search_goes_on_where_it_was(small_model, tmp_path):
    whole = tune(small_model, options=OPTIONS, cache=TuningCache(tmp_path / "whole"))

    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "tune" and done == 7:
            raise Interrupted

    with pytest.raises(Interrupted):
        tune(small_model, options=OPTIONS, cache=TuningCache(tmp_path / "parts"), progress=interrupt)
    kept = [path.read_text().count('"kind":"ConvolutionTile"') for path in (tmp_path / "parts").rglob("*.json")]
    assert sum(kept) >= 7
    assert outcome(tune(small_model, options=OPTIONS, cache=TuningCache(tmp_path / "parts"))) == outcome(whole)


def test_a_time_budget_ends_the_search(small_model):
    report = tune(small_model, options=dataclasses.replace(OPTIONS, seconds=1e-6))
    assert not report.complete and report.trials == 0 and report.cycles_before == report.cycles_after
    assert all(each.tuned_cycles is None for each in report.operators)


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"seconds": 0.0}, {"seconds": float("nan")}, {"ranker": "oracle"}])
def test_impossible_options_are_refused(small_model, wrong):
    with pytest.raises(CompileError):
        tune(small_model, options=dataclasses.replace(OPTIONS, **wrong))


def test_only_one_machine_can_be_tuned_for(small_model):
    with pytest.raises(MachineError):
        tune(small_model, "weft-8,weft-16", OPTIONS)
