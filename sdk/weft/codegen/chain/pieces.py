"""How a member's rows are cut into pieces: what one step of the MXU and one pass of the VPU work on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from weft.codegen.chain.members import Member
from weft.codegen.context import Context
from weft.ir.operators import Convolution
from weft.schedule.convolution import ConvolutionMode
from weft_sim.isa import PARAMETER_VECTORS

__all__ = ["Cut", "Piece", "cut_convolution", "pieces", "weight_bytes"]

FEW_POSITIONS = 256
"""Positions (over all channel blocks) of a piece where several blocks are joined: short enough that the next member
does not wait long for the last piece."""
DENSE_SHARE, DEPTHWISE_SHARE = 4, 2
"""Pieces that share the accumulators. Depthwise pieces are larger: every one reads its halo again."""


@dataclass(frozen=True)
class Cut:
    """Most output blocks, rows and columns of a piece."""

    blocks: int
    rows: int
    columns: int


@dataclass(frozen=True)
class Piece:
    """Output blocks, rows and columns of a member's tensor."""

    block: int
    blocks: int
    row: int
    rows: int
    column: int
    columns: int


def weight_bytes(member: Member, lanes: int) -> int:
    """Weights and parameter records of all output blocks."""
    return member.blocks * (member.weight_bytes + PARAMETER_VECTORS * lanes)


def cut_convolution(member: Member, rows: int, room: int, kept: bool, context: Context) -> Cut | None:
    """The pieces of `rows` output rows of a convolution, if what a piece streams (its weights where they are not
    `kept`, its gathered windows) fits `room` bytes."""
    operator, lanes = member.operator, context.lanes
    assert isinstance(operator, Convolution)
    depthwise = member.mode == ConvolutionMode.DEPTHWISE
    limit = context.config.accumulator_rows // (DEPTHWISE_SHARE if depthwise else DENSE_SHARE)
    width = operator.output.view[3]
    widest = limit
    if depthwise:
        kernel, stride = int(operator.weights.shape[3]), operator.strides[1]
        widest = min(limit, (context.config.line_depth - kernel) // stride + 1)
    columns = _even(width, widest)
    most = limit // columns
    if member.gathers:
        most = min(most, room // (columns * member.reduces * lanes))
    if most < 1:
        return None
    tall = _even(rows, most)
    joined = max(1, FEW_POSITIONS // (tall * columns)) if tall >= rows and columns >= width else 1
    if not kept:
        joined = min(joined, room // (member.weight_bytes + PARAMETER_VECTORS * lanes))
    return Cut(_even(member.blocks, joined), tall, columns) if joined else None


def _even(extent: int, most: int) -> int:
    """The size of equal parts of at most that size."""
    count = -(-extent // min(extent, most))
    return -(-extent // count)


def pieces(blocks: int, rows: range, columns: int, cut: Cut, *, by_position: bool) -> Iterator[Piece]:
    """All pieces of these output rows: blocks outside, or positions outside where every piece of input is used once."""
    places = itertools.product(rows[:: cut.rows], range(0, columns, cut.columns))
    channels = range(0, blocks, cut.blocks)
    order = (
        ((block, place) for place in places for block in channels)
        if by_position
        else itertools.product(channels, places)
    )
    for block, (row, column) in order:
        yield Piece(
            block, min(cut.blocks, blocks - block), row, min(cut.rows, rows.stop - row), column,
            min(cut.columns, columns - column),
        )  # fmt: skip
