"""The tuning cache: what it keeps, and what it does not believe."""

from __future__ import annotations

import json

import pytest

from weft.schedule.convolution import ConvolutionMode, ConvolutionShape
from weft.schedule.search import Problem
from weft.tuning import cache as module
from weft.tuning.cache import TunedTiles, TuningCache, problem_key
from weft_sim.machine import machine

SHAPE = ConvolutionShape(ConvolutionMode.DENSE, 1, 28, 28, 8, 8, (3, 3), (1, 1), (1, 1))
PROBLEM = Problem(SHAPE, machine("weft-16"))


def filled() -> TuningCache:
    cache = TuningCache()
    for number, cycles in ((0, 1000), (3, 900), (5, 950)):
        cache.put(PROBLEM, number, cycles)
    return cache


def file_of(cache: TuningCache):
    return cache.folder / f"{problem_key(PROBLEM)}.json"


def test_what_was_put_is_there_for_the_next_process():
    filled()
    assert TuningCache().measured(PROBLEM) == {0: 1000, 3: 900, 5: 950}
    assert TunedTiles(PROBLEM.machine).tile(SHAPE, None) == PROBLEM.candidates[3]


def test_other_machines_and_shapes_have_files_of_their_own():
    other = Problem(SHAPE, machine("weft-32"))
    assert problem_key(other) != problem_key(PROBLEM)
    filled()
    assert TuningCache().measured(other) == {}
    assert TunedTiles(other.machine).tile(SHAPE, None) is None


@pytest.mark.parametrize("cycles", [1000, 999])
def test_the_default_stays_where_little_is_gained(cycles):
    cache = TuningCache()
    cache.put(PROBLEM, 0, 1000)
    cache.put(PROBLEM, 4, cycles)
    assert cache.best(PROBLEM) is None


def test_nothing_is_chosen_before_the_default_is_measured():
    cache = TuningCache()
    cache.put(PROBLEM, 4, 10)
    assert cache.best(PROBLEM) is None


def changed(content: dict, **changes) -> bytes:
    return json.dumps({**content, **changes}).encode()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: b"[1, 2",
        lambda content: b"[" * 5_000,
        lambda content: b"\xff\x00",
        lambda content: b"[]",
        lambda content: changed(content, version=99),
        lambda content: changed(content, measured=7),
        lambda content: changed(content, measured=[[1, 2]]),
        lambda content: changed(content, measured=[[{"rows": 10**9}, 5]]),
        lambda content: changed(content, measured=[[content["measured"][0][0], -1]]),
        lambda content: changed(content, measured=[[content["measured"][0][0], True]]),
        lambda content: changed(content, shape={}),
        lambda content: b" " * (module.MAX_FILE_BYTES + 1),
    ],
)
def test_a_file_that_is_wrong_is_named_and_not_used(spoil, caplog):
    path = file_of(filled())
    path.write_bytes(spoil(json.loads(path.read_bytes())))
    assert TuningCache().measured(PROBLEM) == {}
    assert TunedTiles(PROBLEM.machine).tile(SHAPE, None) is None
    assert str(path) in caplog.text and "tune again" in caplog.text
    TuningCache().put(PROBLEM, 0, 1000)
    assert TuningCache().measured(PROBLEM) == {0: 1000}


def test_what_another_compiler_measured_is_passed_over(monkeypatch, caplog):
    filled()
    monkeypatch.setattr(module, "compiler_digest", lambda: "another")
    assert TuningCache().measured(PROBLEM) == {} and not caplog.text


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    cache = TuningCache(tmp_path / "file")
    cache.put(PROBLEM, 0, 1000)
    cache.put(PROBLEM, 1, 900)
    assert cache.measured(PROBLEM) == {0: 1000, 1: 900}
    assert caplog.text.count("cannot keep") == 1
