"""A histogram of everything a tensor has held, in bounded memory and one pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft.frontend.graph import Array

__all__ = ["Distribution", "Histogram"]

HALF_EXPONENT = 13
HALF = 1 << HALF_EXPONENT


@dataclass(frozen=True)
class Distribution:
    """`counts[i]` values lie around `centers[i]` (ascending, float64), each within half of `width`; `zeros`
    values are exactly 0. `low` and `high` are the exact extremes, 0 where there was no value."""

    centers: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    width: float
    zeros: int
    low: float
    high: float


class Histogram:
    """Counts in 16384 bins around 0 whose width is a power of two and doubles when a value lies outside.

    Bin edges are multiples of the width, so merging pairs is exact: the result depends on the values alone,
    not on their order or on how they came in batches. At least 4096 bins lie between 0 and the greatest
    magnitude. Exact zeros (padding, Relu) are counted apart: they are stored without error.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(2 * HALF, np.int64)
        self._exponent: int | None = None
        self._zeros = 0
        self._low, self._high = math.inf, -math.inf

    def add(self, values: Array) -> None:
        """Counts finite float values of any shape."""
        if values.size == 0:
            return
        flat = values.reshape(-1).astype(np.float64)
        low, high = float(flat.min()), float(flat.max())
        self._low, self._high = min(self._low, low), max(self._high, high)
        magnitude = max(-low, high)
        if magnitude == 0:
            self._zeros += flat.size
            return
        self._widen(math.frexp(magnitude)[1] - HALF_EXPONENT)
        assert self._exponent is not None
        places = np.floor(np.ldexp(flat, -self._exponent)).astype(np.int64)
        zeros = int(flat.size - np.count_nonzero(flat))
        self._zeros += zeros
        self._counts += np.bincount(places + HALF, minlength=2 * HALF)
        self._counts[HALF] -= zeros

    def distribution(self) -> Distribution:
        """What was counted, empty bins left out."""
        used = np.flatnonzero(self._counts)
        width = 2.0 ** (self._exponent or 0)
        empty = self._low > self._high
        return Distribution(
            np.asarray((used - HALF + 0.5) * width, np.float64),
            self._counts[used],
            width,
            self._zeros,
            0.0 if empty else self._low,
            0.0 if empty else self._high,
        )

    def _widen(self, exponent: int) -> None:
        if self._exponent is None:
            self._exponent = exponent
        for _ in range(min(exponent - self._exponent, HALF_EXPONENT + 1)):
            merged = self._counts.reshape(-1, 2).sum(axis=1)
            self._counts[:] = 0
            self._counts[HALF // 2 : HALF // 2 + HALF] = merged
        self._exponent = max(self._exponent, exponent)
