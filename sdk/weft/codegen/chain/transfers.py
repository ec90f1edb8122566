"""What a chain exchanges with DRAM: its inputs' rows with their borders, gathered windows, weights, stored results."""

from __future__ import annotations

from collections.abc import Iterator

from weft.codegen.chain.layout import Buffer, Resident
from weft.codegen.chain.members import Member
from weft.codegen.chain.order import Step
from weft.codegen.chain.pieces import Piece
from weft.codegen.context import Context
from weft.codegen.storage import Storage
from weft.codegen.transfer import Loop, fill, load, store
from weft.ir.operators import Convolution
from weft_sim.isa import Instruction

__all__ = ["border", "gather", "input_steps", "store_piece"]

INPUT_PARTS = 4
"""Steps in which an input's rows are loaded, so that the first reader can begin before all are there."""


def border(buffer: Buffer, held: Resident, span: tuple[int, int], blocks: range, lanes: int) -> list[Instruction]:
    """FILLs of the rows above and below the tensor and of the columns beside it, in these channel blocks."""
    if buffer.border is None:
        return []
    _, _, height, width = buffer.tensor.view
    start, stop = max(0, span[0]), min(height, span[1])
    block, row = held.strides.block * lanes, held.strides.row * lanes
    result: list[Instruction] = []
    for first, count in ((span[0], start - span[0]), (stop, span[1] - stop)):
        place = held.vector(lanes, blocks.start, first, -held.left) * lanes
        result += fill(buffer.border, place, lanes, [(len(blocks), block), (count, row), (buffer.columns, lanes)])
    right = buffer.columns - held.left - width
    for column, count in ((-held.left, held.left), (width, right)):
        place = held.vector(lanes, blocks.start, start, column) * lanes
        result += fill(buffer.border, place, lanes, [(len(blocks), block), (stop - start, row), (count, lanes)])
    return result


def input_steps(
    source: str, buffer: Buffer, held: Resident, span: tuple[int, int], storage: Storage, lanes: int
) -> Iterator[Step]:
    """Steps that load the rows of a tensor from DRAM, the borders in the first one."""
    _, _, height, width = buffer.tensor.view
    start, stop = max(0, span[0]), min(height, span[1])
    rows = -(-(stop - start) // INPUT_PARTS)
    borders = border(buffer, held, span, range(buffer.blocks), lanes)
    for row in range(start, stop, rows):
        count = min(rows, stop - row)
        place = held.vector(lanes, 0, row, 0) * lanes
        loops = [
            Loop(buffer.blocks, height * width * lanes, held.strides.block * lanes),
            Loop(count, width * lanes, held.strides.row * lanes),
            Loop(width, lanes, lanes),
        ]
        step = Step(source, loads=load(storage.register, storage.offset + row * width * lanes, place, lanes, loops))
        if row == start:
            step.loads[:0] = borders
        step.written.append((held.address, held.end))
        yield step


def gather(member: Member, piece: Piece, storage: Storage, place: int, lanes: int) -> list[Instruction]:
    """One record of whole vectors per output position: the kernel's rows, each one run of the host-padded image."""
    operator, layout = member.operator, storage.layout
    assert isinstance(operator, Convolution)
    _, channels, _, width = layout.view
    row = (width + layout.pads[1] + layout.pads[3]) * channels
    record = member.reduces * lanes
    stride_y, stride_x = operator.strides
    kernel_rows, kernel_columns = operator.weights.shape[2:]
    run = int(kernel_columns) * channels
    offset = storage.offset + piece.row * stride_y * row + piece.column * stride_x * channels
    loops = [
        Loop(piece.rows, stride_y * row, piece.columns * record),
        Loop(piece.columns, stride_x * channels, record),
        Loop(int(kernel_rows), operator.dilations[0] * row, run),
    ]
    return load(storage.register, offset, place, run, loops)


def store_piece(piece: Piece, held: Resident, storage: Storage, block: int, context: Context) -> list[Instruction]:
    """The piece to DRAM; `block`: the channel block of `storage` at which the tensor begins."""
    lanes = context.lanes
    _, _, height, width = storage.layout.view
    offset = storage.offset + ((block + piece.block) * height + piece.row) * width * lanes + piece.column * lanes
    loops = [
        Loop(piece.blocks, height * width * lanes, held.strides.block * lanes),
        Loop(piece.rows, width * lanes, held.strides.row * lanes),
        Loop(piece.columns, lanes, lanes),
    ]
    return store(
        storage.register, offset, held.vector(lanes, piece.block, piece.row, piece.column) * lanes, lanes, loops
    )
