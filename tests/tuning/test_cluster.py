"""Measuring on a real Dask cluster of worker processes on this machine."""

from __future__ import annotations

import dataclasses
import os
import signal
import time

import pytest

from weft.api.tuning import TuneOptions, tune
from weft.errors import CompileError
from weft.tuning.cache import TuningCache
from weft.tuning.cluster import ClusterWorkers
from weft.tuning.workers import Call

distributed = pytest.importorskip("distributed")
OPTIONS = TuneOptions(trials=10, ranker="simulator", processes=2)


def slowly(value: int) -> int:
    time.sleep(0.3)
    return value * value


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as made:
        yield made


def test_a_cluster_finds_what_this_machine_finds(cluster, small_model, tmp_path):
    here = tune(small_model, options=OPTIONS, cache=TuningCache(tmp_path / "here"))
    there = tune(
        small_model,
        options=dataclasses.replace(OPTIONS, scheduler=cluster.scheduler_address),
        cache=TuningCache(tmp_path / "there"),
    )
    assert there.operators == here.operators and there.cycles_after == here.cycles_after
    assert there.workers == 3


def test_a_worker_that_dies_loses_nothing(cluster):
    with ClusterWorkers(cluster.scheduler_address) as workers:
        answers = {}
        for index, answer in workers.run([Call(slowly, (number,)) for number in range(12)]):
            if not answers:
                os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
            answers[index] = answer
    assert answers == {number: number * number for number in range(12)}


def test_nothing_is_waited_for_after_the_deadline(cluster):
    with ClusterWorkers(cluster.scheduler_address) as workers:
        start = time.monotonic()
        assert len(list(workers.run([Call(slowly, (1,))] * 100, until=start + 1))) < 100
        assert time.monotonic() - start < 10


def test_an_address_without_a_scheduler_is_an_error(monkeypatch):
    monkeypatch.setattr("weft.tuning.cluster.CONNECT_SECONDS", 1)
    with pytest.raises(CompileError, match="no Dask scheduler answers"):
        ClusterWorkers("tcp://127.0.0.1:9")
    with pytest.raises(CompileError, match="no Dask scheduler answers"):
        ClusterWorkers("nonsense://")


def test_a_scheduler_without_workers_is_an_error(monkeypatch):
    monkeypatch.setattr("weft.tuning.cluster.PATIENCE_SECONDS", 1)
    empty = distributed.LocalCluster(n_workers=0, processes=True, dashboard_address=None, silence_logs=50)
    with empty, pytest.raises(CompileError, match="has no workers"):
        ClusterWorkers(empty.scheduler_address)
