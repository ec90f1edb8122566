"""Networks whose path depends on the input: outputs and paths as an independent interpreter finds them, bit for bit."""

from __future__ import annotations

import dataclasses
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from oracle import Oracle

import weft
from weft.api.race_check import check
from weft.dynamic import integer_graph, split
from weft.frontend import Model, load, normalize
from weft.partition.costs import host_profile
from weft.program import Program

pytest.importorskip("sklearn")
from networks import NETWORKS, Network

SLOW_HOST = dataclasses.replace(
    host_profile("cortex-a53"), name="slow", node_microseconds=1e6, launch_microseconds=0, transfer_microseconds=0
)
INPUTS = 500


@cache
def built(name: str) -> tuple[Network, Model, Program]:
    network = NETWORKS[name]()
    model = load(network.model)
    splitting = split(normalize(model))
    assert splitting.form is not None and not splitting.refused
    quantized = weft.quantize(model, {key: rows[:200] for key, rows in network.inputs.items()})
    return network, quantized, weft.compile(quantized, host=SLOW_HOST)


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_paths(name: str) -> None:
    network, quantized, program = built(name)
    oracle = Oracle(integer_graph(normalize(quantized)).proto)
    outcomes: dict[str, Counter[str]] = {}
    with weft.Session(program) as session:
        for index in range(INPUTS):
            feeds = {key: rows[index : index + 1] for key, rows in network.inputs.items()}
            wanted, path = oracle.run(feeds)
            found = session.run(feeds)
            assert [(each.name, each.outcome) for each in session.profile.paths[0]] == path
            for key, array in wanted.items():
                np.testing.assert_array_equal(found[key], array)
            for node, outcome in path:
                outcomes.setdefault(node, Counter())[outcome] += 1
    for node, counts in outcomes.items():
        if {"then", "else"} & counts.keys():
            assert len(counts) == 2 and min(counts.values()) >= 0.05 * counts.total(), (node, counts)
    assert name == "scanned" or any(len(counts) > 1 for counts in outcomes.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_all_products_run_on_the_accelerator(name: str) -> None:
    executable = built(name)[2].executable
    assert executable.offloaded_macs == executable.macs > 0
    assert not check(executable).findings


@pytest.mark.parametrize("name", ["loop_in_if", "if_in_loop", "skip_gates"])
def test_only_inputs_outputs_and_decisions_cross(name: str) -> None:
    """Bytes transferred = the packed input + the packed output + one byte for each decision that the data take."""
    network, _, program = built(name)
    entering = sum(each.layout.nbytes for each in program.executable.regions[0].inputs)
    leaving = 16  # ten logits in one vector of lanes
    counts_given = name == "if_in_loop"  # there the number of rounds is an input, and no decision
    with weft.Session(program) as session:
        for index in range(40):
            session.run({key: rows[index : index + 1] for key, rows in network.inputs.items()})
            path = session.profile.paths[0]
            branches = sum(not each.outcome.isdigit() for each in path)
            rounds = 0 if counts_given else sum(int(each.outcome) for each in path if each.outcome.isdigit())
            assert session.profile.transfer_bytes == entering + leaving + branches + rounds


def test_every_sample_takes_its_own_path() -> None:
    network, _, program = built("early_exit")
    rows = network.inputs["image"][:24]
    with weft.Session(program) as session:
        together = session.run({"image": rows})["output_0"]
        paths = session.profile.paths
        assert len(paths) == 24 and len(set(paths)) > 1
        for index, path in enumerate(paths):
            alone = session.run({"image": rows[index : index + 1]})["output_0"]
            np.testing.assert_array_equal(alone[0], together[index])
            assert session.profile.paths == (path,)


@pytest.mark.parametrize("name", ["decoder", "experts"])
def test_golden_model_agrees(name: str) -> None:
    network, _, program = built(name)
    with weft.Session(program) as simulator, weft.Session(program, device="golden") as golden:
        for index in range(2):
            feeds = {key: rows[index : index + 1] for key, rows in network.inputs.items()}
            ours, theirs = simulator.run(feeds), golden.run(feeds)
            assert simulator.profile.paths == golden.profile.paths
            for key, array in ours.items():
                np.testing.assert_array_equal(array, theirs[key])


def test_an_artifact_holds_all_of_it(tmp_path: Path) -> None:
    network, _, program = built("if_in_loop")
    program.save(tmp_path / "model.weft")
    again = weft.Session(tmp_path / "model.weft")
    assert again.executable == program.executable
    feeds = {key: rows[3:4] for key, rows in network.inputs.items()}
    with again, weft.Session(program) as session:
        np.testing.assert_array_equal(again.run(feeds)["output_0"], session.run(feeds)["output_0"])
        assert again.profile.paths == session.profile.paths


def test_verification_knows_control_flow() -> None:
    network, quantized, _ = built("loop_in_if")
    report = weft.verify(quantized, {key: rows[:12] for key, rows in network.inputs.items()}, host=None)
    assert (report.samples, report.mismatches, report.elements) == (12, 0, 120)
