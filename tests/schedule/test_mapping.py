"""The algebra of task mappings, by its definition and by enumeration."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.schedule.mapping import Nest, NestLoop, TaskMapping, lower, repeat, spatial

RANK = 2


def mappings_of(most: int, depth: int):
    """Mappings of up to `depth` levels whose extents are at most `most`."""
    extents = st.tuples(*[st.integers(1, most)] * RANK)
    levels = st.builds(lambda kind, sizes: kind(*sizes), st.sampled_from((repeat, spatial)), extents)
    return st.lists(levels, min_size=1, max_size=depth).map(lambda each: math.prod(each[1:], start=each[0]))


mappings = mappings_of(3, 3)
small = mappings_of(2, 2)
strides = st.lists(st.tuples(*[st.integers(-50, 50)] * RANK), min_size=1, max_size=3)
nests = st.integers(1, 3).flatmap(
    lambda operands: st.builds(
        Nest,
        st.tuples(*[st.integers(-9, 9)] * operands),
        st.lists(st.builds(NestLoop, st.integers(0, 5), st.tuples(*[st.integers(-20, 20)] * operands)), max_size=4).map(
            tuple
        ),
    )
)


def by_definition(outer, inner, workers, shape):
    """(f * g)(w) as lists, from two functions of the worker."""
    return lambda w: [
        tuple(t * d + u for t, d, u in zip(task, shape, inside, strict=True))
        for task in outer(w // workers)
        for inside in inner(w % workers)
    ]


def test_the_two_atoms():
    assert list(repeat(2, 3).tasks(0)) == list(itertools.product(range(2), range(3)))
    assert [list(spatial(2, 3).tasks(worker)) for worker in range(6)] == [
        [task] for task in itertools.product(range(2), range(3))
    ]


def test_composition_does_not_commute():
    assert list((repeat(2) * repeat(1)).tasks(0)) == list((repeat(1) * repeat(2)).tasks(0))
    assert list((spatial(2) * repeat(3)).tasks(0)) == [(0,), (1,), (2,)]
    assert list((repeat(3) * spatial(2)).tasks(0)) == [(0,), (2,), (4,)]


def test_column_major_order_is_a_composition():
    assert list((repeat(1, 3) * repeat(2, 1)).tasks(0)) == [(r, c) for c in range(3) for r in range(2)]


@given(mappings)
def test_every_task_exactly_once(mapping: TaskMapping):
    tasks = [task for worker in range(mapping.workers) for task in mapping.tasks(worker)]
    assert sorted(tasks) == list(itertools.product(*(range(extent) for extent in mapping.shape)))


@given(small, mappings)
def test_composition_is_as_defined(f: TaskMapping, g: TaskMapping):
    expected = by_definition(f.tasks, g.tasks, g.workers, g.shape)
    composed = f * g
    assert composed.workers == f.workers * g.workers
    for worker in range(composed.workers):
        assert list(composed.tasks(worker)) == expected(worker)


@given(small, small, small)
def test_composition_is_associative(f: TaskMapping, g: TaskMapping, h: TaskMapping):
    fg, gh = by_definition(f.tasks, g.tasks, g.workers, g.shape), by_definition(g.tasks, h.tasks, h.workers, h.shape)
    gh_shape = tuple(a * b for a, b in zip(g.shape, h.shape, strict=True))
    left = by_definition(fg, h.tasks, h.workers, h.shape)
    right = by_definition(f.tasks, gh, g.workers * h.workers, gh_shape)
    for worker in range(((f * g) * h).workers):
        assert left(worker) == right(worker) == list(((f * g) * h).tasks(worker)) == list((f * (g * h)).tasks(worker))


@given(mappings, strides, st.integers(0, 1000))
def test_lowered_addresses_equal_enumeration(mapping: TaskMapping, operands, start: int):
    bases = [start + i for i in range(len(operands))]
    for worker in range(mapping.workers):
        expected = [
            tuple(
                base + sum(s * t for s, t in zip(each, task, strict=True))
                for base, each in zip(bases, operands, strict=True)
            )
            for task in mapping.tasks(worker)
        ]
        assert list(lower(mapping, operands, bases, worker).trace()) == expected


@given(nests, st.integers(1, 60))
def test_merging_keeps_the_walk(nest: Nest, most: int):
    merged = nest.merged(most)
    assert list(merged.trace()) == list(nest.trace())
    assert len(merged.loops) <= len(nest.loops)


@given(nests, st.integers(0, 4), st.integers(1, 6), st.integers(1, 60))
def test_spilling_equals_enumeration(nest: Nest, loops: int, most: int, steps: int):
    pieces = list(nest.spilled(loops, most, steps))
    assert [step for piece in pieces for step in piece.trace()] == list(nest.trace())
    for piece in pieces:
        assert len(piece.loops) <= loops and piece.steps <= steps
        assert all(loop.count <= most for loop in piece.loops)


def test_spilling_takes_as_few_nests_as_the_counter_allows():
    nest = Nest((0,), (NestLoop(10, (5,)), NestLoop(5, (1,))))
    assert len(list(nest.spilled(2, 4, 1000))) == 20
    assert len(list(nest.spilled(2, 5, 1000))) == 2
    assert len(list(nest.spilled(1, 16, 1000))) == 10
    assert len(list(nest.merged(50).spilled(1, 50, 1000))) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: repeat(0),
        lambda: repeat(),
        lambda: repeat(2) * repeat(2, 1),
        lambda: list(spatial(2).tasks(2)),
        lambda: lower(repeat(2), [(1, 2)]),
        lambda: lower(repeat(2), [(1,)], [0, 0]),
    ],
)
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError):
        wrong()
