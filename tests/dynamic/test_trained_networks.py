"""The trained suite: every network compiles, and does what an independent interpreter of its integer program does."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from functools import cache

import numpy as np
import pytest
from agreement import agreed, assert_all_taken

import weft
from weft.api.race_check import check
from weft.dynamic import split
from weft.frontend import Model, normalize
from weft.lowering import Driver
from weft.partition.costs import host_profile
from weft.program import Program

pytest.importorskip("sklearn")
from figures import FIGURES, measured, parameters
from suite import SUITE, TRAINED

SLOW_HOST = dataclasses.replace(
    host_profile("cortex-a53"), name="slow", node_microseconds=1e6, launch_microseconds=0, transfer_microseconds=0
)
INPUTS, BY_HOST = 500, 40
ONE_COPY, ALL_COPIES = 270_000, 5_000_000
"""Bytes in the repository: of a network's model, and of all networks."""


@cache
def quantized(name: str) -> Model:
    entry = SUITE[name]
    return weft.quantize(weft.load(entry.model), dict(entry.data().calibration.inputs))


@cache
def built(name: str, driver: Driver = "device") -> Program:
    return weft.compile(quantized(name), host=SLOW_HOST, driver=driver)


def test_all_are_stored_and_small() -> None:
    assert {path.stem for path in TRAINED.glob("*.onnx")} == SUITE.keys() == {p.stem for p in TRAINED.glob("*.npz")}
    assert max(path.stat().st_size for path in TRAINED.iterdir()) <= ONE_COPY
    assert sum(path.stat().st_size for path in TRAINED.iterdir()) <= ALL_COPIES


def test_parts_of_the_data_share_nothing() -> None:
    for entry in SUITE.values():
        data = entry.data()
        parts = [
            {b"".join(rows.tobytes() for rows in each.sample(index).values()) for index in range(len(each))}
            for each in (data.training, data.calibration, data.evaluation)
        ]
        assert len(data.evaluation) >= INPUTS
        assert not (parts[0] | parts[1]) & parts[2] and not parts[0] & parts[1]


@pytest.mark.parametrize("name", SUITE)
def test_outputs_and_paths(name: str) -> None:
    """Decided by the accelerator where it can, and by the host: both as the oracle. In 8 bits a network is about as
    good as in float, and all outcomes are taken."""
    entry = SUITE[name]
    evaluation = entry.data().evaluation
    samples = [evaluation.sample(index) for index in range(INPUTS)]
    answers, outcomes = agreed(quantized(name), (built(name), built(name, "host")), samples, BY_HOST)
    assert_all_taken(outcomes)
    right = [
        entry.correct(np.asarray(next(iter(answer.values()))), target)
        for answer, target in zip(answers, evaluation.targets[:INPUTS], strict=True)
    ]
    accuracy, parts = measured(weft.load(entry.model), evaluation, entry)
    assert_all_taken(
        {node: Counter({key: int(1000 * part) for key, part in each.items()}) for node, each in parts.items()}
    )
    assert accuracy >= 0.93
    assert abs(float(np.mean(right)) - accuracy) <= 0.02
    written = json.loads(FIGURES.read_text())[name]
    assert abs(written["accuracy"] - accuracy) <= 0.01
    assert written["parameters"] == parameters(weft.load(entry.model).proto)


@pytest.mark.parametrize("name", SUITE)
def test_all_products_run_on_the_accelerator(name: str) -> None:
    splitting = split(normalize(weft.load(SUITE[name].model)))
    assert splitting.form is not None and not splitting.refused
    for driver in ("device", "host"):
        executable = built(name, driver).executable
        assert executable.offloaded_macs == executable.macs > 0
        assert not check(executable).findings


@pytest.mark.parametrize("name", SUITE)
def test_golden_model_agrees(name: str) -> None:
    evaluation = SUITE[name].data().evaluation
    with weft.Session(built(name)) as simulator, weft.Session(built(name), device="golden") as golden:
        for index in range(2):
            ours, theirs = (each.run(evaluation.sample(index)) for each in (simulator, golden))
            assert simulator.profile.paths == golden.profile.paths
            for key, array in ours.items():
                np.testing.assert_array_equal(array, theirs[key])


@pytest.mark.parametrize("name", ["skipnet", "skipnet_recurrent"])
def test_gates_on_the_device_are_one_launch(name: str) -> None:
    """Four decisions among 3.9 million multiplications: the host launches once, each decision costs less than 500
    cycles, and a skipped block saves more than that."""
    evaluation = SUITE[name].data().evaluation
    by_count: dict[int, list[int]] = {}
    with weft.Session(built(name)) as device, weft.Session(built(name, "host")) as host:
        for index in range(20):
            device.run(evaluation.sample(index))
            host.run(evaluation.sample(index))
            assert len(device.profile.regions) == 1 < len(host.profile.regions)
            assert device.profile.macs == host.profile.macs
            assert device.profile.cycles < host.profile.cycles + 4 * 500
            ran = sum(step.outcome == "then" for step in device.profile.paths[0])
            by_count.setdefault(ran, []).append(device.profile.cycles)
    counts = sorted(by_count)
    assert len(counts) > 1
    assert np.mean(by_count[counts[-1]]) - np.mean(by_count[counts[0]]) > 500 * (counts[-1] - counts[0])
