"""Traces, timelines and pages, from events whose times are known."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_program import TimedDevice, adder

from weft.deployment import Arrivals, Setting, figures_of, play
from weft.report import DeploymentView, ReportError, render_html, render_timeline, trace_events, write_html, write_trace
from weft.report.slices import timeline_of
from weft.report.timeline import activity
from weft_runtime import devices
from weft_runtime.dispatch import tasks_of
from weft_runtime.executable import NodeReport
from weft_runtime.profile import HostProfile, Profile, RegionProfile
from weft_runtime.session import Session
from weft_sim.isa import Unit
from weft_sim.machine import machine
from weft_sim.result import EVENT_DTYPE, RunResult, UnitCounters

ZEROS = {name: np.zeros((1, 3, 5, 4), np.int8) for name in ("a", "b")}


@pytest.fixture
def profile(monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.setitem(devices._factories, "timed", TimedDevice)
    with Session(adder(machine("weft-8")), device="timed") as session:
        session.run(ZEROS)
        return session.profile


def made_up(events: list[tuple[int, ...]], cycles: int, regions: int = 1, name: str = "N") -> Profile:
    """A profile of the sample's program (LOAD LOAD LOAD VECTOR STORE …) with the given events in each
    region."""
    region = replace(adder().regions[0], sources=(name,) * 9)
    result = RunResult(
        "done", None, cycles, len(events), {"load": UnitCounters(7)}, 0, 0, np.array(events, EVENT_DTYPE)
    )
    parts = tuple(
        RegionProfile(replace(region, name=f"region_{i}"), adder().processors[0], result) for i in range(regions)
    )
    return Profile("sim", adder().processors, 1, cycles * regions, 1, 0.0, 0.0, 0, 0, parts, ())


def slices(profile: Profile) -> list[dict[str, Any]]:
    return [event for event in trace_events(profile) if event["ph"] == "X" and event["tid"] and event["pid"] == 1]


def test_trace_has_a_named_lane_per_unit_and_nodes_on_slices(profile: Profile, tmp_path: Path) -> None:
    write_trace(profile, tmp_path / "trace.json")
    document = json.loads((tmp_path / "trace.json").read_text())
    events = document["traceEvents"]
    lanes = {
        event["args"]["name"]: event["tid"] for event in events if event["name"] == "thread_name" and event["pid"] == 1
    }
    assert set(lanes) == {"regions", *(unit.name.lower() for unit in Unit)}
    assert len(set(lanes.values())) == len(lanes)
    stores = [event for event in events if event["ph"] == "X" and event["tid"] == lanes["store"]]
    assert [event["name"] for event in stores] == ["Add_0", "Bias:1"]
    # Instruction 4 runs from cycle 42 to 50, at 500 MHz.
    assert stores[0]["ts"] == pytest.approx(0.084) and stores[0]["dur"] == pytest.approx(0.016)
    assert stores[0]["args"] == {
        "instruction": 4, "opcode": "STORE", "region": "region_0", "issue": 40, "start": 42, "end": 50,
    }  # fmt: skip
    host = [event for event in events if event["ph"] == "X" and event["pid"] == 2]
    assert [event["name"] for event in host] == ["tail"]


def test_regions_follow_each_other_and_slices_of_a_lane_never_overlap() -> None:
    overlapping = [(0, 1, 0, 0, 50), (1, 1, 5, 10, 60), (2, 1, 6, 70, 70)]
    found = slices(made_up(overlapping, 100, regions=2))
    spans = [(event["ts"] * 1000, (event["ts"] + event["dur"]) * 1000) for event in found]
    assert [start for start, _ in spans] == pytest.approx([0, 50, 70, 100, 150, 170])
    assert [end for _, end in spans] == pytest.approx([50, 60, 70, 150, 160, 170])
    # What happened is kept in the arguments.
    assert [(event["args"]["start"], event["args"]["end"]) for event in found[:3]] == [
        (0, 50),
        (10, 60),
        (70, 70),
    ]


def test_devices_without_events_cannot_be_drawn(tmp_path: Path) -> None:
    with Session(adder(), device="golden") as session:
        session.run(ZEROS)
        for write in (write_trace, write_html):
            with pytest.raises(ReportError, match=r"'golden' recorded no events.*device 'sim'"):
                write(session.profile, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_a_run_without_regions_draws_nothing_but_works(tmp_path: Path) -> None:
    empty = Profile("sim", adder().processors, 1, 0, 0, 0.1, 0.1, 0, 0, (), (HostProfile("all", 0.1),))
    assert slices(empty) == []
    assert "nothing ran" in render_timeline(empty)
    write_html(empty, tmp_path / "page.html")
    with pytest.raises(ReportError, match="cannot write"):
        write_trace(empty, tmp_path / "missing" / "trace.json")


def test_activity_counts_the_covered_part_of_each_cell() -> None:
    timeline = timeline_of(made_up([(0, 1, 0, 0, 5), (1, 1, 5, 15, 30)], 40))
    cells = activity(timeline.units["load"], 40, 4)
    np.testing.assert_allclose(cells, [0.5, 0.5, 1.0, 0.0])


def test_the_text_timeline_shows_each_unit_that_worked() -> None:
    events = [(0, 1, 0, 0, 20), (3, 4, 20, 20, 39), (4, 2, 30, 39, 40)]
    lines = render_timeline(made_up(events, 40), width=8).splitlines()
    assert "region_0" not in lines[0] and lines[0].strip() == "╷region_"
    assert lines[1:-1] == [
        "load   │████    │  17.5%",
        "store  │       ▂│   2.5%",
        "vpu    │    ███▇│  47.5%",
    ]
    assert "40 cycles" in lines[-1]
    with pytest.raises(ValueError, match="8 cells"):
        render_timeline(made_up(events, 40), width=7)


class Scripts(HTMLParser):
    """Collects script texts and everything that would load something from elsewhere."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.loads: list[tuple[str, str | None]] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script"
        if self._inside:
            self.scripts.append("")
        self.loads += [(name, value) for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[-1] += data


def test_the_page_is_self_contained_and_true(profile: Profile) -> None:
    nodes = (NodeReport("Add_0", "Add", "weft-8", "offloaded", "region_0", 1, 0),)
    page = Scripts(render_html(profile, "a run", nodes))
    assert not page.loads and len(page.scripts) == 1
    line = next(line for line in page.scripts[0].splitlines() if line.startswith("const data = "))
    data = json.loads(line.removeprefix("const data = ").removesuffix(";"))
    assert data["title"] == "a run" and data["cycles"] == profile.cycles
    assert sum(layer["cycles"] for layer in data["layers"]) == profile.cycles
    start, end, name, instruction, opcode = data["units"]["store"][0]
    assert (start, end, data["names"][name], instruction, opcode) == (42, 50, "Add_0", 4, "STORE")
    assert data["counters"]["vpu"] == {"busy": 20, "stalls": {"token": 5}}
    assert data["nodes"][0]["reason"] == "offloaded"


def test_names_from_a_model_cannot_leave_the_script() -> None:
    name = "</script><script>alert(1)</script><!--"
    text = render_html(made_up([(0, 1, 0, 0, 5)], 9, name=name), title=name)
    page = Scripts(text)
    assert len(page.scripts) == 1 and "alert" in page.scripts[0]
    assert "<!--" not in text


def test_requests_of_a_deployment_are_flows(profile: Profile, tmp_path: Path) -> None:
    executable = adder()
    tasks = tasks_of(executable)
    played = play(Setting(tasks, ((4000, 1000, 9000, 1000, 2000, 3000),)), Arrivals("closed", clients=2), 5)
    view = DeploymentView(played, figures_of(played, ["weft-16"]), executable, "a test")
    write_trace(profile, tmp_path / "trace.json", view)
    document = json.loads((tmp_path / "trace.json").read_text())
    assert document["otherData"]["deployment"]["completed"] == 5
    events = [event for event in document["traceEvents"] if event["pid"] == 3]
    lanes = {event["args"]["name"]: event["tid"] for event in events if event["name"] == "thread_name"}
    assert set(lanes) == {"host", "bus", "weft-16"}
    slices = [event for event in events if event["ph"] == "X"]
    assert len(slices) == 5 * len(tasks) and {event["tid"] for event in slices} == set(lanes.values())
    for lane in lanes.values():
        own = sorted((event["ts"], event["ts"] + event["dur"]) for event in slices if event["tid"] == lane)
        assert all(before[1] <= after[0] + 1e-9 for before, after in pairwise(own))
    for request in range(5):
        flow = [event for event in events if event["ph"] in "stf" and event["id"] == request]
        assert [event["ph"] for event in flow] == ["s", "t", "t", "t", "t", "f"]
        for event in flow:  # each binds to the slice in which it lies
            assert any(
                each["tid"] == event["tid"] and each["ts"] <= event["ts"] <= each["ts"] + each["dur"]
                and each["args"]["request"] == request for each in slices
            )  # fmt: skip
        begin, end = (event for event in events if event["ph"] in "be" and event["id"] == request)
        assert (begin["ph"], end["ph"]) == ("b", "e") and begin["cat"] == end["cat"] and begin["ts"] < end["ts"]
        assert end["ts"] == max(each["ts"] + each["dur"] for each in slices if each["args"]["request"] == request)
    for event in document["traceEvents"]:  # what the Trace Event Format asks of each
        assert {"ph", "pid", "tid", "name"} <= event.keys()
        assert event["ph"] == "M" or (isinstance(event["ts"], float | int) and event["ts"] >= 0)
        assert event["ph"] != "X" or event["dur"] >= 0
