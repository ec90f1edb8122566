"""The choice among the best candidates, in the regions of the model."""

from __future__ import annotations

import time

import pytest

import weft
from weft.api.tuning import TuneOptions, tune
from weft.backends.npu import NpuAccelerator
from weft.schedule.choice import ANALYTIC
from weft.tuning.cache import TuningCache
from weft.tuning.neighbours import RegionOperators, Uses, choose_among_neighbours, region_cycles
from weft.tuning.record import Recorder
from weft.tuning.search import Budget
from weft.tuning.tiles import MeasuredTiles
from weft.tuning.workers import LocalWorkers
from weft_sim.machine import machine

CONFIG = machine("weft-8")


class Listening(NpuAccelerator):
    def emit(self, request):
        self.request = request
        return super().emit(request)


@pytest.fixture
def region(small_model):
    recorder = Recorder()
    accelerator = Listening(CONFIG, recorder)
    program = weft.compile(small_model, accelerator)
    problems = [target.problem for target, _ in recorder.targets]
    return RegionOperators.of(accelerator.request.operators, accelerator.request.outputs), problems, program


def test_a_region_without_weights_takes_as_long(region):
    operators, problems, program = region
    assert region_cycles([operators], CONFIG, []) == program.estimated_cycles
    tiles = {each: each.candidates[-1] for each in problems}
    slow = region_cycles([operators], CONFIG, list(tiles.items()))
    assert slow > program.estimated_cycles
    assert slow == region_cycles([operators, operators], CONFIG, list(tiles.items())) / 2


def test_measurements_that_mislead_do_no_harm(region):
    """Alone, the last candidate of each shape is said to be the best: in the region it is not, and is not taken."""
    operators, problems, program = region
    uses = [Uses(each, 1, {0: 1000, len(each.candidates) - 1: 1}) for each in problems]
    kept = {}
    with LocalWorkers(2) as workers:
        numbers = choose_among_neighbours([operators], uses, CONFIG, workers, Budget(1), kept.__setitem__)
    chosen = [(each, each.candidates[n]) for each, n in zip(problems, numbers, strict=True) if n]
    assert region_cycles([operators], CONFIG, chosen) <= program.estimated_cycles
    assert [kept[each] for each in problems] == numbers


def test_without_time_nothing_is_chosen(region):
    operators, problems, _ = region
    uses = [Uses(each, 1, {0: 1000, 1: 900}) for each in problems]
    kept = {}
    with LocalWorkers(1) as workers:
        late = Budget(1, time.monotonic())
        assert choose_among_neighbours([operators], uses, CONFIG, workers, late, kept.__setitem__) == [0] * len(uses)
    assert not kept


def test_the_choice_is_kept_and_checked(small_model, tmp_path, caplog):
    cache = TuningCache(tmp_path)
    options = TuneOptions(trials=8, ranker="analytic", processes=2)
    report = tune(small_model, "weft-8", options, cache=cache)
    accelerator = NpuAccelerator(CONFIG, MeasuredTiles(TuningCache(tmp_path)))
    assert weft.compile(small_model, accelerator).estimated_cycles == report.cycles_after <= report.cycles_before
    files = sorted(cache.folder.glob("*.json"))
    assert len(files) == len(report.operators)
    for file in files:
        file.write_text(file.read_text().replace('"chosen":{', '"chosen":{"extra":1,'))
    recorder = Recorder()
    weft.compile(small_model, NpuAccelerator(CONFIG, recorder))
    assert all(TuningCache(tmp_path).chosen(target.problem) is None for target, _ in recorder.targets)
    assert "not a legal one" in caplog.text


def test_a_region_never_gets_slower_by_measured_tiles(small_model):
    class Worst(MeasuredTiles):
        def _choose(self, problem, operator):
            return problem.candidates[-1]

    plain = weft.compile(small_model, NpuAccelerator(CONFIG, ANALYTIC)).estimated_cycles
    assert weft.compile(small_model, NpuAccelerator(CONFIG, Worst(None))).estimated_cycles == plain
