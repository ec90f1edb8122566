"""Search spaces: every candidate fits and computes the same bytes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import weft
from weft.backends.npu import NpuAccelerator
from weft.bench.builder import QdqBuilder
from weft.frontend import Model
from weft.schedule.choice import FixedTile
from weft.schedule.convolution import ConvolutionMode, ConvolutionShape
from weft.schedule.convolution_search import tile_fits
from weft.schedule.product import ProductShape, product_tile_fits
from weft.schedule.search import Problem
from weft.schedule.search.features import candidate_mapping, features
from weft.schedule.search.space import MOST_CANDIDATES
from weft.tuning.record import Recorder
from weft_sim.machine import PRESETS, machine

sizes = st.integers(1, 300)
shapes = st.builds(
    ConvolutionShape,
    st.sampled_from((ConvolutionMode.DENSE, ConvolutionMode.DEPTHWISE)),
    st.integers(1, 4), sizes, sizes, st.integers(1, 80), st.integers(1, 80),
    st.tuples(st.integers(1, 7), st.integers(1, 7)), st.tuples(st.integers(1, 2), st.integers(1, 2)), st.just((1, 1)),
)  # fmt: skip
products = st.builds(
    ProductShape, st.integers(1, 4), st.integers(1, 16), sizes, st.integers(1, 60), st.integers(1, 60),
    st.booleans(), st.booleans(),
)  # fmt: skip
machines = st.sampled_from(sorted(PRESETS)).map(machine)


def on_the_accelerator(node):
    return "accelerator" if node.op_type == "QLinearConv" else None


@given(shapes, machines)
def test_every_tile_of_a_convolution_fits(shape, config):
    candidates = Problem(shape, config).candidates
    assert len(set(candidates)) == len(candidates) <= MOST_CANDIDATES
    for tile in candidates:
        assert tile_fits(shape, tile, config)
        assert 1 <= tile.rows <= shape.rows and 1 <= tile.columns <= shape.columns
        assert 1 <= tile.out_blocks <= shape.out_blocks and 1 <= tile.reduce_blocks <= shape.reduce_blocks


@given(products, machines)
def test_every_tile_of_a_product_fits(shape, config):
    candidates = Problem(shape, config).candidates
    assert len(set(candidates)) == len(candidates) <= MOST_CANDIDATES
    assert all(product_tile_fits(shape, tile, config) for tile in candidates)


@given(st.one_of(shapes, products), machines)
@settings(max_examples=10)
def test_features_are_always_as_many_and_finite(shape, config):
    tables = [features(shape, tile, config) for tile in Problem(shape, config).candidates]
    assert np.isfinite(np.array(tables)).all()
    if tables:
        mapping, names = candidate_mapping(shape, Problem(shape, config).candidates[-1])
        extents = [getattr(shape, name) for name in names]
        assert all(covered >= extent for covered, extent in zip(mapping.shape, extents, strict=True))


def test_a_shape_that_nothing_fits_has_no_candidates():
    config = dataclasses.replace(machine("weft-8"), name="tiny", scratchpad_bytes=4096, accumulator_rows=64)
    shape = ConvolutionShape(ConvolutionMode.DENSE, 1, 8, 8, 4, 4, (31, 31), (1, 1), (1, 1))
    assert Problem(shape, config).candidates == ()


@pytest.mark.parametrize(("kernel", "stride", "group"), [(3, 1, 1), (1, 2, 1), (3, 2, 40), (3, 1, 4)])
def test_candidates_compute_the_same(kernel, stride, group):
    build = QdqBuilder("one", 3)
    model = Model(build.build(build.convolution(build.input((2, 40, 13, 11)), 40, kernel, stride, group=group)))
    config = machine("weft-8")
    recorder = Recorder(config)
    program = weft.compile(model, NpuAccelerator(config, recorder), annotate=on_the_accelerator)
    inputs = {"input": np.random.default_rng(0).normal(0, 1, (2, 40, 13, 11)).astype(np.float32)}
    expected = weft.Session(program, device="golden").run(inputs)
    (target, _), *others = recorder.targets
    assert not others and len(target.problem.candidates) > 1
    chosen = np.random.default_rng(1).permutation(len(target.problem.candidates))[:5]
    for tile in (target.problem.candidates[number] for number in chosen):
        program = weft.compile(
            model, NpuAccelerator(config, FixedTile(target.problem.shape, tile)), annotate=on_the_accelerator
        )
        with weft.Session(program, device="sim") as session:
            found = session.run(inputs)
        assert all((found[name] == expected[name]).all() for name in expected), tile
