"""The trained suite: every network compiles, and does what an independent interpreter of its integer program does."""

from __future__ import annotations

import dataclasses
import json
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
from figures import FIGURES, form_of, measured, parameters
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
    by_float = measured(form_of(weft.load(entry.model)), evaluation, entry)
    for parts in by_float.outcomes.values():
        assert not {"then", "else"} & parts.keys() or (len(parts) == 2 and min(parts.values()) >= 0.05), parts
    assert by_float.accuracy >= 0.93
    assert abs(float(np.mean(right)) - by_float.accuracy) <= 0.02
    written = json.loads(FIGURES.read_text())[name]
    assert abs(written["accuracy"] - by_float.accuracy) <= 0.01
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


@pytest.mark.parametrize("name", ["shallow_deep_vgg", "skipnet", "skipnet_recurrent", "blockdrop"])
def test_decisions_on_the_device_are_one_launch(name: str) -> None:
    """The host launches once, a decision costs less than 500 cycles on average, and of what the lightest path leaves
    out of the heaviest one nine tenths are saved: cycles of their sub-networks, launched alone."""
    evaluation = SUITE[name].data().evaluation
    cycles: dict[int, list[tuple[int, int]]] = {}
    overhead = decisions = 0
    with weft.Session(built(name)) as device, weft.Session(built(name, "host")) as host:
        for index in range(20):
            device.run(evaluation.sample(index))
            host.run(evaluation.sample(index))
            assert len(device.profile.regions) == 1 <= len(host.profile.regions)
            assert device.profile.macs == host.profile.macs
            overhead += device.profile.cycles - host.profile.cycles
            decisions += len(device.profile.paths[0])
            cycles.setdefault(device.profile.macs, []).append((device.profile.cycles, host.profile.cycles))
    assert 0 < overhead < 500 * decisions
    saved, worth = np.mean(cycles[max(cycles)], axis=0) - np.mean(cycles[min(cycles)], axis=0)
    assert saved >= 0.9 * worth > 10_000


@pytest.mark.parametrize("name", ["blockdrop", "msdnet", "ranet", "shallow_deep_mobilenet", "shallow_deep_resnet"])
def test_decisions_on_several_elements_are_one_launch(name: str) -> None:
    """Confidences, and gates out of one layer: the host launches once, each decision costs less than 500 cycles."""
    evaluation = SUITE[name].data().evaluation
    more, decisions = 0, 0
    with weft.Session(built(name)) as device, weft.Session(built(name, "host")) as host:
        for index in range(8):
            device.run(evaluation.sample(index))
            host.run(evaluation.sample(index))
            assert len(device.profile.regions) == 1
            assert device.profile.paths == host.profile.paths
            more += device.profile.cycles - host.profile.cycles
            decisions += len(device.profile.paths[0])
    assert more < 500 * decisions


@pytest.mark.parametrize("name", ["halting", "if_in_while", "while_in_if", "cond_in_while_loop", "while_loop_in_cond"])
def test_loops_on_the_device_are_one_launch(name: str) -> None:
    """Also where iterations count on the host what they did: an If or an iteration costs less than 500 cycles."""
    evaluation = SUITE[name].data().evaluation
    more, taken = 0, 0
    with weft.Session(built(name)) as device, weft.Session(built(name, "host")) as host:
        for index in range(8):
            ours, theirs = (each.run(evaluation.sample(index)) for each in (device, host))
            assert len(device.profile.regions) == 1
            assert device.profile.paths == host.profile.paths
            for key, array in ours.items():
                np.testing.assert_array_equal(array, theirs[key])
            more += device.profile.cycles - host.profile.cycles
            taken += sum(int(step.outcome) if step.outcome.isdigit() else 1 for step in device.profile.paths[0])
    assert more < 500 * taken
