"""A run's timeline for terminals: one bar per unit, as high as the unit was active at that time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from weft.report.slices import Slice, Timeline, timeline_of
from weft_runtime.profile import Profile

__all__ = ["activity", "render_timeline"]

LEVELS = " ▁▂▃▄▅▆▇█"
LABEL = 7


def render_timeline(profile: Profile, width: int = 72) -> str:
    """Unit by unit, `width` cells over the cycles of all regions; each cell's height is the unit's active
    part of it.

    The figure behind a bar is the unit's busy share of all cycles (useful work, from the unit's own counter);
    a unit is active from an instruction's start to its end, waits inside included. Raises ReportError on
    devices without events, ValueError for a width below 8.
    """
    if width < 8:
        raise ValueError(f"a timeline needs at least 8 cells, not {width}")
    timeline = timeline_of(profile)
    if not timeline.cycles:
        return "nothing ran on the device"
    counters = profile.units
    lines = [_ruler(timeline, width)]
    for unit, slices in timeline.units.items():
        if not slices:
            continue
        cells = activity(slices, timeline.cycles, width)
        busy = counters[unit].busy / timeline.cycles if unit in counters else float(cells.mean())
        lines.append(f"{unit:<{LABEL}}│{_bar(cells)}│ {busy:6.1%}")
    scale = f"{timeline.cycles:,} cycles, {timeline.cycles / profile.clock_mhz:,.1f} µs"
    lines.append(f"{'':<{LABEL}}└{scale:─^{width}}┘")
    return "\n".join(lines)


def activity(slices: Sequence[Slice], cycles: int, cells: int) -> npt.NDArray[np.float64]:
    """The active fraction, 0 to 1, of each of `cells` equal parts of `cycles`, float64 [cells]."""
    starts = np.array([each.offset + each.shown for each in slices], np.float64)
    ends = np.array([each.offset + each.end for each in slices], np.float64)
    # Slices of a unit do not overlap: active time up to t is piecewise linear, with knots at starts and ends.
    knots = np.stack([starts, ends], axis=1).ravel()
    lengths = ends - starts
    after = np.cumsum(lengths)
    total = np.stack([after - lengths, after], axis=1).ravel()
    edges = np.linspace(0, cycles, cells + 1)
    return np.asarray(np.clip(np.diff(np.interp(edges, knots, total)) * cells / cycles, 0, 1))


def _bar(cells: npt.NDArray[np.float64]) -> str:
    # Anything that happened shows: only an idle cell is blank.
    heights = np.ceil(np.round(cells * (len(LEVELS) - 1), 6)).astype(int)
    return "".join(LEVELS[height] for height in heights.tolist())


def _ruler(timeline: Timeline, width: int) -> str:
    """Region names above their part of the bar, as far as they fit."""
    line = [" "] * width
    for span in timeline.regions:
        start = span.start * width // timeline.cycles
        end = max(start + 1, span.end * width // timeline.cycles)
        text = f"╷{span.name}"[: end - start]
        line[start : start + len(text)] = text
    return f"{'':<{LABEL}} {''.join(line).rstrip()}".rstrip()
