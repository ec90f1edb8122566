"""`weft bench tune`: all of ResNet-18 tuned, against an exhaustive search, and how fast each ranker gets there."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from weft.api.targets import resolve_machine
from weft.api.tuning import TuneOptions, TuneReport, tune
from weft.backends.npu import NpuAccelerator
from weft.bench.networks import resnet18
from weft.compiler import compile as compile_model
from weft.frontend import Model
from weft.schedule.search import make_ranker
from weft.tuning.cache import TuningCache
from weft.tuning.record import Recorder
from weft.tuning.search import Budget, Target, search
from weft.tuning.workers import LocalWorkers

__all__ = ["run"]

RANKERS = ("random", "analytic", "learned", "simulator")
SECONDS = 60.0
POINTS = (1, 2, 4, 8, 16, 32, 64, 128)


def run(
    target: str = "weft-16", trials: str = "48", ranker: str = "learned", layers: str = "3", size: str = "224"
) -> dict[str, Any]:
    """Tunes ResNet-18 from nothing, `trials` candidates a shape; then measures every candidate of `layers` of its
    shapes, evenly spread over the network, and lets the rankers search among these."""
    model = Model(resnet18(int(size)), name="resnet18")
    machine = resolve_machine(target)
    with tempfile.TemporaryDirectory(prefix="weft-") as folder:
        start = time.perf_counter()
        report = tune(
            model, target, TuneOptions(int(trials), SECONDS, ranker), cache=TuningCache(Path(folder) / "tune")
        )
        whole = time.perf_counter() - start
        recorder = Recorder()
        compile_model(model, NpuAccelerator(machine, recorder))
        sample = _spread([each for each, _ in recorder.targets], int(layers))
        everything = TuningCache(Path(folder) / "everything")
        start = time.perf_counter()
        with LocalWorkers() as workers:
            most = max((len(each.problem.candidates) for each in sample), default=0)
            known = search(sample, make_ranker("analytic"), workers, Budget(most), everything)
            exhaustive = time.perf_counter() - start
            paths = {
                name: search(sample, make_ranker(name), workers, Budget(max(POINTS)), everything) for name in RANKERS
            }
    best = [min(each.values()) for each in known]
    rows = [_row(report, each, cycles) for each, cycles in zip(sample, known, strict=True)]
    return {
        "target": target, "ranker": ranker, "seconds": report.seconds, "seconds_with_compiling": whole,
        "workers": report.workers, "trials": report.trials, "shapes": len(report.operators),
        "cycles_before": report.cycles_before, "cycles_after": report.cycles_after,
        "exhaustive_seconds": exhaustive, "worst_over_exhaustive": max((row["over_best"] for row in rows), default=0.0),
        "layers": rows, "cycles_by_trials": _curves(paths, best),
    }  # fmt: skip


def _spread(targets: Sequence[Target], count: int) -> list[Target]:
    """So many of the targets, evenly spaced, the first and the last with them."""
    count = min(count, len(targets))
    return [targets[round(index * (len(targets) - 1) / max(1, count - 1))] for index in range(count)]


def _row(report: TuneReport, target: Target, known: Mapping[int, int]) -> dict[str, Any]:
    """One layer: the default tile, what tuning has found, and the best of all candidates."""
    tuned = next(each for each in report.operators if each.shape == repr(target.problem.shape))
    best = min(known.values())
    found = tuned.tuned_cycles or known[0]
    return {
        "layer": tuned.operators[0], "candidates": len(known), "default": known[0], "tuned": found, "best": best,
        "over_best": found / best - 1,
    }  # fmt: skip


def _curves(paths: Mapping[str, Sequence[Mapping[int, int]]], best: Sequence[int]) -> list[dict[str, Any]]:
    """For numbers of trials a layer: by how much the best cycles so far exceed the best of all, mean of the layers."""
    rows = []
    for point in POINTS:
        row: dict[str, Any] = {"trials": point}
        for name, found in paths.items():
            over = [min(list(each.values())[:point]) / least - 1 for each, least in zip(found, best, strict=True)]
            row[name] = sum(over) / max(1, len(over))
        rows.append(row)
    return rows
