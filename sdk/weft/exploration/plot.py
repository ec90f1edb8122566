"""The explored machines as a picture: time against area, the Pareto front as a line. Self-contained SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Mark", "render_plot"]

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 860, 560, 80, 60, 50, 200
COLORS = ("#2b6cb0", "#2f855a", "#b7791f", "#6b46c1", "#c05621", "#97266d", "#0987a0", "#718096")
STYLE = (
    "text{font:12px sans-serif;fill:#1a202c}.title{font-weight:bold;font-size:14px}.small{font-size:10px;fill:#4a5568}"
    ".axis{stroke:#1a202c}.grid{stroke:#e2e8f0}.front{fill:none;stroke:#c53030;stroke-width:1.5}"
)
MOST_LABELS = 14


@dataclass(frozen=True)
class Mark:
    """One machine: area in NAND2 equivalents, time in microseconds, both above 0; `group` decides its color."""

    area: float
    microseconds: float
    label: str
    group: str
    front: bool


def render_plot(marks: Sequence[Mark], title: str) -> str:
    """The text of an SVG file; both axes are logarithmic."""
    x, y = _axis([mark.area for mark in marks]), _axis([mark.microseconds for mark in marks])
    groups = list(dict.fromkeys(mark.group for mark in marks))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">',
        f'<style>{STYLE}</style><rect width="100%" height="100%" fill="white"/>',
        f'<text class="title" x="{LEFT}" y="28">{escape(title)}</text>',
        *_grid(x, y),
        *_front([mark for mark in marks if mark.front], x, y),
        *(_draw(mark, groups.index(mark.group), x, y) for mark in marks),
        *(_legend(group, index) for index, group in enumerate(groups)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _axis(values: Sequence[float]) -> tuple[float, float]:
    """Powers of two around the values."""
    low, high = min(values, default=1.0), max(values, default=1.0)
    first, last = math.floor(math.log2(low)), math.ceil(math.log2(high))
    return float(first), float(max(last, first + 1))


def _x(value: float, axis: tuple[float, float]) -> float:
    return LEFT + (math.log2(value) - axis[0]) / (axis[1] - axis[0]) * (WIDTH - LEFT - RIGHT)


def _y(value: float, axis: tuple[float, float]) -> float:
    return HEIGHT - BOTTOM - (math.log2(value) - axis[0]) / (axis[1] - axis[0]) * (HEIGHT - TOP - BOTTOM)


def _grid(x: tuple[float, float], y: tuple[float, float]) -> list[str]:
    parts = []
    for power in _powers(x):
        at = _x(2.0**power, x)
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(_text(at, HEIGHT - BOTTOM + 18, _short(2.0**power), "middle"))
    for power in _powers(y):
        at = _y(2.0**power, y)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}"/>')
        parts.append(_text(LEFT - 8, at + 4, _short(2.0**power), "end"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, "area in NAND2 equivalents", "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text x="20" y="{middle}" text-anchor="middle" transform="rotate(-90 20 {middle})">'
        "microseconds for one inference</text>"
    )
    return parts


def _powers(axis: tuple[float, float]) -> range:
    first, last = int(axis[0]), int(axis[1])
    return range(first, last + 1, max(1, (last - first) // 10))


def _front(marks: Sequence[Mark], x: tuple[float, float], y: tuple[float, float]) -> list[str]:
    ordered = sorted(marks, key=lambda mark: mark.area)
    points = " ".join(f"{_x(mark.area, x):.1f},{_y(mark.microseconds, y):.1f}" for mark in ordered)
    labels = ordered if len(ordered) <= MOST_LABELS else []
    return [
        f'<polyline class="front" points="{points}"/>',
        *(
            f'<text class="small" x="{_x(mark.area, x) + 7:.1f}" y="{_y(mark.microseconds, y) - 7:.1f}">'
            f"{escape(mark.label)}</text>"
            for mark in labels
        ),
    ]


def _draw(mark: Mark, group: int, x: tuple[float, float], y: tuple[float, float]) -> str:
    title = f"{mark.label}: {mark.microseconds:,.1f} µs, {mark.area:,.0f} NAND2 equivalents"
    color = COLORS[group % len(COLORS)]
    return (
        f'<circle cx="{_x(mark.area, x):.1f}" cy="{_y(mark.microseconds, y):.1f}" r="{6 if mark.front else 4}" '
        f'fill="{color}" fill-opacity="{1 if mark.front else 0.5}"><title>{escape(title)}</title></circle>'
    )


def _legend(group: str, index: int) -> str:
    at = TOP + 8 + 20 * index
    color = COLORS[index % len(COLORS)]
    return f'<circle cx="{WIDTH - RIGHT + 22}" cy="{at - 4}" r="5" fill="{color}"/>' + _text(
        WIDTH - RIGHT + 34, at, group, "start"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(value: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
