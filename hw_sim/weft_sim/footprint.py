"""Sets of addresses that strided streams touch, in a normal form, with an exact and fast overlap test.

A stream of an instruction is `base + Σ stride·digit` with `length` units at each step. As a set it is the
same when strides are made positive, steps of stride 0 dropped, and loops that continue each other merged;
most streams of compiled programs become one run or a rectangle. Whether two sets meet is then a bounded
integer equation Σ stride·z ∈ [low, high], solved by branch and bound over the strides in descending order,
where both the reach of the smaller strides and their greatest common divisor prune. A search that gets long
(hostile strides) falls back to enumerating and sorting the runs, which MAX_WORK bounds.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from weft_sim.isa.instruction import AddressStream
from weft_sim.isa.state import addresses

__all__ = ["Footprint", "common_address", "footprint", "overlap"]

Dims = tuple[tuple[int, int], ...]
Starts = npt.NDArray[np.int64]
_SEARCH_NODES = 2000


class Footprint(NamedTuple):
    """The units (bytes, rows, slots) {low + Σ stride·digit + i, i < length}: strides positive, descending,
    distinct.

    `dims` holds (count, stride) with counts above 1. `high` is inclusive.
    """

    low: int
    high: int
    length: int
    dims: Dims

    def starts(self) -> Starts:
        """First unit of every run, ascending, each once."""
        return _starts(self.low, self.dims)


def footprint(stream: AddressStream) -> Footprint:
    """The set of units that the stream touches."""
    shift, span, length, dims = _normal_form(stream.length, stream.dims)
    low = stream.base + shift
    return Footprint(low, low + span, length, dims)


@lru_cache(maxsize=1 << 16)
def _normal_form(length: int, dims: Dims) -> tuple[int, int, int, Dims]:
    """(lowest unit relative to the base, highest relative to the lowest, run length, merged dims)."""
    shift = sum((count - 1) * stride for count, stride in dims if stride < 0)
    span = sum((count - 1) * abs(stride) for count, stride in dims) + length - 1
    rising = sorted((abs(stride), count) for count, stride in dims if stride and count > 1)
    merged: list[tuple[int, int]] = []
    for stride, count in rising:
        if not merged and stride <= length:
            length += (count - 1) * stride
        elif merged and stride % merged[-1][1] == 0 and stride // merged[-1][1] <= merged[-1][0]:
            inner, unit = merged[-1]
            merged[-1] = (inner + (count - 1) * (stride // unit), unit)
        else:
            merged.append((count, stride))
    return shift, span, length, tuple(reversed(merged))


def overlap(first: Footprint, second: Footprint) -> bool:
    """True exactly when some unit is in both."""
    if first.low > second.high or second.low > first.high:
        return False
    if not first.dims and not second.dims:
        return True
    meeting = _meet(first.length, first.dims, second.length, second.dims, second.low - first.low)
    return meeting is not None


def common_address(first: Footprint, second: Footprint) -> int:
    """A unit that is in both. Raises ValueError when there is none."""
    offset = _meet(first.length, first.dims, second.length, second.dims, second.low - first.low)
    if offset is None:
        raise ValueError("the footprints have no unit in common")
    return first.low + offset


@lru_cache(maxsize=1 << 18)
def _meet(length: int, dims: Dims, other_length: int, other_dims: Dims, distance: int) -> int | None:
    """A unit common to a set of runs at 0 and one at `distance`, or None.

    Runs that start at a and at b meet when b − a lies in (−other_length, length); b − a is `distance` plus
    Σ stride·z, where z is the difference of the two sets' digits of that stride.
    """
    ranges: dict[int, tuple[int, int]] = {stride: (1 - count, 0) for count, stride in dims}
    for count, stride in other_dims:
        ranges[stride] = (ranges.get(stride, (0, 0))[0], count - 1)
    terms = sorted(((stride, *bounds) for stride, bounds in ranges.items()), reverse=True)
    try:
        found = _Search(terms).find(0, 1 - other_length - distance, length - 1 - distance)
    except _TooLongError:
        return _first_meeting(_starts(0, dims), length, _starts(distance, other_dims), other_length)
    if found is None:
        return None
    start = sum(stride * max(0, -z) for (stride, _, _), z in zip(terms, found, strict=True))
    other = sum(stride * max(0, z) for (stride, _, _), z in zip(terms, found, strict=True))
    return max(start, distance + other)


class _TooLongError(Exception):
    """The search has visited _SEARCH_NODES nodes."""


class _Search:
    """Branch and bound over terms (stride, lowest z, highest z), strides descending."""

    def __init__(self, terms: list[tuple[int, int, int]]) -> None:
        self.terms = terms
        self.nodes = 0
        self.low, self.high, self.unit = [0], [0], [0]  # what terms[level:] reach, and their common divisor
        for stride, least, most in reversed(terms):
            self.low.insert(0, self.low[0] + stride * least)
            self.high.insert(0, self.high[0] + stride * most)
            self.unit.insert(0, gcd(self.unit[0], stride))

    def find(self, level: int, low: int, high: int) -> tuple[int, ...] | None:
        """One z for each of terms[level:] so that Σ stride·z lies within [low, high], or None."""
        low, high = max(low, self.low[level]), min(high, self.high[level])
        if low > high:
            return None
        if level == len(self.terms):
            return ()  # the empty sum is 0, and [low, high] was just clipped to it
        if high // self.unit[level] < -(-low // self.unit[level]):
            return None
        self.nodes += 1
        if self.nodes > _SEARCH_NODES:
            raise _TooLongError
        stride, least, most = self.terms[level]
        least = max(least, -(-(low - self.high[level + 1]) // stride))
        most = min(most, (high - self.low[level + 1]) // stride)
        for z in range(least, most + 1):
            rest = self.find(level + 1, low - stride * z, high - stride * z)
            if rest is not None:
                return (z, *rest)
        return None


def _starts(low: int, dims: Dims) -> Starts:
    starts = addresses(low, dims)
    starts.sort()
    first = np.ones(len(starts), np.bool_)
    first[1:] = starts[1:] != starts[:-1]
    return np.asarray(starts[first], np.int64)


def _first_meeting(starts: Starts, length: int, others: Starts, other_length: int) -> int | None:
    """The lowest unit in runs of both kinds; starts ascend."""
    near = np.searchsorted(starts, others - length, side="right")  # the first run that ends behind each other start
    inside = near < len(starts)
    near, others = near[inside], others[inside]
    meeting = np.flatnonzero(starts[near] < others + other_length)
    if not len(meeting):
        return None
    at = meeting[0]
    return int(max(starts[near[at]], others[at]))
