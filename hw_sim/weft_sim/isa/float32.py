"""The VPU's float32 arithmetic: IEEE 754 binary32, round to nearest even, subnormals kept, one canonical
NaN."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = [
    "add", "canonical", "clamp", "divide", "from_integer", "maximum", "minimum", "multiply", "rint",
    "square_root", "subtract", "to_integer",
]  # fmt: skip

Floats = npt.NDArray[np.float32]
_QUIET_NAN = np.array(0x7FC00000, np.uint32).view(np.float32)


def canonical(value: npt.NDArray[np.generic]) -> Floats:
    """Every NaN replaced by 0x7fc00000, so that payloads never matter."""
    return np.where(np.isnan(value), _QUIET_NAN, value).astype(np.float32)


def add(x: Floats, y: Floats) -> Floats:
    """x + y, rounded once."""
    with np.errstate(all="ignore"):
        return canonical(x + y)


def subtract(x: Floats, y: Floats) -> Floats:
    """x − y, rounded once."""
    with np.errstate(all="ignore"):
        return canonical(x - y)


def multiply(x: Floats, y: Floats | np.float32) -> Floats:
    """x × y, rounded once."""
    with np.errstate(all="ignore"):
        return canonical(np.asarray(x * y, np.float32))


def divide(x: Floats, y: Floats) -> Floats:
    """x ÷ y, rounded once."""
    with np.errstate(all="ignore"):
        return canonical(x / y)


def square_root(x: Floats) -> Floats:
    """√x, rounded once; NaN below zero."""
    with np.errstate(all="ignore"):
        return canonical(np.sqrt(x))


def maximum(x: Floats, y: Floats | np.float32) -> Floats:
    """x > y ? x : y; NaN if either is (so of two zeros, y)."""
    return np.where(np.isnan(x) | np.isnan(y), _QUIET_NAN, np.where(x > y, x, y)).astype(np.float32)


def minimum(x: Floats, y: Floats | np.float32) -> Floats:
    """x < y ? x : y; NaN if either is (so of two zeros, y)."""
    return np.where(np.isnan(x) | np.isnan(y), _QUIET_NAN, np.where(x < y, x, y)).astype(np.float32)


def clamp(x: Floats, low: np.float32, high: np.float32) -> Floats:
    """minimum(maximum(x, low), high)."""
    return minimum(maximum(x, low), high)


def rint(x: Floats) -> Floats:
    """To the nearest whole number, ties to even."""
    return canonical(np.rint(x))


def from_integer(x: npt.NDArray[np.generic]) -> Floats:
    """A 32-bit integer (taken modulo 2³²) to the nearest float32, ties to even."""
    return np.asarray(x, np.int64).astype(np.int32).astype(np.float32)


def to_integer(x: Floats) -> npt.NDArray[np.int64]:
    """rint, saturated to 32 bits signed; NaN gives 0."""
    rounded = np.nan_to_num(np.rint(x.astype(np.float64)), nan=0.0, posinf=2.0**31, neginf=-(2.0**31))
    return np.asarray(np.clip(rounded, -(2.0**31), 2.0**31 - 1), np.int64)
