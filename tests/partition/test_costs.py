"""Host profiles, cached cycles, and what a cost is made of."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from weft.backends import NpuAccelerator
from weft.bench.builder import QdqBuilder
from weft.errors import CompileError
from weft.frontend import Model, integerize, normalize
from weft.ir import Convolution, Graph, recognize
from weft.partition.costs import CostModel, HostProfile, OperatorCycles, cycles, host_profile, profile_names
from weft.partition.costs.cache import MAX_ENTRIES, NumberCache
from weft.partition.costs.profile import profile_text
from weft_sim.machine import machine


def graph_of_two_convolutions(seed: int = 1, channels: int = 8) -> Graph:
    build = QdqBuilder("two", seed)
    x = build.convolution(build.input((1, channels, 12, 12)), channels, 3)
    return Graph(integerize(normalize(Model(build.build(build.convolution(x, channels, 3))))).proto)


def convolutions(graph: Graph) -> list[Convolution]:
    return [each for each in recognize(graph).operators if isinstance(each, Convolution)]


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_loads_and_survives_a_file(name: str, tmp_path: Path) -> None:
    profile = host_profile(name)
    assert profile.description
    file = tmp_path / f"{name}.toml"
    file.write_text(profile_text(profile))
    assert host_profile(str(file)) == profile


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("int8_gmacs = ", "int8_gmac = "), "lacks 'int8_gmacs'"),
        (("description", "wings = 2\ndescription"), "unknown member 'wings'"),
        (("int8_gmacs = ", "int8_gmacs = -"), "int8_gmacs = -"),
        (("int8_gmacs = ", "int8_gmacs = nan # "), "int8_gmacs = nan"),
        (("int8_gmacs = ", "int8_gmacs = true # "), "int8_gmacs = True"),
        (("int8_gmacs = ", "int8_gmacs == "), "cannot read"),
    ],
)
def test_malformed_profiles_are_refused(change: tuple[str, str], reason: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(profile_text(host_profile("cortex-a53")).replace(*change))
    with pytest.raises(CompileError, match=reason):
        host_profile(str(file))


def test_unknown_profiles_name_the_known(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="unknown host profile 'cray'; known: cortex-a53"):
        host_profile("cray")
    with pytest.raises(CompileError, match="No such file"):
        host_profile(str(tmp_path / "none.toml"))


def test_cycles_are_simulated_once_for_a_shape_whatever_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []
    original = cycles.lower_region
    monkeypatch.setattr(cycles, "lower_region", lambda *given: (runs.append(""), original(*given))[1])
    first, second = convolutions(graph_of_two_convolutions(1)), convolutions(graph_of_two_convolutions(2))
    assert not np.array_equal(first[0].weights, second[0].weights)
    counter = OperatorCycles(machine("weft-16"), tmp_path)
    found = [counter.cycles(each) for each in first]
    assert len(runs) == len(first) == 2 and min(found) > 0  # the second has another zero point
    assert [counter.cycles(each) for each in second] == found and len(runs) == 2
    wider = convolutions(graph_of_two_convolutions(1, channels=40))[0]
    assert counter.cycles(wider) > found[0] and len(runs) == 3
    assert OperatorCycles(machine("weft-8"), tmp_path).cycles(first[0]) != found[0] and len(runs) == 4


def test_the_cache_survives_the_process_and_distrusts_its_file(tmp_path: Path) -> None:
    file = tmp_path / "numbers.json"
    cache = NumberCache(file)
    cache.put("a", 5)
    cache.save()
    assert NumberCache(file).get("a") == 5
    for text in ("", "[1]", '{"a": "5"}', '{"a": -1}', '{"a": true}', '{"a": 1e3}', "[" * 100_000, "\xff"):
        file.write_text(text, encoding="latin-1")
        assert NumberCache(file).get("a") is None
    blocked = NumberCache(tmp_path / "numbers.json" / "below.json")
    blocked.put("a", 1)
    blocked.save()
    assert blocked.get("a") == 1


def test_the_cache_is_bounded(tmp_path: Path) -> None:
    cache = NumberCache(tmp_path / "numbers.json")
    for index in range(MAX_ENTRIES + 1):
        cache.put(str(index), index)
    cache.save()
    assert len(json.loads((tmp_path / "numbers.json").read_text())) <= MAX_ENTRIES
    assert cache.get("0") is None and cache.get(str(MAX_ENTRIES)) == MAX_ENTRIES


def test_host_costs_follow_the_profile() -> None:
    """Each rate and each fixed time changes the cost of what it is about, and of nothing else."""
    graph, profile = graph_of_two_convolutions(), host_profile("cortex-a53")
    nodes = {
        kind: next(node for node in graph.nodes if node.op_type == kind) for kind in ("QLinearConv", "QuantizeLinear")
    }

    def costs(changed: HostProfile) -> list[int]:
        return [CostModel(graph, changed, []).on_host(node) for node in nodes.values()]

    before = costs(profile)
    assert costs(dataclasses.replace(profile, int8_gmacs=profile.int8_gmacs / 2))[0] > before[0]
    assert costs(dataclasses.replace(profile, int8_gmacs=profile.int8_gmacs / 2))[1] == before[1]
    fixed = dataclasses.replace(profile, node_microseconds=profile.node_microseconds + 1)
    assert [after - cost for after, cost in zip(costs(fixed), before, strict=True)] == [1000, 1000]
    assert costs(dataclasses.replace(profile, float_gmacs=1e-3)) == before


def test_transfers_count_the_bytes_on_the_accelerator() -> None:
    graph, profile = graph_of_two_convolutions(), host_profile("cortex-a53")
    tensor = convolutions(graph)[0].output  # 8 channels take 16 lanes
    times = {
        name: CostModel(graph, profile, [NpuAccelerator(machine(name))]).transfer(tensor, 0)
        for name in ("weft-8", "weft-16")
    }
    fixed = 1000 * profile.transfer_microseconds
    assert times["weft-16"] - fixed == pytest.approx(2 * (times["weft-8"] - fixed), abs=2)
