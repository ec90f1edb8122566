"""Memory placement and the figures of a profile, on a device whose clock is known."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from sample_program import TimedDevice, adder

from weft_runtime import devices
from weft_runtime.errors import ExecutableError
from weft_runtime.memory import ALIGNMENT, MAX_DEVICE_BYTES, plan_memory
from weft_runtime.profile import LAUNCH, Profile, RegionProfile
from weft_runtime.session import Session
from weft_sim.result import EVENT_DTYPE, RunResult


@pytest.fixture
def profile(monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.setitem(devices._factories, "timed", TimedDevice)
    zeros = {name: np.zeros((2, 3, 5, 4), np.int8) for name in ("a", "b")}
    with Session(adder(), device="timed") as session:
        session.run(zeros)
        return session.profile


def test_parts_are_placed_apart_and_aligned() -> None:
    region = adder().regions[0]
    regions = tuple(
        replace(
            region,
            name=str(size),
            workspace_bytes=size,
            constants=b"\0" * size,
            io_bytes=region.io_bytes + size,
        )
        for size in (0, 1, ALIGNMENT, ALIGNMENT + 1)
    )
    plan = plan_memory(replace(adder(), regions=regions))
    workspace = plan.regions[0].workspace
    spans = [(workspace, ALIGNMENT + 1)]  # as large as the largest region's
    for placement, placed in zip(plan.regions, regions, strict=True):
        spans += [(placement.program, len(placed.instructions)), (placement.constants, len(placed.constants))]
        spans.append((placement.io, placed.io_bytes))
        assert placement.workspace == workspace
        assert placement.registers[:3] == (placement.constants, placement.workspace, placement.io)
        assert len(placement.registers) == 16
    used = sorted(span for span in spans if span[1])
    assert all(address % ALIGNMENT == 0 for address, _ in used)
    assert all(a + size <= b for (a, size), (b, _) in itertools.pairwise(used))
    assert used[-1][0] + used[-1][1] <= plan.dram_bytes == -(-plan.dram_bytes // ALIGNMENT) * ALIGNMENT


def test_capacity_and_one_more() -> None:
    executable = adder()
    without = plan_memory(executable).dram_bytes - ALIGNMENT  # the workspace takes one page
    region = replace(executable.regions[0], workspace_bytes=MAX_DEVICE_BYTES - without)
    assert plan_memory(replace(executable, regions=(region,))).dram_bytes == MAX_DEVICE_BYTES
    over = replace(region, workspace_bytes=region.workspace_bytes + 1)
    with pytest.raises(ExecutableError, match="bytes of device memory"):
        plan_memory(replace(executable, regions=(over,)))


def test_nothing_on_the_device_needs_no_memory() -> None:
    assert plan_memory(replace(adder(), regions=())).processor_bytes == (0,)


def test_processors_have_memories_of_their_own() -> None:
    region, first = adder().regions[0], adder().processors[0]
    regions = tuple(replace(region, name=str(index), processor=index) for index in (1, 0, 1))
    plan = plan_memory(replace(adder(), regions=regions, processors=(first, replace(first, name="second"))))
    alone = plan_memory(adder())
    assert plan.regions[1] == alone.regions[0]
    assert plan.processor_bytes[0] == alone.dram_bytes < plan.processor_bytes[1] < plan.dram_bytes
    assert plan.regions[0].workspace == plan.regions[2].workspace and plan.regions[0].io < plan.regions[2].io


def test_figures_are_per_sample(profile: Profile) -> None:
    cycles = 9 * TimedDevice.CYCLES_EACH + 1
    assert profile.samples == 2
    assert profile.cycles == cycles
    assert profile.macs == 1000
    assert profile.utilization == pytest.approx(1000 / (cycles * 256))
    assert profile.device_seconds == pytest.approx(cycles / 1e9)
    assert profile.transfers == 3
    assert profile.transfer_bytes == 3 * adder().regions[0].inputs[0].layout.nbytes
    assert (profile.read_bytes, profile.write_bytes) == (64, 32)
    assert profile.units["load"].busy == 4 * TimedDevice.CYCLES_EACH
    assert profile.units["vpu"].stalls == {"token": 5}
    assert 0 < profile.host_seconds < profile.wall_seconds
    assert [host.name for host in profile.host] == ["tail"]


def test_node_shares_add_up_to_the_region(profile: Profile) -> None:
    nodes = {node.name: node for node in profile.nodes}
    assert {name: node.cycles for name, node in nodes.items()} == {LAUNCH: 41, "Add_0": 20, "Bias:1": 30}
    assert sum(node.cycles for node in profile.nodes) == profile.cycles
    assert nodes["Bias:1"].active == {"load": 8, "vpu": 8, "store": 8}
    assert nodes["Add_0"].instructions == 2


def test_a_cycle_is_charged_to_the_oldest_unfinished_instruction() -> None:
    """A prefetch for B that ends inside A costs B nothing; what B needs after A's end does."""
    region = replace(adder().regions[0], sources=("A", "B", "A", "B"), name="overlap")
    events = np.array([(0, 1, 0, 0, 40), (1, 1, 1, 2, 30), (2, 3, 2, 5, 100), (3, 3, 3, 90, 125)], EVENT_DTYPE)
    result = RunResult("done", None, 130, 4, events=events)
    nodes = {node.name: node for node in RegionProfile(region, adder().processors[0], result).nodes}
    assert {name: node.cycles for name, node in nodes.items()} == {"A": 100, "B": 25, LAUNCH: 5}
    # Both units work on A and B at once, from 2 to 30 and from 90 to 100: those cycles of a unit count once.
    assert nodes["A"].active == {"load": 40, "mxu": 95}
    assert nodes["B"].active == {"mxu": 25}


def test_the_text_shows_what_is_asked_for(profile: Profile) -> None:
    text = str(profile)
    for part in (
        "timed · weft-16, 2 samples",
        "91 cycles",
        "region_0",
        "Bias:1",
        "(launch)",
        "token 5",
        "tail",
    ):
        assert part in text
    assert max(len(line) for line in text.splitlines()) <= 140
