"""From the distribution of a tensor's values to the range that its 256 steps should cover."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from weft.quantize.histogram import Distribution
from weft.quantize.parameters import ActivationParameters

__all__ = ["Parametrize", "entropy_range", "mean_square_range", "percentile_range"]

Range = tuple[float, float]
Parametrize = Callable[[float, float], ActivationParameters]
Steps = npt.NDArray[np.float64]
# Candidates for a bound: its extreme times 2^(-k/12), down to a sixteenth.
SHRINKING = 2.0 ** (-np.arange(49) / 12.0)
ROUNDS = 2
# Where bins hold a value or none, a divergence measures chance: fewer bins than the histogram has, and values
# enough to fill them.
ENTROPY_BINS = 1024
ENOUGH_FOR_ENTROPY = 4096
ENTROPY_SHRINKING = SHRINKING[SHRINKING >= 0.25]


def percentile_range(found: Distribution, percentile: float) -> Range:
    """The range that leaves half of (100 - percentile) percent of all values below, and half above."""
    total = int(found.counts.sum()) + found.zeros
    if total == 0 or percentile == 100.0:
        return found.low, found.high
    split = int(np.searchsorted(found.centers, 0.0))
    values = np.insert(found.centers, split, 0.0)
    cumulative = np.cumsum(np.insert(found.counts, split, found.zeros)) / total
    tail = (100.0 - percentile) / 200.0
    first = min(int(np.searchsorted(cumulative, tail, side="right")), len(values) - 1)
    last = min(int(np.searchsorted(cumulative, 1.0 - tail, side="left")), len(values) - 1)
    low, high = values[first] - found.width / 2, values[last] + found.width / 2
    return max(found.low, float(low)), min(found.high, float(high))


def mean_square_range(found: Distribution, parametrize: Parametrize) -> Range:
    """The range with the least mean squared error between values and what is stored, rounding and saturation
    together.

    Candidates shrink one bound after the other, twice, from the extremes down to a sixteenth of them. Errors
    are taken at the centers of the histogram's bins.
    """
    low, high = min(found.low, 0.0), max(found.high, 0.0)
    if len(found.centers) == 0:
        return low, high
    for _ in range(ROUNDS):
        highs = high * SHRINKING if high > 0 else np.zeros(1)
        high = min(highs, key=lambda bound: _squared_error(found, parametrize(low, bound)))
        lows = low * SHRINKING if low < 0 else np.zeros(1)
        low = min(lows, key=lambda bound: _squared_error(found, parametrize(bound, high)))
    return float(low), float(high)


def entropy_range(found: Distribution, parametrize: Parametrize) -> Range:
    """The range that loses the least information: the least Kullback-Leibler divergence of the stored values'
    distribution from the values' own, saturated one.

    After S. Migacz, "8-bit Inference with TensorRT" (GTC 2017), with one threshold T for both sides: the
    candidates are [max(low, -T), min(high, T)]. Exact zeros take no part, as there. Fewer than 4096 other
    values keep their extremes.
    """
    low, high = min(found.low, 0.0), max(found.high, 0.0)
    if found.counts.sum() < ENOUGH_FOR_ENTROPY:
        return low, high
    found = _coarser(found)
    best, least = (low, high), np.inf
    for limit in max(-low, high) * ENTROPY_SHRINKING:
        span = max(low, -limit), min(high, limit)
        divergence = _divergence(found, span, parametrize(*span))
        if divergence < least:
            best, least = span, divergence
    return float(best[0]), float(best[1])


def _coarser(found: Distribution) -> Distribution:
    """The same values in bins so wide that about 1024 lie between 0 and the greatest magnitude."""
    width = max(found.width, 2.0 ** np.ceil(np.log2(max(-found.low, found.high) / ENTROPY_BINS)))
    places, inverse = np.unique(np.floor(found.centers / width), return_inverse=True)
    counts = np.bincount(inverse, found.counts).astype(np.int64)
    return replace(found, centers=(places + 0.5) * width, counts=counts, width=width)


def _steps(values: Steps, parameters: ActivationParameters) -> Steps:
    """What the values are stored as, minus the zero point."""
    zero, (low, high) = int(parameters.zero_point), parameters.limits
    return np.clip(np.rint(values / np.float64(parameters.scale)), low - zero, high - zero)


def _squared_error(found: Distribution, parameters: ActivationParameters) -> float:
    restored = _steps(found.centers, parameters) * np.float64(parameters.scale)
    return float(np.dot((restored - found.centers) ** 2, found.counts))


def _divergence(found: Distribution, span: Range, parameters: ActivationParameters) -> float:
    inside = (found.centers >= span[0]) & (found.centers <= span[1])
    if not inside.any():
        return np.inf
    first, last = np.flatnonzero(inside)[[0, -1]]
    counts = found.counts[first : last + 1].astype(np.float64)
    reference = counts.copy()
    reference[0] += found.counts[:first].sum()
    reference[-1] += found.counts[last + 1 :].sum()
    steps = _steps(found.centers[first : last + 1], parameters).astype(np.int64)
    levels = steps - steps.min()
    # Each level's values are spread evenly over the bins that it stands for.
    spread = (np.bincount(levels, counts) / np.maximum(np.bincount(levels), 1))[levels]
    p, q = reference / reference.sum(), spread / spread.sum()
    return float(np.dot(p, np.log(p / q)))
