"""Who takes a decision: by cost, or as asked, and what `weft explain` says about it."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from follower import Follower
from oracle import Oracle
from typer.testing import CliRunner

import weft
from weft.cli.app import app
from weft.dynamic import integer_graph
from weft.frontend import normalize
from weft.lowering import Driver
from weft.partition.costs import HostProfile, host_profile
from weft_runtime.executable import Executable, NodeReport
from weft_sim.machine import machine

pytest.importorskip("sklearn")
from networks import NETWORKS, Network

USUAL = host_profile("cortex-a53")
FREE = dataclasses.replace(
    USUAL, name="free", node_microseconds=0, launch_microseconds=0, transfer_microseconds=0,
    elementwise_gbytes=1e6, function_gelements=1e6,
)  # fmt: skip
"""A host for which deciding and launching cost nothing."""
INPUTS = 500


@cache
def stored(name: str) -> tuple[Network, weft.Model]:
    network = NETWORKS[name]()
    return network, weft.quantize(weft.load(network.model), {key: rows[:200] for key, rows in network.inputs.items()})


def compiled(name: str, host: HostProfile, driver: Driver = "auto") -> Executable:
    return weft.compile(
        stored(name)[1], host=host, driver=driver,
        annotate=lambda node: "accelerator" if node.op_type in ("QLinearConv", "QLinearMatMul") else None,
    ).executable  # fmt: skip


def decisions(executable: Executable) -> list[NodeReport]:
    return [node for node in executable.nodes if node.op in ("If", "Loop")]


def test_what_is_tried_beforehand_is_nobodys_work() -> None:
    """The nodes of a condition that the accelerator decides by its outcomes are computed by the host only where the
    host decides."""
    for driver, gates in (("device", "weft-16"), ("host", "host")):
        executable = compiled("skip_gates", USUAL, driver)
        graphs = [onnx.load_model_from_string(graph.model).graph for graph in executable.host_graphs]
        computed = {node.name for graph in graphs for node in graph.node}
        compared = [node for node in executable.nodes if node.op in ("Less", "Greater")]
        assert len(compared) == 4 and {node.device for node in compared} == {gates}
        assert all((node.name in computed) == (driver == "host") for node in compared)
        assert all(node.reason.startswith("not computed anywhere") == (driver == "device") for node in compared)


@pytest.mark.parametrize(("name", "count"), [("skip_gates", 4), ("loop_in_if", 2)])
def test_the_cheaper_one_decides(name: str, count: int) -> None:
    on_device, by_host = decisions(compiled(name, USUAL)), decisions(compiled(name, FREE))
    assert len(on_device) == len(by_host) == count
    assert {(each.device, each.region) for each in on_device} == {("weft-16", "region_0")}
    assert all("decided on the accelerator: " in each.reason and " µs by the host" in each.reason for each in on_device)
    assert {(each.device, each.region) for each in by_host} == {("host", "")}
    assert all("decided by the host" in each.reason for each in by_host)
    assert "by the host, which is cheaper: " in by_host[-1].reason  # an If around a Loop cannot be without it


def test_what_is_asked_for_is_done() -> None:
    assert {each.device for each in decisions(compiled("skip_gates", FREE, "device"))} == {"weft-16"}
    by_host = decisions(compiled("skip_gates", USUAL, "host"))
    assert {(each.device, each.reason) for each in by_host} == {("host", "decided by the host, as asked")}


def test_why_the_accelerator_cannot() -> None:
    model = stored("skip_gates")[1]
    found = decisions(weft.compile(model, Follower(machine("weft-16")), driver="device").executable)
    assert {(each.device, each.reason) for each in found} == {
        ("host", "decided by the host: this accelerator takes no decisions")
    }


@pytest.mark.parametrize("host", [USUAL, FREE])
def test_outputs_and_paths(host: HostProfile) -> None:
    network, model = stored("loop_in_if")
    oracle = Oracle(integer_graph(normalize(model)).proto)
    with weft.Session(weft.Program(compiled("loop_in_if", host))) as session:
        for index in range(INPUTS):
            feeds = {key: rows[index : index + 1] for key, rows in network.inputs.items()}
            wanted, path = oracle.run(feeds)
            found = session.run(feeds)
            assert [(each.name, each.outcome) for each in session.profile.paths[0]] == path
            np.testing.assert_array_equal(found["output_0"], wanted["output_0"])


def test_explain_says_who_decides(tmp_path: Path) -> None:
    weft.Program(compiled("loop_in_if", USUAL)).save(tmp_path / "model.weft")
    result = CliRunner().invoke(app, ["explain", str(tmp_path / "model.weft")], env={"COLUMNS": "300"})
    assert result.exit_code == 0
    lines = [line for line in result.stdout.splitlines() if "decided on the accelerator" in line]
    assert len(lines) == 2 and "If_node" in lines[0] and "Loop_node" in lines[1]
    settled = CliRunner().invoke(app, ["run", str(tmp_path / "model.weft"), "--driver", "host"])
    assert settled.exit_code == 1 and "--driver" in str(settled.exception)
    wrong = CliRunner().invoke(app, ["explain", str(tmp_path / "model.weft"), "--driver", "nobody"])
    assert wrong.exit_code == 2


@pytest.mark.parametrize("verb", ["run", "verify"])
def test_verbs_take_a_driver(tmp_path: Path, verb: str) -> None:
    """The device's decisions cost launches of the host where that is asked for."""
    onnx.save(stored("loop_in_if")[1].proto, tmp_path / "model.onnx")
    cycles = []
    for driver in ("device", "host"):
        result = CliRunner().invoke(app, [verb, str(tmp_path / "model.onnx"), "--driver", driver, "--json"])
        assert result.exit_code == 0
        cycles.append(json.loads(result.stdout)["cycles"])
    assert cycles[0] > cycles[1]
