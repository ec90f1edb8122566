"""Shapes and tiles of convolutions, and what a tile's pieces hold."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = [
    "ConvolutionMode",
    "ConvolutionShape",
    "ConvolutionTile",
    "all_input_pieces",
    "all_weight_pieces",
    "box_counts",
    "cuts",
    "follows_output",
    "input_blocks",
    "input_bytes",
    "input_extent",
    "weight_bytes",
]


class ConvolutionMode(Enum):
    """DENSE: weight tiles over channel blocks. IM2COL: kernel windows gathered by LOAD, for shallow inputs.
    GROUPED: each output block reads only its groups' blocks. DEPTHWISE: the MXU's window mode."""

    DENSE = "dense"
    IM2COL = "im2col"
    GROUPED = "grouped"
    DEPTHWISE = "depthwise"


@dataclass(frozen=True)
class ConvolutionShape:
    """What the tile search needs to know. Blocks are of `lanes` channels; `reduce_blocks` is the most input blocks
    (IM2COL: vectors of one gathered window) that one output block reads; `kernel` is (1, 1) for IM2COL. `skips`: of an
    axis along which the kernel is 1, only every skips-th row or column is loaded, and its stride is 1. `joins`: tensors
    like the output that the epilogue reads. `by_rows`: positions are the outermost loop, in several tiles."""

    mode: ConvolutionMode
    images: int
    rows: int
    columns: int
    out_blocks: int
    reduce_blocks: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    skips: tuple[int, int] = (1, 1)
    joins: int = 0
    by_rows: bool = False
    run_bytes: int = 0
    runs_per_position: int = 0


@dataclass(frozen=True)
class ConvolutionTile:
    """Output rows, columns and channel blocks of a box (what one accumulator piece holds), output blocks of a weight
    piece, input blocks of an input or weight piece, and the loop order: weights_outer keeps a weight piece while walking
    over positions, else an input piece while walking over channels. Inputs lie in front of the scratchpad address
    `boundary`, weights behind it, both as rings: what fits is loaded once."""

    rows: int
    columns: int
    out_blocks: int
    weight_blocks: int
    reduce_blocks: int
    weights_outer: bool
    boundary: int


def input_extent(outputs: int, kernel: int, stride: int, dilation: int) -> int:
    """Input rows (or columns) that `outputs` neighbouring outputs read."""
    return (outputs - 1) * stride + (kernel - 1) * dilation + 1


def cuts(extent: int) -> list[int]:
    """All distinct tile sizes ⌈extent / n⌉, largest first: no size in between would need fewer tiles."""
    return sorted({-(-extent // n) for n in range(1, extent + 1)}, reverse=True)


def follows_output(shape: ConvolutionShape) -> bool:
    """Whether different output blocks read different input blocks."""
    return shape.mode in (ConvolutionMode.GROUPED, ConvolutionMode.DEPTHWISE)


def input_blocks(shape: ConvolutionShape, tile: ConvolutionTile) -> int:
    """Input blocks of one input piece (an upper bound for GROUPED)."""
    match shape.mode:
        case ConvolutionMode.DEPTHWISE:
            return tile.out_blocks
        case ConvolutionMode.GROUPED:
            return tile.reduce_blocks * tile.out_blocks
        case _:
            return tile.reduce_blocks


def input_bytes(shape: ConvolutionShape, tile: ConvolutionTile, lanes: int) -> int:
    """Bytes of one input piece, borders included."""
    rows = input_extent(tile.rows, shape.kernel[0], shape.strides[0], shape.dilations[0])
    columns = input_extent(tile.columns, shape.kernel[1], shape.strides[1], shape.dilations[1])
    return rows * columns * input_blocks(shape, tile) * lanes


def weight_bytes(shape: ConvolutionShape, tile: ConvolutionTile, lanes: int) -> int:
    """Bytes of the weights of one box and one piece of the reduction."""
    taps = shape.kernel[0] * shape.kernel[1]
    if shape.mode == ConvolutionMode.DEPTHWISE:
        return tile.out_blocks * taps * lanes
    return tile.out_blocks * tile.reduce_blocks * taps * lanes * lanes


def box_counts(shape: ConvolutionShape, tile: ConvolutionTile) -> tuple[int, int, int]:
    """Positions, channels and parts of the reduction: how many pieces of each."""
    places = shape.images * -(-shape.rows // tile.rows) * -(-shape.columns // tile.columns)
    return places, -(-shape.out_blocks // tile.out_blocks), -(-shape.reduce_blocks // tile.reduce_blocks)


def all_input_pieces(shape: ConvolutionShape, tile: ConvolutionTile) -> int:
    """How many different input pieces there are."""
    places, channels, parts = box_counts(shape, tile)
    return places * parts * (channels if follows_output(shape) else 1)


def all_weight_pieces(shape: ConvolutionShape, tile: ConvolutionTile) -> int:
    """How many different weight pieces there are."""
    return -(-shape.out_blocks // tile.weight_blocks) * box_counts(shape, tile)[2]
