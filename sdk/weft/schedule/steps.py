"""The steps of a tiled convolution, in order: what each computes, and of which resident pieces."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from weft.schedule.convolution import ConvolutionMode, ConvolutionShape, ConvolutionTile

__all__ = ["LEAD", "Span", "Step", "steps"]

LEAD = 4
"""Reduction pieces of the very first box: the MXU starts when the first of them has been loaded."""


@dataclass(frozen=True)
class Span:
    """`count` neighbouring blocks from `first` on."""

    first: int
    count: int

    @property
    def stop(self) -> int:
        """The block behind the last."""
        return self.first + self.count


@dataclass(frozen=True)
class Step:
    """Products of a box of outputs (rows × columns × channel blocks of an image) with a part of the reduction.

    `x_group` are the input blocks, `weight_group` and `reduce_group` the output and input blocks, whose data lie
    together in the scratchpad. `first` and `last`: whether the box's accumulators start and end with this step.
    """

    image: int
    row: int
    rows: int
    column: int
    columns: int
    block: int
    blocks: int
    reduce: int
    reduces: int
    reduce_group: Span
    weight_group: Span
    first: bool
    last: bool

    @property
    def place(self) -> tuple[int, int, int]:
        """What identifies the position part of the box."""
        return (self.image, self.row, self.column)


def steps(shape: ConvolutionShape, tile: ConvolutionTile) -> Iterator[Step]:
    """All steps. The first box is one block, its reduction in pieces, so that computing starts after few bytes; boxes
    grow from there and shrink towards the end, so that little is left to store behind the last product."""
    places = list(
        itertools.product(range(shape.images), range(0, shape.rows, tile.rows), range(0, shape.columns, tile.columns))
    )
    groups = [
        Span(first, min(tile.weight_blocks, shape.out_blocks - first))
        for first in range(0, shape.out_blocks, tile.weight_blocks)
    ]
    pairs = [(place, group) for group in groups for place in places]
    if not tile.weights_outer:
        pairs = [(place, group) for place in places for group in groups]
    for number, (place, group) in enumerate(pairs):
        spans = boxes(group, tile.out_blocks, rising=number == 0, falling=number == len(pairs) - 1)
        for index, span in enumerate(spans):
            yield from _box_steps(shape, tile, place, group, span, leading=number == index == 0)


def boxes(group: Span, most: int, *, rising: bool, falling: bool) -> list[Span]:
    """The group's blocks in boxes of at most `most`: equal ones, or growing from one at the start or at the end."""
    head = _ramp(group.count, most) if rising and group.count > 1 else []
    tail = _ramp(group.count, most) if falling and group.count > 1 else []
    left = group.count - sum(head) - sum(tail)
    count = -(-left // most)
    middle = [left // count + (index < left % count) for index in range(count)]
    sizes = [*head, *middle, *reversed(tail)]
    return [Span(start, size) for start, size in zip(itertools.accumulate(sizes, initial=group.first), sizes)]


def _ramp(count: int, most: int) -> list[int]:
    """Doubling sizes, at most a quarter of all blocks together."""
    sizes = [1]
    while sizes[-1] * 2 < most and sum(sizes) + sizes[-1] * 2 <= count // 4:
        sizes.append(sizes[-1] * 2)
    return sizes


def _box_steps(
    shape: ConvolutionShape, tile: ConvolutionTile, place: tuple[int, int, int], group: Span, span: Span, *,
    leading: bool,
) -> Iterator[Step]:  # fmt: skip
    image, row, column = place
    for first in range(0, shape.reduce_blocks, tile.reduce_blocks):
        whole = Span(first, min(tile.reduce_blocks, shape.reduce_blocks - first))
        size = whole.count
        if leading and first == 0 and shape.mode == ConvolutionMode.DENSE:
            size = -(-size // LEAD)
        for start in range(whole.first, whole.stop, size):
            count = min(size, whole.stop - start)
            yield Step(
                image, row, min(tile.rows, shape.rows - row), column, min(tile.columns, shape.columns - column),
                span.first, span.count, start, count, whole, group,
                start == 0, start + count == shape.reduce_blocks,
            )  # fmt: skip
