"""Partitions that know where a sub-network's values come from and go to: what stays there costs no transfer."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from oracle import Oracle

import weft
from weft.control import dividing
from weft.control.residence import partitions_of
from weft.dynamic import integer_graph
from weft.frontend import normalize
from weft.partition.costs import HostProfile, host_profile
from weft_runtime.executable import Executable

pytest.importorskip("sklearn")
from networks import NETWORKS

INPUTS = 500
QUICK_HOST = dataclasses.replace(
    host_profile("cortex-a53"), name="quick", node_microseconds=2, transfer_microseconds=4, launch_microseconds=3
)
"""A host on which a small layer is worth an accelerator only where its operands need not be brought there."""


def compiled(model: weft.Model, host: HostProfile, *, alone: bool = False) -> Executable:
    with pytest.MonkeyPatch.context() as patch:
        if alone:
            patch.setattr(dividing, "partitions_of", _as_if_nothing_stayed)
        return weft.compile(model, host=host, driver="device").executable


def _as_if_nothing_stayed(form: Any, members: Any, keeps: Any) -> Any:
    return partitions_of(form, members, lambda index: False)


def test_outputs_and_paths_where_residence_decides() -> None:
    network = NETWORKS["loop_in_if"]()
    model = weft.quantize(weft.load(network.model), {key: rows[:200] for key, rows in network.inputs.items()})
    apart, together = (compiled(model, QUICK_HOST, alone=alone) for alone in (True, False))
    assert apart.offloaded_macs == 0 and together.offloaded_macs == together.macs
    oracle = Oracle(integer_graph(normalize(model)).proto)
    with weft.Session(together) as session:
        for index in range(INPUTS):
            feeds = {key: rows[index : index + 1] for key, rows in network.inputs.items()}
            wanted, path = oracle.run(feeds)
            found = session.run(feeds)
            assert [(each.name, each.outcome) for each in session.profile.paths[0]] == path
            np.testing.assert_array_equal(found["output_0"], wanted["output_0"])


def test_fewer_values_cross() -> None:
    """SkipNet: apart, the first gate's sub-network is divided between host and accelerator."""
    network = NETWORKS["skip_gates"]()
    model = weft.quantize(weft.load(network.model), {key: rows[:200] for key, rows in network.inputs.items()})
    figures = []
    for alone in (True, False):
        with weft.Session(compiled(model, QUICK_HOST, alone=alone)) as session:
            session.run({key: rows[:1] for key, rows in network.inputs.items()})
            figures.append((session.profile.transfer_bytes, len(session.profile.regions)))
    assert figures[1] < figures[0]


def test_a_network_that_does_not_pay_stays_on_the_host() -> None:
    network = NETWORKS["loop_in_if"]()
    model = weft.quantize(weft.load(network.model), {key: rows[:50] for key, rows in network.inputs.items()})
    expensive = dataclasses.replace(QUICK_HOST, launch_microseconds=500.0)
    assert compiled(model, expensive).offloaded_macs == 0
    assert {node.device for node in compiled(model, expensive).nodes} == {"host"}
