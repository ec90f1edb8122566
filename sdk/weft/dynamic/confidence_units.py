"""The unit of sums that stand for a softmax's greatest value, as `weft.quantize.confidence` writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["confidence_unit"]

ENTRIES = 256


def confidence_unit(table: npt.NDArray[Any]) -> int | None:
    """The whole number that stands for exp(0) in a table of exponentials, where it is one: entry d mod 256 is
    exp(d * step) of it, rounded, for d = 0 ... -255. A sum of such entries divides it into the greatest probability."""
    if table.shape != (ENTRIES,) or table.dtype.kind != "i" or table[0] < 2:
        return None
    unit = int(table[0])
    falling = table[-np.arange(ENTRIES)].astype(np.float64)
    known = int(np.flatnonzero(falling >= np.sqrt(unit))[-1])  # small entries tell little about the step
    step = -np.log(falling[known] / unit) / known if known else np.log(2 * unit)
    expected = unit * np.exp(-step * np.arange(ENTRIES))
    return unit if np.all(np.abs(falling - expected) <= 1 + 0.02 * expected) else None
