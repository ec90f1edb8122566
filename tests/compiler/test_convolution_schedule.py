"""Schedules of convolutions: steps cover every product once, rings keep what fits, the benchmark's layers are exact."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.bench.vta import LAYERS, compulsory_bytes, run
from weft.schedule.convolution import ConvolutionMode, ConvolutionShape, ConvolutionTile
from weft.schedule.ring import Ring
from weft.schedule.steps import Span, boxes, steps

extents = st.integers(1, 9)


@given(st.data(), extents, extents, extents, extents, st.booleans())
@settings(max_examples=80, deadline=None)
def test_steps_compute_every_product_once(
    data: st.DataObject, rows: int, columns: int, out_blocks: int, reduce_blocks: int, weights_outer: bool
) -> None:
    """Each (position, output block, input block) once, inside its groups; a box's first step is the one that starts
    its accumulators, its last step the one behind which nothing is added."""
    shape = ConvolutionShape(ConvolutionMode.DENSE, 2, rows, columns, out_blocks, reduce_blocks, (3, 3), (1, 1), (1, 1))
    box = data.draw(st.integers(1, out_blocks))
    tile = ConvolutionTile(
        data.draw(st.integers(1, rows)), data.draw(st.integers(1, columns)), box,
        data.draw(st.integers(box, out_blocks)), data.draw(st.integers(1, reduce_blocks)), weights_outer, 0,
    )  # fmt: skip
    seen: Counter[tuple[int, ...]] = Counter()
    started: set[tuple[int, ...]] = set()
    for step in steps(shape, tile):
        assert step.reduce_group.first <= step.reduce and step.reduce + step.reduces <= step.reduce_group.stop
        assert step.weight_group.first <= step.block and step.block + step.blocks <= step.weight_group.stop
        assert step.blocks <= tile.out_blocks and step.rows <= tile.rows and step.columns <= tile.columns
        key = (*step.place, step.block)
        assert step.first == (key not in started)
        started.add(key)
        for block in range(step.block, step.block + step.blocks):
            for reduce in range(step.reduce, step.reduce + step.reduces):
                seen[*step.place, block, reduce] += step.rows * step.columns
        if step.last:
            assert all(seen[*key, reduce] == step.rows * step.columns for reduce in range(reduce_blocks))
    assert sum(seen.values()) == 2 * rows * columns * out_blocks * reduce_blocks


@given(st.integers(1, 40), st.integers(1, 40), st.booleans(), st.booleans())
def test_boxes_cover_a_group(count: int, most: int, rising: bool, falling: bool) -> None:
    spans = boxes(Span(3, count), most, rising=rising, falling=falling)
    assert [block for span in spans for block in range(span.first, span.stop)] == list(range(3, 3 + count))
    assert all(1 <= span.count <= most for span in spans)
    assert not rising or spans[0].count == 1


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 12)), max_size=40), st.sampled_from([1, 4]))
def test_ring_pieces_never_share_bytes(taken: list[tuple[int, int]], unit: int) -> None:
    ring = Ring()
    ring.cover(8, 24)
    live: dict[tuple[int, int], tuple[int, int]] = {}
    for index, (name, size) in enumerate(taken):
        start = ring.take((name, index), size, unit)
        assert start >= 8 and start + size <= 24 and (start - 8) % unit == 0
        live = {key: area for key, area in live.items() if ring.find(key) is not None}
        assert all(start + size <= low or start >= high for low, high in live.values())
        live[name, index] = (start, start + size)
    assert all(ring.find(key) == low for key, (low, _) in live.items())


def test_ring_refuses_what_is_larger_than_its_area() -> None:
    ring = Ring()
    ring.cover(0, 16)
    assert ring.take("whole", 16) == 0
    with pytest.raises(ValueError, match="17"):
        ring.take("one more", 17)


def test_layers_add_up_to_the_published_ideal() -> None:
    assert sum(layer.times * layer.macs for layer in LAYERS) == 6_623_232 * 256
    (shallow,) = (layer for layer in LAYERS if layer.name == "C5")
    assert compulsory_bytes(shallow) == 28 * 28 * 64 + 128 * 64 + 128 * 8 + 28 * 28 * 128


def test_worst_layers_alone() -> None:
    """The layers of which the board used least: exact bits, and the goal of each layer alone."""
    found = run(layers="C5,C11")
    assert [row["mismatches"] for row in found["layers"]] == [0, 0, 0, 0]
    fast, slow = found["aggregate"]
    assert fast["least_utilization"] >= 0.82
    assert slow["of_bound"] >= 0.88
    with pytest.raises(ValueError, match="at most 8"):
        run(bandwidths="9")
