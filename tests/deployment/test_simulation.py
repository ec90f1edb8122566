"""Deployments in simulated time: an example worked out by hand, and what holds for every deployment."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.deployment import Arrivals, Played, Setting, figures_of, parse_arrivals, play
from weft.errors import WeftError
from weft_runtime.dispatch import BUS, HOST, Part, Phase, Task

NPU = Part("device")
PHASES = (Phase.PACK, Phase.SEND, Phase.LAUNCH, Phase.RECEIVE, Phase.UNPACK)


def region(step: int, index: int = 0, processor: int = 0) -> list[Task]:
    return [Task(step, phase, index, processor) for phase in PHASES]


TASKS = (Task(0, Phase.HOST), *region(1), Task(2, Phase.HOST))
TIMES = (4, 1, 2, 10, 3, 1, 5)
"""Host 4, pack 1, send 2, launch 10, receive 3, unpack 1, host 5: 26 for a request alone."""


def spans(played: Played, part: Part) -> list[tuple[int, int, int]]:
    return [(each.request, each.start, each.end) for each in played.occupations if each.part == part]


def test_two_requests_worked_out_by_hand() -> None:
    played = play(Setting(TASKS, (TIMES,)), Arrivals("closed", clients=2), 2)
    # The host goes on with the older request as soon as it can, and takes the younger one while that is away.
    assert spans(played, HOST) == [
        (0, 0, 4),
        (0, 4, 5),
        (1, 5, 9),
        (1, 9, 10),
        (0, 20, 21),
        (0, 21, 26),
        (1, 30, 31),
        (1, 31, 36),
    ]
    assert spans(played, BUS) == [(0, 5, 7), (1, 10, 12), (0, 17, 20), (1, 27, 30)]
    assert spans(played, NPU) == [(0, 7, 17), (1, 17, 27)]
    assert [(each.arrival, each.begin, each.end) for each in played.served] == [(0, 0, 26), (0, 5, 36)]
    figures = figures_of(played, ["npu"])
    assert figures.seconds == pytest.approx(36e-9) and figures.throughput == pytest.approx(2 / 36e-9)
    assert [(each.name, round(each.busy_seconds * 1e9)) for each in figures.parts] == [
        ("host", 22),
        ("bus", 10),
        ("npu", 20),
    ]
    assert figures.busiest == "host" and figures.limit == pytest.approx(1 / 11e-9)
    assert (figures.latency_p50, figures.latency_max) == (pytest.approx(26e-9), pytest.approx(36e-9))


def test_without_overlap_requests_follow_each_other() -> None:
    played = play(Setting(TASKS, (TIMES,), at_once=1), Arrivals("saturating"), 3)
    assert [(each.begin, each.end) for each in played.served] == [(0, 26), (26, 52), (52, 78)]


def test_two_devices_take_two_launches_at_once_and_share_the_bus() -> None:
    times = (0, 0, 1, 100, 1, 0, 0)
    played = play(Setting(TASKS, (times,), devices=2), Arrivals("saturating"), 4)
    assert spans(played, Part("device", 0, 0)) == [(0, 1, 101), (2, 101, 201)]
    assert spans(played, Part("device", 0, 1)) == [(1, 2, 102), (3, 102, 202)]
    assert figures_of(played, ["npu"]).limit == pytest.approx(2 / 100e-9)


def test_a_full_queue_turns_requests_away() -> None:
    played = play(Setting(TASKS, (TIMES,), queue=2), Arrivals("fixed", 1e9), 5)  # one each nanosecond
    assert [each.number for each in played.served] == [0, 1] and played.rejected == (2, 3, 4)
    assert figures_of(played, ["npu"]).rejected == 3


def test_a_buffer_short_region_waits_for_the_device() -> None:
    times = (0, 1, 0, 10, 0, 0, 0)
    packs = {
        buffers: [
            start
            for _, start, end in spans(play(Setting(TASKS, (times,), buffers=buffers), Arrivals("saturating"), 4), HOST)
            if end > start
        ]
        for buffers in (1, 2)
    }
    assert packs == {1: [0, 11, 22, 33], 2: [0, 1, 11, 21]}


@st.composite
def settings(draw: st.DrawFn) -> Setting:
    tasks: list[Task] = []
    regions = 0
    for step in range(draw(st.integers(0, 5))):
        if draw(st.booleans()):
            tasks.append(Task(step, Phase.HOST))
        else:
            tasks += region(step, regions, draw(st.integers(0, 1)))
            regions += 1
    row = st.tuples(*(st.integers(0, 50) for _ in tasks))
    rows = tuple(draw(st.lists(row, min_size=1, max_size=3)))
    at_once = draw(st.sampled_from((1, 2, 100)))
    return Setting(
        tuple(tasks), rows, draw(st.integers(1, 3)), draw(st.integers(1, 8)), at_once, draw(st.integers(1, 3))
    )


ARRIVALS = st.one_of(
    st.just(Arrivals("saturating")),
    st.integers(1, 10).map(lambda clients: Arrivals("closed", clients=clients)),
    st.sampled_from((1e7, 1e8, 1e9)).flatmap(
        lambda rate: st.sampled_from((Arrivals("poisson", rate), Arrivals("fixed", rate)))
    ),
)


@given(settings(), ARRIVALS, st.integers(1, 30), st.integers(0, 3))
def test_every_deployment_keeps_the_laws(setting: Setting, arrivals: Arrivals, requests: int, seed: int) -> None:
    played = play(setting, arrivals, requests, seed)
    assert played == play(setting, arrivals, requests, seed)
    assert sorted([each.number for each in played.served] + list(played.rejected)) == list(range(requests))
    by_part, by_request = defaultdict(list), defaultdict(list)
    for each in played.occupations:
        by_part[each.part].append(each)
        by_request[each.request].append(each)
    for works in by_part.values():  # no part does two things at once
        assert all(before.end <= after.start for before, after in pairwise(works))
    for served in played.served:
        works = sorted(by_request[served.number], key=lambda each: each.task)
        assert [each.task for each in works] == list(range(len(setting.tasks)))  # nothing lost, nothing twice
        assert all(before.end <= after.start for before, after in pairwise(works))
        row = setting.nanoseconds[served.number % len(setting.nanoseconds)]
        assert [each.end - each.start for each in works] == list(row)
        assert served.end - served.arrival >= sum(row)
    begins = [each.begin for each in played.served]
    assert begins == sorted(begins)  # who came first begins first
    if len(set(setting.nanoseconds)) == 1 and setting.devices == 1:
        ends = [each.end for each in played.served]
        assert ends == sorted(ends)
    figures = figures_of(played, ["npu", "other"])
    assert all(0 <= part.utilization <= 1 + 1e-9 for part in figures.parts)
    if len(played.served) % len(setting.nanoseconds) == 0 and figures.seconds and not played.rejected:
        assert figures.efficiency <= 1 + 1e-9
    _no_part_idles(played)


def _no_part_idles(played: Played) -> None:
    """The bus and the devices work without a gap from the moment a task is ready until it starts."""
    ends = {(each.request, each.task): each.end for each in played.occupations}
    for part in played.parts[1:]:
        works = [each for each in played.occupations if each.part == part]
        for index, each in enumerate(works):
            busy_since = each.start
            for before in reversed(works[:index]):
                if before.end < busy_since:
                    break
                busy_since = before.start
            assert busy_since <= ends[each.request, each.task - 1]


@pytest.mark.parametrize(
    "text", ["", "poisson", "poisson:", "poisson:-1", "poisson:nan", "fixed:0", "fixed:inf", "closed:0", "closed:1.5",
             "closed:9999999999999", "saturating:3", "often:3"]
)  # fmt: skip
def test_arrivals_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(WeftError, match="arrivals"):
        parse_arrivals(text)


def test_arrivals_are_read_back_as_written_and_random_ones_keep_their_rate() -> None:
    for text in ("poisson:50", "fixed:0.5", "closed:3", "saturating"):
        assert str(parse_arrivals(text)) == text
    moments = Arrivals("poisson", 1000.0).times(20_000, 1)
    assert moments == sorted(moments) and moments[-1] / 1e9 == pytest.approx(20, rel=0.03)
    assert Arrivals("fixed", 4.0).times(3, 0) == [0, 250_000_000, 500_000_000]


def test_impossible_settings_are_refused() -> None:
    for change in ({"devices": 0}, {"queue": 0}, {"at_once": 0}, {"buffers": 0}, {"nanoseconds": ((1,),)}):
        with pytest.raises(WeftError, match="deployment needs"):
            Setting(**{"tasks": TASKS, "nanoseconds": (TIMES,), **change})
    with pytest.raises(WeftError, match="0 requests"):
        play(Setting(TASKS, (TIMES,)), Arrivals("saturating"), 0)
