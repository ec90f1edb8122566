"""Pictures of control-flow graphs: nothing overlaps, texts fit, lines tell frequencies, names stay names."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from browser import Browser

from weft.report import render_flow
from weft.report.flow_picture import MOST_SHAPES

HOSTILE = '"></title></svg><script>window.hacked=1</script><!--\x00\u202e&'
SVG = "{http://www.w3.org/2000/svg}"
Item = dict[str, Any]


def launch(name: str = "network_1", runs: int | None = 4, **more: Any) -> Item:
    return {
        "kind": "launch", "network": name, "parts": ["region_1 on weft-16 (1,455 cycles)"], "macs": 1000, "runs": runs,
        "on_device": True, "cycles": 1455, "operators": ["QLinearConv"], "decisions": [], **more,
    }  # fmt: skip


def branch(then: Sequence[Item], otherwise: Sequence[Item], outcomes: dict[str, int], name: str = "If_1") -> Item:
    runs = sum(outcomes.values())
    return {
        "kind": "branch", "name": name, "outcomes": outcomes, "then": then, "otherwise": otherwise, "runs": runs,
    }  # fmt: skip


def loop(body: Sequence[Item], outcomes: dict[str, int], name: str = "Loop_1") -> Item:
    runs = sum(outcomes.values())
    return {
        "kind": "loop", "name": name, "limits": ["a count", "a condition"], "outcomes": outcomes, "body": body,
        "runs": runs,
    }  # fmt: skip


def some_graph(generator: random.Random, depth: int) -> list[Item]:
    """A nested graph as the describer makes them, with names of any length."""
    items: list[Item] = []
    for _ in range(generator.randint(0 if depth < 4 else 1, 3)):
        name = "n" * generator.choice((1, 7, 30, 90))
        kind = generator.choice(("launch", "decided", "branch", "loop")) if depth else "launch"
        inner = [some_graph(generator, depth - 1) for _ in range(2)] if depth else [[], []]
        ways = {"then": generator.randint(0, 3), "else": generator.randint(0, 3)}
        if kind == "launch":
            items.append(launch(name, parts=[name] * generator.randint(0, 9)))
        elif kind == "decided":
            work = [[{"kind": "work", "macs": 10 ** generator.randint(0, 12), "runs": 1}], []]
            items.append(launch(name, decisions=[branch(*work, ways, name), loop(work[0], {"3": 4}, name)]))
        elif kind == "branch":
            items.append(branch(inner[0], inner[1], ways, name))
        else:
            items.append(loop(inner[0], {"0": 2, "17": 2}, name))
    return items


def boxes(picture: ElementTree.Element) -> Iterator[tuple[str, float, float, float, float]]:
    for each in picture.iter(f"{SVG}rect"):
        if each.get("class") in ("box", "frame") and each.get("x"):
            x, y, width, height = (float(each.get(key, "")) for key in ("x", "y", "width", "height"))
            yield each.get("class", ""), x, y, x + width, y + height
    for each in picture.iter(f"{SVG}polygon"):
        points = [tuple(map(float, point.split(","))) for point in each.get("points", "").split()]
        if min(point[1] for point in points) > 20:  # not the one in the legend
            xs, ys = zip(*points, strict=True)
            yield "diamond", min(xs), min(ys), max(xs), max(ys)


def inside(inner: Sequence[Any], outer: Sequence[Any]) -> bool:
    return bool(outer[1] <= inner[1] and outer[2] <= inner[2] and inner[3] <= outer[3] and inner[4] <= outer[4])


@pytest.mark.parametrize("seed", range(25))
def test_nothing_overlaps(seed: int) -> None:
    graph = some_graph(random.Random(seed), 4)
    text = render_flow(graph, "random", 4 * (seed % 2))
    assert text == render_flow(graph, "random", 4 * (seed % 2))
    picture = ElementTree.fromstring(text)
    found = list(boxes(picture))
    width, height = float(picture.get("width", "")), float(picture.get("height", ""))
    for place, one in enumerate(found):
        assert inside(one, ("", 0, 0, width, height))
        for other in found[:place]:
            apart = one[3] <= other[1] or other[3] <= one[1] or one[4] <= other[2] or other[4] <= one[2]
            nested = (other[0] == "frame" and inside(one, other)) or (one[0] == "frame" and inside(other, one))
            assert apart or nested, (one, other)


def lines(text: str) -> list[ElementTree.Element]:
    found = ElementTree.fromstring(text).iter(f"{SVG}path")
    return [each for each in found if "line" in each.get("class", "") and "stroke-width" in each.attrib]


def test_lines_are_as_wide_as_they_are_taken_often() -> None:
    ways = branch([launch("often", 3)], [launch("seldom", 1)], {"then": 3, "else": 1})
    text = render_flow([ways, branch([], [], {"then": 4}, "If_2")], "shares", 4)
    assert "then 75%" in text and "else 25%" in text and "else 0%" in text
    picture = ElementTree.fromstring(text)
    kinds = {
        title.text.split(":")[0]: group.get("class", "")
        for group in picture.iter(f"{SVG}g")
        if (title := group.find(f"{SVG}title")) is not None and title.text is not None
    }
    assert "box-hot" in kinds["often"] and "box-way" in kinds["seldom"]
    widths: dict[str, set[float]] = {}
    for each in lines(text)[:-3]:  # without the legend
        widths.setdefault(each.get("class", "").strip(), set()).add(float(each.get("stroke-width", "")))
    assert widths["line way"] == {3.0} and widths["line never"] == {1.5} and widths["line hot"] == {6.0, 7.5}


def test_without_a_run_no_way_is_preferred() -> None:
    text = render_flow([branch([launch(runs=None)], [], {})], "nothing ran", 0)
    assert "nothing was run" in text and "%" not in text.split("</style>")[1].replace("100%", "")
    assert {each.get("class", "").strip() for each in lines(text)} == {"line way"}


def test_a_launch_that_decides_by_itself_is_a_frame() -> None:
    inner = branch([{"kind": "work", "macs": 147456, "runs": 1}], [], {"then": 1, "else": 3}, "Gate")
    text = render_flow([launch(decisions=[inner]), branch([], [], {"then": 4}, "Other")], "decided", 4)
    assert "one launch: region_1 on weft-16" in text and "147,456 MACs" in text and "on every way" in text
    deciders = [each for each in ElementTree.fromstring(text).itertext() if each.endswith("decides")]
    assert [each.split(": ")[-1] for each in deciders] == ["the device decides"] * 2 + ["the host decides"] * 2


def test_loops_say_how_often() -> None:
    text = render_flow([loop([launch(runs=10)], {"2": 3, "4": 1})], "loop", 4)
    assert "2 to 4 iterations, 2.5 on average" in text and "× 2.5" in text and "a count and a condition" in text


def test_long_programs_are_cut() -> None:
    text = render_flow([launch(f"network_{place}") for place in range(MOST_SHAPES + 5)], "long", 4)
    assert f"network_{MOST_SHAPES - 1}:" in text and "… 5 more" in text and f"network_{MOST_SHAPES}:" not in text


def hostile_graph() -> list[Item]:
    inner = [launch(HOSTILE, parts=[HOSTILE], operators=[HOSTILE], decisions=[branch([], [], {"then": 1}, HOSTILE)])]
    return [branch(inner, [loop(inner, {"1": 1}, HOSTILE)], {"then": 1, "else": 1}, HOSTILE)]


def test_names_of_a_hostile_model_are_text() -> None:
    text = render_flow(hostile_graph(), HOSTILE, 2)
    picture = ElementTree.fromstring(text)
    assert not list(picture.iter(f"{SVG}script")) and "<script" not in text and "\x00" not in text
    assert any("window.hacked" in each for each in picture.itertext())


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


OVERFLOWING = """(() => { const found = [];
  for (const group of document.querySelectorAll('svg.flow g')) {
    const box = group.querySelector('rect.box, rect.frame'); if (!box) continue;
    const edge = box.getBBox();
    for (const text of group.querySelectorAll('text:not(.fine + text)')) {
      const own = text.getBBox();
      if (edge.width > 30 && own.x + own.width > edge.x + edge.width) found.push(text.textContent); } }
  return found; })()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_fit_in_a_browser(browser: Browser, tmp_path: Path, scheme: str) -> None:
    """Measured with the fonts of this machine; names do nothing."""
    page = tmp_path / f"{scheme}.html"
    graph = [*some_graph(random.Random(5), 4), *hostile_graph()]
    page.write_text(
        f"<!doctype html><meta charset=utf-8><body data-ready=yes>{render_flow(graph, HOSTILE, 4)}", encoding="utf-8"
    )
    browser.errors.clear()
    browser.prefer(scheme)
    browser.open(page)
    assert browser.evaluate("document.querySelectorAll('svg.flow g').length") > 20
    assert browser.evaluate(OVERFLOWING) == []
    assert browser.evaluate("window.hacked") is None and not browser.errors
    paper = browser.evaluate("getComputedStyle(document.querySelector('svg.flow > rect')).fill")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 29)"}[scheme]
