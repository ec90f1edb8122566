"""Linear interpolation over height and width, in ONNX Runtime's own order of float32 operations."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from weft.ir.operators import Operator

__all__ = ["AxisTaps", "Interpolation", "Run"]


@dataclass(frozen=True)
class Run:
    """Output positions start, start + step, … (`count` of them) of one axis that have the same weights; the first
    value that they read lies at `first`, first + advance, …, the second one `apart` behind."""

    start: int
    step: int
    count: int
    first: int
    advance: int
    apart: int
    weights: tuple[np.float32, np.float32]


@dataclass(frozen=True)
class AxisTaps:
    """For each output position of an axis the two input positions that it reads, and their weights (float32)."""

    positions: tuple[tuple[int, int], ...]
    weights: tuple[tuple[np.float32, np.float32], ...]

    def extent(self, start: int, count: int) -> tuple[int, int]:
        """First input position that `count` outputs from `start` on read, and how many from there on."""
        read = [each for pair in self.positions[start : start + count] for each in pair]
        return min(read), max(read) - min(read) + 1

    def runs(self, start: int, count: int) -> list[Run]:
        """The outputs from `start` on in runs that one instruction can walk through; positions are the axis' own."""
        alike: dict[tuple[object, ...], list[int]] = {}
        for index in range(start, start + count):
            low, high = self.positions[index]
            alike.setdefault((*self.weights[index], high - low), []).append(index)
        return [run for members in alike.values() for run in self._progressions(members)]

    def _progressions(self, members: list[int]) -> Iterator[Run]:
        """Members that are equally far apart, and whose inputs are."""
        while members:
            count, step, advance = 1, 1, 0
            for index, following in itertools.pairwise(members):
                distance = (following - index, self.positions[following][0] - self.positions[index][0])
                if count == 1:
                    step, advance = distance
                if distance != (step, advance):
                    break
                count += 1
            first = members[0]
            low, high = self.positions[first]
            yield Run(first, step, count, low, advance, high - low, self.weights[first])
            members = members[count:]


@dataclass(frozen=True)
class Interpolation(Operator):
    """y = clamp(rint((((x00·w00 + x01·w01) + x10·w10) + x11·w11) / sy) + zy, low, high), all in float32.

    x = (q − zx)·sx at the two rows and the two columns that `rows` and `columns` give, each w the product of its row's
    and its column's weight.
    """

    rows: AxisTaps
    columns: AxisTaps
    low: int
    high: int
