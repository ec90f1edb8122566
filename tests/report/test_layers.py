"""Where the cycles of each layer went, and what lay in memory, worked out by hand for small programs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sample_program import adder

from weft.report.layers import CAUSES, layers_of, where_time_went
from weft.report.memory_map import Tenant, memory_map
from weft_runtime import Session
from weft_runtime.executable import NodeReport
from weft_runtime.profile import RegionProfile
from weft_sim.isa import Unit
from weft_sim.result import EVENT_DTYPE, RunResult


def region_profile(events: list[tuple[int, int, int, int, int]], cycles: int) -> RegionProfile:
    """The sample's region with these events (index, unit, issue, start, end), instructions from a and b in turn."""
    executable = adder()
    region = replace(executable.regions[0], sources=("a", "b") * 4 + ("a",))
    result = RunResult("done", None, cycles, len(events), {}, 0, 0, np.array(events, EVENT_DTYPE))
    return RegionProfile(region, executable.processors[0], result)


def test_cycles_are_split_by_what_the_oldest_instruction_does() -> None:
    profile = region_profile(
        [
            (0, Unit.LOAD, 2, 5, 20),  # waits 2, starts 3, loads 15
            (1, Unit.MXU, 20, 24, 40),  # starts 4, multiplies 16
            (2, Unit.LOAD, 20, 30, 50),  # behind the product: loads 10
            (3, Unit.MXU, 45, 46, 48),  # retires in the shadow of the load, but multiplies 2 of its cycles
            (4, Unit.STORE, 50, 50, 57),
        ],
        60,
    )
    found = where_time_went(profile)
    plain = {node: {cause: value for cause, value in times.items() if value} for node, times in found.items()}
    assert plain == {
        "a": {"waiting": 2, "start-up": 3, "load": 15 + 8, "multiplying": 2, "store": 7},
        "b": {"start-up": 4, "multiplying": 16},
        "(launch)": {"store": 3},
    }
    assert all(set(times) == set(CAUSES) for times in found.values())


def test_times_add_up_to_cycles_and_bytes_to_the_simulator_s() -> None:
    executable = adder()
    with Session(executable) as session:
        session.run({name: np.ones((1, 3, 5, 4), np.int8) for name in ("a", "b")})
        profile = session.profile
    extra = NodeReport("Relu_1", "Relu", "weft-16", "Elementwise pattern of Add_0", "region_0", 0, 0)
    layers = layers_of(profile, (*executable.nodes, extra))
    assert sum(each.cycles for each in layers) == profile.cycles
    for each in layers:
        assert sum(each.time.values()) == each.cycles
    read, written = (sum(getattr(each, key) for each in layers) for key in ("read_bytes", "write_bytes"))
    assert written == profile.write_bytes and 0 < read <= profile.read_bytes  # the program itself is fetched, too
    add = next(each for each in layers if each.name == "Add_0")
    assert add.nodes == ("Add_0", "Relu_1") and add.operator == "Add"


def test_tenants_of_dram_and_scratchpad() -> None:
    executable = adder()
    with Session(executable) as session:
        session.run({name: np.ones((1, 3, 5, 4), np.int8) for name in ("a", "b")})
        (region,) = session.profile.regions
    size = executable.regions[0].workspace_bytes
    found = memory_map(region)
    events = {int(each["index"]): each for each in region.result.events}
    stored = Tenant("workspace", "Add_0", 0, size, int(events[4]["start"]), int(events[5]["end"]))
    assert [each for each in found.tenants if each.area == "workspace"] == [stored]
    spans = [(each.node, each.low, each.high) for each in found.tenants if each.area == "input and output"]
    assert spans == [("", 0, 2 * size), ("Bias:1", 2 * size, 3 * size)]
    assert found.seen == found.instructions == 9
    assert {node for _, _, _, node in found.runs} <= {"Add_0", "Bias:1", "(launch)"} and found.runs
    assert all(0 <= first < last <= region.cycles for _, first, last, _ in found.runs)


def test_other_backends_and_empty_runs_have_no_map() -> None:
    profile = region_profile([(0, Unit.LOAD, 2, 5, 20)], 30)
    other = replace(profile, processor=replace(profile.processor, backend="other"))
    assert memory_map(other).tenants == () and memory_map(other).runs == ()
    silent = replace(profile, result=replace(profile.result, events=np.zeros(0, EVENT_DTYPE)))
    assert where_time_went(silent) == {} and memory_map(silent).tenants == ()
