"""Input windows of a tile: clipped to the tensor, borders filled, interior loaded."""

from __future__ import annotations

from dataclasses import dataclass

from weft.codegen.storage import Geometry, Storage
from weft.codegen.transfer import Loop, fill, load
from weft.schedule.convolution import input_extent
from weft_sim.isa import Instruction

__all__ = ["InputStrides", "Window", "clip_window", "load_window"]


@dataclass(frozen=True)
class InputStrides:
    """Vectors between neighbouring channel blocks, rows and columns of an input tile in the scratchpad."""

    block: int
    row: int
    column: int


@dataclass(frozen=True)
class Window:
    """Input extent of a tile along one axis: padding before, valid part from `start`, padding after."""

    before: int
    start: int
    valid: int
    after: int

    @property
    def total(self) -> int:
        """Rows or columns of the tile in the scratchpad."""
        return self.before + self.valid + self.after


def clip_window(first: int, outputs: int, kernel: int, stride: int, dilation: int, pad: int, size: int) -> Window:
    """The input extent that outputs `first` … `first + outputs − 1` read, clipped to 0 … size − 1."""
    begin = first * stride - pad
    end = begin + input_extent(outputs, kernel, stride, dilation)
    start, stop = min(max(begin, 0), size), max(min(end, size), 0)
    valid = max(0, stop - start)
    before = min(max(0, -begin), end - begin)
    return Window(before, start, valid, end - begin - before - valid)


def load_window(
    storage: Storage, x: Geometry, image: int, blocks: range, rows: Window, columns: Window, strides: InputStrides,
    slot: int, border: int, lanes: int, skips: tuple[int, int] = (1, 1),
) -> list[Instruction]:  # fmt: skip
    """FILLs of the borders with the byte `border`, then LOADs of the interior, into the slot (a byte address).

    Of the interior only every skips-th row and column is loaded; `valid` counts these."""
    block, row, column = (stride * lanes for stride in (strides.block, strides.row, strides.column))
    across = (len(blocks), block)
    inside = slot + rows.before * row
    result: list[Instruction] = []
    for first, count in ((0, rows.before), (rows.before + rows.valid, rows.after)):
        result += fill(border, slot + first * row, lanes, [across, (count, row), (columns.total, column)])
    for first, count in ((0, columns.before), (columns.before + columns.valid, columns.after)):
        result += fill(border, inside + first * column, lanes, [across, (rows.valid, row), (count, column)])
    offset = storage.offset + image * x.image_stride + blocks.start * x.block_stride
    offset += rows.start * x.row_stride + columns.start * x.column_stride
    loops = [
        Loop(len(blocks), x.block_stride, block),
        Loop(rows.valid, x.row_stride * skips[0], row),
        Loop(columns.valid, x.column_stride * skips[1], column),
    ]
    if x.blocks_innermost:
        loops = [*loops[1:], loops[0]]
    return result + load(storage.register, offset, inside + columns.before * column, lanes, loops)
