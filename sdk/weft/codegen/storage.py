"""Where a region's tensors lie in device memory, and the strides that this gives."""

from __future__ import annotations

from dataclasses import dataclass

from weft_runtime.executable import Layout

__all__ = ["Geometry", "Storage", "blocked_layout", "geometry"]


@dataclass(frozen=True)
class Storage:
    """A tensor in DRAM: registers[register] + offset, in `layout`."""

    register: int
    offset: int
    layout: Layout


@dataclass(frozen=True)
class Geometry:
    """A blocked tensor as the tile loops see it: counts, and byte strides between neighbours.

    A folded matrix (height and width 1) has its n rows in `rows`, so that the whole matrix is one image.
    """

    images: int
    blocks: int
    rows: int
    columns: int
    image_stride: int
    block_stride: int
    row_stride: int
    column_stride: int

    @property
    def blocks_innermost(self) -> bool:
        """Whether channel blocks of one position are neighbours in memory."""
        return self.blocks > 1 and self.block_stride < self.column_stride


def blocked_layout(view: tuple[int, int, int, int], lanes: int) -> Layout:
    """Channels in blocks of `lanes`, no borders: [n][⌈c/lanes⌉][h][w][lanes]."""
    return Layout(view, lanes)


def geometry(layout: Layout, *, fold: bool) -> Geometry:
    """Strides of a borderless layout; `fold`: n matrix rows (height and width 1) as the rows of one image."""
    n, c, h, w = layout.view
    block = layout.block
    blocks = -(-c // block)
    if fold:
        row = blocks * block
        return Geometry(1, blocks, n, 1, n * row, block, row, row)
    return Geometry(n, blocks, h, w, blocks * h * w * block, h * w * block, w * block, block)
