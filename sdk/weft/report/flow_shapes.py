"""Shapes of a control-flow picture: each knows its size and its axis, the x at which control enters and leaves.

Boxes are put into each other and never overlap: a sequence goes down, ways lie side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

__all__ = ["Diamond", "Flow", "Fork", "Frame", "Leaf", "Shape", "Stack", "escaped"]

LETTER = 7.25
"""Width of a letter of the 12-pixel monospace font, rounded up: what is measured with it fits."""

LINE, PAD, GAP = 17, 9, 22
LEAF_WIDTH, MOST_LETTERS = 294, 38
WORK_WIDTH = 176
DIAMOND_WIDTH, DIAMOND_HEIGHT, DIAMOND_LETTERS = 232, 76, 19
LEAD, TAIL, CLEAR = 40, 24, 16
EMPTY_WIDTH = 76
HEADER, RETURN = 44, 34


@dataclass(frozen=True)
class Flow:
    """How often control comes along: a share of the samples from 0 to 1, None where nothing ran; and whether this is
    the way that most samples take."""

    share: float | None = None
    hot: bool = False

    @property
    def kind(self) -> str:
        """The class of what is drawn along it."""
        if self.share == 0:
            return "never"
        return "hot" if self.hot else "way"

    @property
    def width(self) -> float:
        """Of a line, in pixels."""
        return 1.5 if not self.share else 1.5 + 6 * min(1.0, self.share)


class Shape(Protocol):
    """Something with a place for control to enter, at its upper edge, and one to leave, below it on the same axis."""

    @property
    def width(self) -> float:
        """In pixels."""
        ...

    @property
    def height(self) -> float:
        """In pixels."""
        ...

    @property
    def axis(self) -> float:
        """Distance of the entry from the left edge."""
        ...

    def draw(self, x: float, y: float) -> Iterator[str]:
        """SVG elements, with the upper left corner there."""
        ...


@dataclass(frozen=True)
class Leaf:
    """A box of text: a sub-network, or what is done inside a launch. `load` is its share of all cycles, a bar at its
    foot; `kind` its class: "device", "host" or "work"."""

    lines: Sequence[str]
    kind: str
    flow: Flow
    load: float = 0.0

    @property
    def width(self) -> float:
        return WORK_WIDTH if self.kind == "work" else LEAF_WIDTH

    @property
    def height(self) -> float:
        return 2 * PAD + LINE * len(self.lines)

    @property
    def axis(self) -> float:
        return self.width / 2

    def draw(self, x: float, y: float) -> Iterator[str]:
        yield f'<g class="{self.kind} box-{self.flow.kind}"><title>{escaped(" · ".join(self.lines), 2000)}</title>'
        yield rectangle(x, y, self.width, self.height, "box")
        if self.load:
            width = max(2.0, (self.width - 4) * min(1.0, self.load))
            yield f'<rect class="load" x="{x + 2:.1f}" y="{y + self.height - 7:.1f}" width="{width:.1f}" height="5"/>'
        for index, line in enumerate(self.lines):
            yield text(x + PAD, y + PAD + 12 + LINE * index, line, "name" if not index else "fine")
        yield "</g>"


@dataclass(frozen=True)
class Stack:
    """Shapes one below the other on one axis; without any, a bare line."""

    shapes: Sequence[Shape]
    flow: Flow

    @property
    def width(self) -> float:
        if not self.shapes:
            return EMPTY_WIDTH
        return self.axis + max(each.width - each.axis for each in self.shapes)

    @property
    def height(self) -> float:
        return sum(each.height for each in self.shapes) + GAP * max(0, len(self.shapes) - 1)

    @property
    def axis(self) -> float:
        return max((each.axis for each in self.shapes), default=EMPTY_WIDTH / 2)

    def draw(self, x: float, y: float) -> Iterator[str]:
        at = x + self.axis
        for index, each in enumerate(self.shapes):
            if index:
                yield arrow(at, y, y + GAP, self.flow)
                y += GAP
            yield from each.draw(at - each.axis, y)
            y += each.height


@dataclass(frozen=True)
class Diamond:
    """A decision: its name, and who takes it."""

    name: str
    decider: str

    def draw(self, x: float, y: float) -> Iterator[str]:
        """With its centre at x."""
        half, middle = DIAMOND_WIDTH / 2, y + DIAMOND_HEIGHT / 2
        corners = ((x, y), (x + half, middle), (x, y + DIAMOND_HEIGHT), (x - half, middle))
        points = " ".join(f"{each[0]:.1f},{each[1]:.1f}" for each in corners)
        yield f'<g class="decision"><title>{escaped(f"{self.name}: {self.decider}", 2000)}</title>'
        yield f'<polygon class="diamond" points="{points}"/>'
        yield text(x, middle - 1, shortened(self.name, DIAMOND_LETTERS), "name middle")
        yield text(x, middle + 13, self.decider, "small middle") + "</g>"


@dataclass(frozen=True)
class Fork:
    """A decision above two ways side by side, which meet again. `labels` stand at the ways."""

    diamond: Diamond
    ways: tuple[Stack, Stack]
    labels: tuple[str, str]

    @property
    def _reach(self) -> tuple[float, float]:
        """Distance of each way's axis from the decision's."""
        left, right = self.ways
        clear = DIAMOND_WIDTH / 2 + CLEAR
        return max(clear, left.width - left.axis + GAP / 2), max(clear, right.axis + GAP / 2)

    @property
    def axis(self) -> float:
        return self._reach[0] + max(self.ways[0].axis, LETTER * len(self.labels[0]) / 2 + CLEAR)

    @property
    def width(self) -> float:
        right = self.ways[1]
        beyond = max(right.width - right.axis, LETTER * len(self.labels[1]) + CLEAR)
        return self.axis + self._reach[1] + beyond

    @property
    def height(self) -> float:
        return DIAMOND_HEIGHT + LEAD + max(each.height for each in self.ways) + TAIL

    def draw(self, x: float, y: float) -> Iterator[str]:
        middle, first = x + self.axis, y + DIAMOND_HEIGHT + LEAD
        end = y + self.height
        for way, label, side, reach in zip(self.ways, self.labels, (-1, 1), self._reach, strict=True):
            at, corner = middle + side * reach, middle + side * DIAMOND_WIDTH / 2
            height = y + DIAMOND_HEIGHT / 2
            yield line(
                f"M{corner:.1f} {height:.1f}H{at - 8 * side:.1f}q{8 * side} 0 {8 * side} 8V{first - 3:.1f}", way.flow
            )
            yield head(at, first, way.flow) if way.shapes else ""
            yield text(at + 7, first - 22, label, f"label label-{way.flow.kind}")
            yield from way.draw(at - way.axis, first)
            below = first + way.height if way.shapes else first - 3
            yield line(f"M{at:.1f} {below:.1f}V{end - 8:.1f}q0 8 {-8 * side} 8H{middle:.1f}", way.flow)
        yield from self.diamond.draw(middle, y)
        yield f'<circle class="meet" cx="{middle:.1f}" cy="{end:.1f}" r="4"/>'


@dataclass(frozen=True)
class Frame:
    """A frame with a title around a sequence: a loop, with the way back at its right side, or a launch that decides by
    itself. `kind`: "loop" or "launch"; `load` as of a leaf."""

    title: str
    subtitle: str
    body: Stack
    kind: str
    back: str = ""
    load: float = 0.0

    @property
    def axis(self) -> float:
        return PAD + CLEAR + self.body.axis

    @property
    def width(self) -> float:
        returns = RETURN + LETTER * len(self.back) if self.kind == "loop" else CLEAR
        inner = self.axis + self.body.width - self.body.axis + returns + PAD
        return max(inner, LETTER * max(min(len(self.title), 2 * MOST_LETTERS), len(self.subtitle)) + 2 * CLEAR)

    @property
    def height(self) -> float:
        return HEADER + 2 * GAP + self.body.height + PAD

    def draw(self, x: float, y: float) -> Iterator[str]:
        yield f'<g class="{self.kind}"><title>{escaped(f"{self.title}: {self.subtitle}", 2000)}</title>'
        yield rectangle(x, y, self.width, self.height, "frame", 12)
        yield text(x + CLEAR, y + 19, shortened(self.title, 2 * MOST_LETTERS), "name")
        yield text(x + CLEAR, y + 36, self.subtitle, "fine")
        if self.load:
            width = max(2.0, (self.width - 2 * CLEAR) * min(1.0, self.load))
            bottom = y + self.height - 8
            yield f'<rect class="load" x="{x + CLEAR:.1f}" y="{bottom:.1f}" width="{width:.1f}" height="5"/>'
        yield "</g>"
        at, top = x + self.axis, y + HEADER + GAP
        bottom = top + self.body.height
        yield arrow(at, top - GAP, top, self.body.flow)
        yield from self.body.draw(at - self.body.axis, top)
        yield line(f"M{at:.1f} {bottom:.1f}V{y + self.height:.1f}", self.body.flow)
        if self.kind == "loop":
            right = at + self.body.width - self.body.axis + 14
            low, high = bottom + GAP / 2, top - GAP / 2 - 3
            turn = f"M{at:.1f} {low:.1f}H{right - 8:.1f}q8 0 8 -8V{high + 8:.1f}q0 -8 -8 -8H{at + 9:.1f}"
            yield line(turn, self.body.flow, "back")
            yield f'<path class="head back-{self.body.flow.kind}" d="M{at + 4:.1f} {high:.1f}l9 -5v10z"/>'
            yield text(right + 6, (low + high) / 2 + 4, self.back, f"label label-{self.body.flow.kind}")


def rectangle(x: float, y: float, width: float, height: float, kind: str, radius: int = 5) -> str:
    """A rectangle with round corners."""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius}"'
    return f'<rect class="{kind}" {place}/>'


def line(path: str, flow: Flow, more: str = "") -> str:
    """A line as wide as it is taken often."""
    return f'<path class="line {flow.kind} {more}" stroke-width="{flow.width:.2f}" d="{path}"/>'


def head(x: float, y: float, flow: Flow) -> str:
    """An arrow head that ends there, from above."""
    half = 4 + flow.width / 2
    return f'<path class="head {flow.kind}" d="M{x:.1f} {y:.1f}l{-half:.1f} -8h{2 * half:.1f}z"/>'


def arrow(x: float, top: float, bottom: float, flow: Flow) -> str:
    """A line downwards with a head."""
    return line(f"M{x:.1f} {top:.1f}V{bottom - 4:.1f}", flow) + head(x, bottom, flow)


def text(x: float, y: float, content: str, kind: str) -> str:
    """One line of text."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escaped(content, 2 * MOST_LETTERS)}</text>'


def shortened(content: str, most: int) -> str:
    """With its middle left out if it is too long: both ends of ONNX names tell nodes apart."""
    return content if len(content) <= most else f"{content[: most // 2 - 1]}…{content[-(most - most // 2) :]}"


def escaped(content: str, most: int) -> str:
    """Text of an untrusted model for SVG and HTML, at most so long."""
    printable = "".join(char if char.isprintable() else "?" for char in content)
    return escape(shortened(printable, most))
