"""weft bench tune, on a small network."""

from __future__ import annotations

import pytest

from weft.bench import BENCHMARKS
from weft.bench.builder import QdqBuilder


def test_the_benchmark_compares_with_all_candidates(monkeypatch):
    pytest.importorskip("xgboost")
    build = QdqBuilder("tiny", 1)
    proto = build.build(build.convolution(build.input((1, 16, 12, 12)), 16, 3))
    monkeypatch.setattr("weft.bench.tune.resnet18", lambda size: proto)
    figures = BENCHMARKS["tune"].run(target="weft-8", trials="8", layers="1")
    assert figures["shapes"] == len(figures["layers"]) == 1 and figures["cycles_after"] <= figures["cycles_before"]
    for row in figures["layers"]:
        assert row["best"] <= row["tuned"] <= row["default"]
    worst = max(row["tuned"] / row["best"] - 1 for row in figures["layers"])
    assert figures["worst_over_exhaustive"] == pytest.approx(worst)
    for before, after in zip(figures["cycles_by_trials"], figures["cycles_by_trials"][1:], strict=False):
        assert all(0 <= after[name] <= before[name] for name in ("random", "analytic", "learned", "simulator"))
