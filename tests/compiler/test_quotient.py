"""Division by a scale in three passes: the divider's answer for every float32, next to each step above all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from weft.codegen.quotient import LIFT, thresholds


def quotients(v: npt.NDArray[np.float32], scale: np.float32, low: int, high: int) -> npt.NDArray[np.float32]:
    """What the passes compute, in NumPy."""
    table = thresholds(scale, low, high)
    assert table is not None
    lifted = np.rint(np.clip(v * (np.float32(1) / scale) + np.float32(LIFT), np.float32(low), np.float32(high)))
    below = (table[lifted.astype(int) % 256] >= v).astype(np.float32)
    return np.clip(lifted - below, np.float32(low), np.float32(high))


@given(st.floats(2.0**-60, 2.0**60, width=32), st.integers(-255, 0), st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_equals_the_divider_around_every_step(factor: float, low: int, span: int, seed: int) -> None:
    scale, high = np.float32(factor), min(low + span, 255)
    steps = ((np.arange(low - 2, high + 3) - 0.5) * np.float64(scale)).astype(np.float32)
    near = [steps]
    for direction in (np.float32(-np.inf), np.float32(np.inf)):
        value = steps
        for _ in range(24):
            value = np.nextafter(value, direction)
            near.append(value)
    far = np.array([0, np.inf, -np.inf, 1e38, -1e38, 1e-44], np.float32)
    random = np.random.default_rng(seed).uniform(-300, 300, 2000).astype(np.float32) * scale
    values = np.concatenate([*near, far, random])
    with np.errstate(over="ignore"):
        wanted = np.clip(np.rint(values / scale), np.float32(low), np.float32(high))
        np.testing.assert_array_equal(quotients(values, scale, low, high), wanted)


def test_scales_at_the_ends_of_float32_are_left_to_the_divider() -> None:
    assert thresholds(np.float32(2.0**-120), -128, 127) is None
    assert thresholds(np.float32(2.0**120), -128, 127) is None
