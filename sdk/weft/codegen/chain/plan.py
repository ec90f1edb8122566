"""Where the tensors of a chain lie in the scratchpad, which rows of them each tile makes, and whether that fits."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from weft.codegen.chain.members import Read, blocks_of, convolution_mode, reads
from weft.codegen.chain.pieces import Cut, cut_convolution, weight_bytes
from weft.codegen.context import Context
from weft.codegen.joins import Place, joined_parts, place_parts
from weft.codegen.window import InputStrides
from weft.codegen.workspace import Lifetime, plan_workspace
from weft.ir.operators import AveragePool, Convolution, Operator, Tensor
from weft.schedule.convolution import ConvolutionMode

__all__ = ["Buffer", "ChainPlan", "Resident", "plan_chain"]

RING_PIECES = 3
"""Pieces of weights or gathered windows that the ring holds: one in use, one ready, one on its way."""
Span = tuple[int, int]


@dataclass(frozen=True)
class Resident:
    """Rows of a tensor in the scratchpad. `address`: the byte of channel block 0, image row `first_row`, and the column
    `left` places before the first one."""

    address: int
    first_row: int
    left: int
    strides: InputStrides
    end: int

    def vector(self, lanes: int, block: int, row: int, column: int) -> int:
        """The vector of these coordinates of the tensor (below 0 lies the border)."""
        offset = block * self.strides.block + (row - self.first_row) * self.strides.row + column + self.left
        return self.address // lanes + offset


@dataclass(frozen=True)
class Buffer:
    """Room for a tensor's tile: channel blocks, most rows, columns with `left` ones of border; `border` is their byte,
    None where there is no border in any tile."""

    tensor: Tensor
    blocks: int
    rows: int
    columns: int
    left: int
    border: int | None

    def nbytes(self, lanes: int) -> int:
        return self.blocks * self.rows * self.columns * lanes


@dataclass(frozen=True)
class ChainPlan:
    """A chain, decided. `spans`: for each tile the rows of each buffer, borders included. `addresses`: two of each
    buffer, for even and odd tiles. `weights`: the address of weights that stay for all tiles. `ring`: bytes for what
    is streamed. `places`: tensors that lie in the buffer of another one."""

    members: tuple[Operator, ...]
    spans: tuple[Mapping[str, Span], ...]
    buffers: Mapping[str, Buffer]
    addresses: Mapping[str, tuple[int, int]]
    inputs: tuple[str, ...]
    stored: frozenset[str]
    cuts: Mapping[str, Cut]
    weights: Mapping[str, int]
    ring: Span
    places: Mapping[str, Place]

    def home(self, name: str) -> str:
        """The tensor in whose buffer this one lies."""
        return self.places[name].whole if name in self.places else name

    def held(self, name: str, tile: int, lanes: int) -> Resident:
        """Where a buffer lies in that tile."""
        buffer = self.buffers[name]
        strides = InputStrides(buffer.rows * buffer.columns, buffer.columns, 1)
        address = self.addresses[name][tile % 2]
        return Resident(address, self.spans[tile][name][0], buffer.left, strides, address + buffer.nbytes(lanes))

    def resident(self, tensor: Tensor, tile: int, lanes: int) -> Resident:
        """Where a tensor lies in that tile: in its own buffer, or behind other parts in that of a concatenation."""
        held = self.held(self.home(tensor.name), tile, lanes)
        if tensor.name not in self.places:
            return held
        plane = tensor.view[2] * tensor.view[3] * lanes
        blocks = self.places[tensor.name].offset // plane
        return dataclasses.replace(held, address=held.address + blocks * held.strides.block * lanes)

    def rows(self, tensor: Tensor, tile: int) -> range:
        """The rows of a tensor that exist and belong to the tile."""
        start, stop = self.spans[tile][self.home(tensor.name)]
        return range(max(0, start), min(tensor.view[2], stop))


def plan_chain(members: Sequence[Operator], stored: Collection[str], tiles: int, context: Context) -> ChainPlan | None:
    """The plan with so many tiles of rows of the last member's output, or None if it does not fit. `stored` names the
    tensors that are read outside."""
    lanes = context.lanes
    places = place_parts(members, (), lanes)
    joins = [each for each in members if joined_parts(each, lanes)]
    if any(part not in places for each in joins for part, _ in joined_parts(each, lanes)):
        return None
    if any(each.output.name in places and each.output.name in stored for each in joins):
        return None
    makers = {each.output.name for each in members}
    if tiles > 1 and (set(stored) & makers) != {members[-1].output.name}:
        return None
    computing = [each for each in members if not joined_parts(each, lanes)]
    height = members[-1].output.view[2]
    rows = -(-height // tiles)
    found = [
        _spans(computing, members, (start, min(start + rows, height)), tiles > 1, places, context)
        for start in range(0, height, rows)
    ]
    if any(spans is None for spans in found):
        return None
    spans = [each for each in found if each is not None]
    buffers = _buffers(computing, spans, places, context)
    if buffers is None:
        return None
    return _place(members, computing, spans, buffers, stored, places, context)


def _spans(
    computing: Sequence[Operator], members: Sequence[Operator], last: Span, tiled: bool, places: Mapping[str, Place],
    context: Context,
) -> dict[str, Span] | None:  # fmt: skip
    """The rows of every tensor that the rows `last` of the last member's output need, by its home; all rows of all
    tensors where the chain has one tile. None if a member's output is not needed."""

    def home(name: str) -> str:
        return places[name].whole if name in places else name

    needed: dict[str, Span] = {home(members[-1].output.name): last}
    for operator in reversed(computing):
        name = home(operator.output.name)
        if not tiled:
            needed[name] = _union(needed.get(name), (0, operator.output.view[2]))
        if name not in needed:
            return None
        start, stop = needed[name]
        inside = (max(0, start), min(operator.output.view[2], stop))
        for read in reads(operator, context):
            source = home(read.tensor.name)
            needed[source] = _union(needed.get(source), read.rows.span(*inside))
    return needed


def _union(known: Span | None, more: Span) -> Span:
    return more if known is None else (min(known[0], more[0]), max(known[1], more[1]))


def _buffers(
    computing: Sequence[Operator], spans: Sequence[Mapping[str, Span]], places: Mapping[str, Place], context: Context
) -> dict[str, Buffer] | None:
    """None if two readers of a tensor want different bytes in its border, or an average finds borders."""
    tensors: dict[str, Tensor] = {}
    readers: dict[str, list[tuple[Read, Operator]]] = {}
    for operator in computing:
        for read in reads(operator, context):
            name = places[read.tensor.name].whole if read.tensor.name in places else read.tensor.name
            readers.setdefault(name, []).append((read, operator))
            tensors.setdefault(name, read.tensor)
        tensors.setdefault(operator.output.name, operator.output)
    averages = [each for each in computing if isinstance(each, AveragePool)]
    planes = {tensor.name for each in averages for tensor in (*each.inputs, each.output)}
    buffers: dict[str, Buffer] = {}
    blocks = _blocks(tensors, places, context.lanes)
    for name, tensor in tensors.items():
        if name in places:
            continue
        _, _, height, width = tensor.view
        left = right = 0
        border: set[int] = set()
        for read, operator in readers.get(name, []):
            start, stop = read.columns.span(0, operator.output.view[3])
            left, right = max(left, -start), max(right, stop - width)
            first, last = read.rows.span(0, operator.output.view[2])
            if start < 0 or first < 0 or stop > width or last > height:
                border.add(read.border)
        rows = max(each[name][1] - each[name][0] for each in spans)
        buffer = Buffer(tensor, blocks[name], rows, left + width + right, left, next(iter(border), None))
        if len(border) > 1 or (name in planes and (buffer.columns, buffer.rows) != (width, height)):
            return None
        buffers[name] = buffer
    return buffers


def _blocks(tensors: Mapping[str, Tensor], places: Mapping[str, Place], lanes: int) -> dict[str, int]:
    """Channel blocks of every tensor; of one that is the home of others, up to the last of theirs."""
    blocks = {name: blocks_of(tensor, lanes) for name, tensor in tensors.items()}
    for name, place in places.items():
        if name in tensors:
            _, _, height, width = tensors[name].view
            end = place.offset // (height * width * lanes) + blocks[name]
            blocks[place.whole] = max(blocks.get(place.whole, 0), end)
    return blocks


def _place(
    members: Sequence[Operator], computing: Sequence[Operator], spans: Sequence[Mapping[str, Span]],
    buffers: dict[str, Buffer], stored: Collection[str], places: Mapping[str, Place], context: Context,
) -> ChainPlan | None:  # fmt: skip
    """Buffers from the bottom, weights that stay at the top, the ring between, each in banks of its own."""
    lanes, bank = context.lanes, context.config.bank_bytes
    tiled = len(spans) > 1
    made = {each.output.name for each in computing}
    inputs = tuple(name for name in buffers if name not in made and not any(p.whole == name for p in places.values()))
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for index, operator in enumerate(computing):
        for tensor in (*(read.tensor for read in reads(operator, context)), operator.output):
            name = places[tensor.name].whole if tensor.name in places else tensor.name
            first.setdefault(name, index)
            last[name] = index
    lifetimes = [Lifetime(name, buffer.nbytes(lanes), first[name], last[name]) for name, buffer in buffers.items()]
    if tiled:  # inputs of the next tile arrive while this one is computed
        lifetimes = [each for each in lifetimes if each.name not in inputs]
        for name in inputs:
            size = buffers[name].nbytes(lanes)
            lifetimes += [Lifetime(f"{name}/{parity}", size, 0, len(computing)) for parity in (0, 1)]
    offsets, total = plan_workspace(lifetimes)
    addresses = {
        name: (offsets[f"{name}/0"], offsets[f"{name}/1"]) if f"{name}/0" in offsets else (offsets[name],) * 2
        for name in buffers
    }
    convolutions = [each for each in computing if isinstance(each, Convolution)]
    gathering = {each.name for each in convolutions if convolution_mode(each, context) == ConvolutionMode.IM2COL}
    kept: dict[str, int] = {}
    size = 0
    for each in convolutions:
        if tiled or each.name in gathering:
            kept[each.name] = size
            size += -(-weight_bytes(each, context) // lanes) * lanes
    top = (context.config.scratchpad_bytes - size) // bank * bank if size else context.config.scratchpad_bytes
    ring = (-(-total // bank) * bank, top)
    room = (ring[1] - ring[0]) // RING_PIECES
    if room < 0:
        return None
    rows = {each.name: max(_made(each, tile, places) for tile in spans) for each in convolutions}
    cut = {each.name: cut_convolution(each, rows[each.name], room, each.name in kept, context) for each in convolutions}
    if any(each is None for each in cut.values()):
        return None
    return ChainPlan(
        tuple(members), tuple(spans), buffers, addresses, inputs, frozenset(stored),
        {name: each for name, each in cut.items() if each is not None},
        {name: top + offset for name, offset in kept.items()}, ring, places,
    )  # fmt: skip


def _made(operator: Operator, spans: Mapping[str, Span], places: Mapping[str, Place]) -> int:
    name = operator.output.name
    start, stop = spans[places[name].whole if name in places else name]
    return min(operator.output.view[2], stop) - max(0, start)
