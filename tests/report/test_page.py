"""The page in a real browser: it draws, its controls work, it asks for nothing, and names from a model stay names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser
from sample_program import adder

from weft.deployment import Arrivals, Setting, figures_of, play
from weft.report import DeploymentView, render_html, write_html
from weft.report.html import MOST_SLICES
from weft_runtime import Session
from weft_runtime.dispatch import tasks_of
from weft_runtime.executable import Executable, NodeReport
from weft_runtime.npu import npu_processor
from weft_runtime.profile import Profile
from weft_sim.machine import machine

HOSTILE = '"><img src=x onerror="window.hacked=1"></script><script>window.hacked=1</script><!--${hacked}`'
DRAWN = """(() => {{
  const c = document.querySelector('{0}'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; }})()"""
"""Pixels of a canvas that are not transparent."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


def measured(executable: Executable) -> Profile:
    with Session(executable) as session:
        session.run({name: np.ones((1, 3, 5, 4), np.int8) for name in ("a", "b")})
        return session.profile


def deployed(executable: Executable, requests: int = 30) -> DeploymentView:
    tasks = tasks_of(executable)
    setting = Setting(tasks, (tuple(1000 * (3 + index) for index in range(len(tasks))),), devices=2)
    played = play(setting, Arrivals("poisson", 1e5), requests)
    return DeploymentView(
        played, figures_of(played, [each.name for each in executable.processors]), executable, "a test"
    )


def hostile_executable() -> Executable:
    whole = adder()
    rename = {"Add_0": HOSTILE, "Bias:1": "__proto__"}
    region = replace(whole.regions[0], name=HOSTILE, sources=tuple(rename.get(n, n) for n in whole.regions[0].sources))
    nodes = tuple(
        replace(node, name=rename.get(node.name, node.name), op=HOSTILE, reason=HOSTILE, region=node.region and HOSTILE)
        for node in whole.nodes
    )
    graph = replace(whole.host_graphs[0], name=HOSTILE)
    processor = npu_processor(replace(machine("weft-16"), name="__proto__"))
    return replace(whole, regions=(region,), nodes=nodes, host_graphs=(graph,), processors=(processor,))


def shown(browser: Browser, canvas: str) -> tuple[float, float]:
    return tuple(float(browser.evaluate(f"document.querySelector('{canvas}').dataset.{key}")) for key in ("from", "to"))


def column(browser: Browser, table: str, index: int) -> list[str]:
    return browser.evaluate(
        f"[...document.querySelectorAll('{table} tbody tr')].map(r => r.cells[{index}].textContent)"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_is_drawn_and_nothing_is_fetched(browser: Browser, tmp_path: Path, scheme: str) -> None:
    executable = adder()
    page = tmp_path / "page.html"
    write_html(measured(executable), page, "a run", executable=executable, deployment=deployed(executable))
    browser.requests.clear()
    browser.errors.clear()
    browser.prefer(scheme)
    browser.open(page)
    assert browser.evaluate("document.title") == "a run"
    sections = ["Requests", "Timeline", "Layers", "Memory", "Units", "Host", "Partition"]  # no products: no roofline
    assert browser.evaluate("[...document.querySelectorAll('nav a')].map(a => a.textContent)") == sections
    for canvas in ("#canvas", "#requests-canvas", "#maps canvas"):
        assert browser.evaluate(DRAWN.format(canvas)) > 1000
    assert browser.evaluate("document.querySelectorAll('#maps canvas').length") == 3
    assert browser.evaluate("document.querySelectorAll('#latencies .column').length") == 40
    picture = "document.querySelector('#picture img')"
    browser.wait(f"{picture}.complete")
    assert browser.evaluate(f"{picture}.naturalWidth") > 200
    assert column(browser, "#layers", 0) == ["(launch)", "Add_0", "Bias:1"]
    assert not browser.errors
    assert all(url.startswith("data:") or url == page.as_uri() for url in browser.requests)
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}[scheme]
    assert len(browser.screenshot()) > 20_000


def test_the_timeline_zooms_and_moves(browser: Browser, tmp_path: Path) -> None:
    executable = adder()
    profile = measured(executable)
    write_html(profile, tmp_path / "page.html", executable=executable, deployment=deployed(executable))
    browser.open(tmp_path / "page.html")
    assert shown(browser, "#canvas") == (0, profile.cycles)
    before = browser.evaluate("document.querySelector('#maps canvas').toDataURL()")
    browser.click("#timeline-tools button[title='Zoom in']")
    first, last = shown(browser, "#canvas")
    assert last - first == pytest.approx(profile.cycles / 2) and first == pytest.approx(profile.cycles / 4)
    assert browser.evaluate("document.querySelector('#maps canvas').toDataURL()") != before  # the memory map follows
    browser.click("#timeline-tools button[title='Later']")
    assert shown(browser, "#canvas")[0] == pytest.approx(profile.cycles / 2)
    browser.click("#timeline-tools button[title='Show all']")
    assert shown(browser, "#canvas") == (0, profile.cycles)
    x, y = browser.place("#canvas", 0.5, 0.6)
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-120)
    browser.wait("document.querySelector('#canvas').dataset.from > 0")
    first, last = shown(browser, "#canvas")
    assert last - first == pytest.approx(0.8 * profile.cycles)
    browser.mouse("mousePressed", x, y, button="left", clickCount=1)
    browser.mouse("mouseMoved", x + 60, y, button="left", buttons=1)
    browser.mouse("mouseReleased", x + 60, y, button="left", clickCount=1)
    assert shown(browser, "#canvas")[0] < first
    assert shown(browser, "#requests-canvas")[0] == 0  # its axis is its own
    browser.click("#requests-tools button[title='Zoom in']")
    assert shown(browser, "#requests-canvas")[0] > 0
    browser.click("#requests-tools button[title='Show all']")
    tip = "document.querySelector('#requests-tip').textContent"
    across = 0.15
    while not browser.evaluate(tip) and across < 1:  # some moment at which the first lane works
        browser.mouse("mouseMoved", *browser.place("#requests-canvas", across, 0.3))
        across += 0.02
    assert browser.evaluate(tip).startswith("host · request ")
    browser.evaluate("document.querySelector('#canvas').focus()")
    for key, narrower in (("+", True), ("0", False)):
        browser.press(key)
        span = shown(browser, "#canvas")
        assert (span[1] - span[0] < profile.cycles) == narrower


def test_layers_sort_and_filter(browser: Browser, tmp_path: Path) -> None:
    executable = adder()
    write_html(measured(executable), tmp_path / "page.html", executable=executable)
    browser.open(tmp_path / "page.html")
    cycles = [int(text.replace(",", "")) for text in column(browser, "#layers", 3)]
    assert len(set(cycles)) == 3 and cycles != sorted(cycles, reverse=True)
    header = "#layers th:nth-child(4)"
    for order in ("descending", "ascending"):
        browser.click(f"{header} button")
        found = [int(text.replace(",", "")) for text in column(browser, "#layers", 3)]
        assert found == sorted(cycles, reverse=order == "descending")
        assert browser.evaluate(f"document.querySelector('{header}').getAttribute('aria-sort')") == order
    browser.click("#layers th:nth-child(1) button")
    assert column(browser, "#layers", 0) == ["(launch)", "Add_0", "Bias:1"]
    browser.click("#filter")
    browser.type_text("bias")
    assert column(browser, "#layers", 0) == ["Bias:1"]
    assert browser.evaluate("document.querySelector('#shown').textContent") == "1 of 3 layers"


def test_names_of_a_hostile_model_are_inert(browser: Browser, tmp_path: Path) -> None:
    executable = hostile_executable()
    profile = measured(adder())
    region = replace(profile.regions[0], region=executable.regions[0], processor=executable.processors[0])
    profile = replace(profile, regions=(region,), processors=executable.processors)
    page = tmp_path / "page.html"
    write_html(profile, page, HOSTILE, executable=executable, deployment=deployed(executable))
    browser.errors.clear()
    browser.requests.clear()
    browser.open(page)
    assert browser.evaluate("document.querySelector('h1').textContent") == HOSTILE
    assert column(browser, "#layers", 0) == ["(launch)", HOSTILE, "__proto__"]
    assert "__proto__ #1" in column(browser, "#parts", 0)
    browser.click("#layers th:nth-child(1) button")
    browser.mouse("mouseMoved", *browser.place("#canvas", 0.5, 0.5))
    assert browser.evaluate("window.hacked === undefined")
    assert browser.evaluate("document.querySelectorAll('img').length") == 1  # the picture, and none from a name
    assert not browser.errors
    assert all(url.startswith("data:") or url == page.as_uri() for url in browser.requests)
    assert page.read_text().count("<script>") == 1


def test_large_programs_make_bounded_pages() -> None:
    profile = measured(adder())
    events = profile.regions[0].result.events
    many = np.tile(events, 70_000 // len(events))
    shift = np.repeat(np.arange(len(many) // len(events), dtype=np.uint64) * 900, len(events))
    for field in ("issue", "start", "end"):
        many[field] += shift
    result = replace(profile.regions[0].result, events=many, cycles=int(many["end"].max()) + 1)
    nodes = tuple(NodeReport(f"n{index}", "Conv", "weft-16", "why", "region_0", 1, 1) for index in range(1000))
    text = render_html(replace(profile, regions=(replace(profile.regions[0], result=result),)), nodes=nodes)
    assert len(text) < 4_000_000
    data: dict[str, Any] = json.loads(
        next(line for line in text.splitlines() if line.startswith("const data = "))[13:-1]
    )
    assert data["drawn"]["instructions"] == len(many) and data["drawn"]["slices"] <= MOST_SLICES + 100 * len(
        data["units"]
    )
    for slices in data["units"].values():  # what is merged still covers the same span, in order
        assert all(before[1] <= after[0] for before, after in pairwise(slices))
    assert "60,000" in data["memory_note"]
    assert sum(layer["cycles"] for layer in data["layers"]) == result.cycles
