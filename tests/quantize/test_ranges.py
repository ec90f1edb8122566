"""Histograms and the ranges that the calibration methods take from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.quantize.histogram import HALF, Histogram
from weft.quantize.parameters import activation_parameters
from weft.quantize.thresholds import entropy_range, mean_square_range, percentile_range


def distribution(*batches):
    histogram = Histogram()
    for batch in batches:
        histogram.add(np.asarray(batch, np.float32))
    return histogram.distribution()


def squared_error(values, span):
    parameters = activation_parameters(*span)
    steps = np.clip(np.rint(values / parameters.scale) + int(parameters.zero_point), 0, 255)
    return float(np.mean(((steps - int(parameters.zero_point)) * parameters.scale - values) ** 2))


@given(
    st.lists(st.floats(-1e6, 1e6, width=32, allow_subnormal=True), min_size=1, max_size=60),
    st.integers(0, 60),
    st.randoms(use_true_random=False),
)
def test_a_histogram_depends_on_the_values_alone(values, cut, random):
    whole = distribution(values)
    random.shuffle(values)
    parts = distribution(values[:cut], values[cut:])
    np.testing.assert_array_equal(whole.centers, parts.centers)
    np.testing.assert_array_equal(whole.counts, parts.counts)
    assert (whole.zeros, whole.low, whole.high) == (parts.zeros, parts.low, parts.high)
    assert int(whole.counts.sum()) + whole.zeros == len(values)


def test_bins_hold_what_lies_within_half_a_width_and_memory_is_bounded():
    generator = np.random.default_rng(0)
    histogram = Histogram()
    values = [generator.standard_normal(1000).astype(np.float32) * 10.0**power for power in range(-6, 6)]
    for batch in values:
        histogram.add(batch)
    found = histogram.distribution()
    every = np.sort(np.concatenate(values).astype(np.float64))
    np.testing.assert_allclose(np.repeat(found.centers, found.counts), every, atol=found.width / 2, rtol=0)
    assert HALF // 2 <= np.abs(every).max() / found.width <= HALF
    assert len(found.centers) <= 2 * HALF


def test_nothing_and_zeros_alone():
    for found in (distribution(), distribution([]), distribution([0.0, -0.0])):
        assert (found.low, found.high, len(found.centers)) == (0.0, 0.0, 0)
        for span in (
            percentile_range(found, 99.0),
            mean_square_range(found, activation_parameters),
            entropy_range(found, activation_parameters),
        ):
            assert span == (0.0, 0.0)


def test_percentiles_leave_half_at_each_end():
    values = np.arange(-500, 501).astype(np.float32)
    low, high = percentile_range(distribution(values), 90.0)
    assert (low, high) == pytest.approx((-450, 450), abs=1.5)
    assert percentile_range(distribution(values), 100.0) == (-500.0, 500.0)
    # 95 % exact zeros (Relu) belong to the values that are counted.
    mostly_zero = np.concatenate([np.zeros(9500), np.arange(1, 501)])
    assert percentile_range(distribution(mostly_zero), 98.0)[1] == pytest.approx(400, abs=2)


@pytest.mark.parametrize("shape", ["normal", "relu", "laplace", "negative"])
def test_the_mean_square_range_is_no_worse_than_any_range_of_a_grid(shape):
    generator = np.random.default_rng(3)
    values = generator.laplace(size=100_000) if shape == "laplace" else generator.standard_normal(20_000)
    values = {"relu": np.maximum(values, 0), "negative": -np.abs(values)}.get(shape, values)
    found = distribution(values)
    chosen = squared_error(values, mean_square_range(found, activation_parameters))
    factors = np.linspace(0.05, 1.0, 20)
    grid = [squared_error(values, (values.min() * a, values.max() * b)) for a in factors for b in factors]
    assert chosen <= min(grid) * 1.02
    if shape == "laplace":
        assert chosen < 0.95 * squared_error(values, (values.min(), values.max()))


def test_entropy_cuts_a_lonely_outlier_and_keeps_a_uniform_range():
    generator = np.random.default_rng(4)
    uniform = generator.uniform(0, 10, 100_000)
    low, high = entropy_range(distribution(uniform), activation_parameters)
    assert low == 0 and high > 9.4
    low, high = entropy_range(distribution(np.append(uniform, 20.0)), activation_parameters)
    assert 9 < high < 15
    few = np.append(uniform[:100], 20.0)
    assert entropy_range(distribution(few), activation_parameters) == (0.0, 20.0)
