"""Plans a chain: which rows of its tensors each tile makes, where they lie, and whether all that fits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from weft.codegen.chain.layout import Buffer, ChainPlan, Span
from weft.codegen.chain.members import Member, Read, blocks_of
from weft.codegen.chain.pieces import Cut, cut_convolution, weight_bytes
from weft.codegen.context import Context
from weft.codegen.joins import Place, place_parts
from weft.codegen.workspace import Lifetime, plan_workspace
from weft.ir.operators import AveragePool, Tensor

__all__ = ["plan_chain"]

RING_PIECES = 3
"""Pieces of weights or gathered windows that the ring holds: one in use, one ready, one on its way."""


def plan_chain(members: Sequence[Member], stored: Collection[str], tiles: int, context: Context) -> ChainPlan | None:
    """The plan with so many tiles of rows of the last member's output, or None if it does not fit. `stored` names the
    tensors that are read outside."""
    joins = [each for each in members if each.parts]
    places = place_parts([each.operator for each in members], {each.output.name: each.parts for each in joins}, ())
    if any(part not in places for each in joins for part, _ in each.parts):
        return None
    if any(each.output.name in places and each.output.name in stored for each in joins):
        return None
    if tiles > 1 and set(stored) != {members[-1].output.name}:
        return None
    computing = tuple(each for each in members if not each.parts)
    planner = _Planner(tuple(members), computing, frozenset(stored), places, context)
    height = members[-1].output.view[2]
    rows = -(-height // tiles)
    spans: list[Mapping[str, Span]] = []
    for start in range(0, height, rows):
        found = planner.spans((start, min(start + rows, height)), tiled=rows < height)
        if found is None:
            return None
        spans.append(found)
    return planner.plan(spans)


@dataclass(frozen=True)
class _Planner:
    """`computing`: the members that have instructions."""

    members: tuple[Member, ...]
    computing: tuple[Member, ...]
    stored: frozenset[str]
    places: Mapping[str, Place]
    context: Context

    def home(self, name: str) -> str:
        return self.places[name].whole if name in self.places else name

    def spans(self, last: Span, *, tiled: bool) -> dict[str, Span] | None:
        """The rows of every buffer that the rows `last` of the last member's output need; all rows of all tensors where
        the chain has one tile. None if a member's output is not needed."""
        needed: dict[str, Span] = {self.home(self.members[-1].output.name): last}
        for member in reversed(self.computing):
            name, height = self.home(member.output.name), member.output.view[2]
            if not tiled:
                needed[name] = _union(needed.get(name), (0, height))
            if name not in needed:
                return None
            start, stop = needed[name]
            for read in member.reads:
                source = self.home(read.tensor.name)
                needed[source] = _union(needed.get(source), read.rows.span(max(0, start), min(height, stop)))
        return needed

    def plan(self, spans: Sequence[Mapping[str, Span]]) -> ChainPlan | None:
        """Buffers from the bottom, weights that stay at the top, the ring between, each in banks of its own: inputs and
        weights are read in the same cycles."""
        lanes, config = self.context.lanes, self.context.config
        buffers = self._buffers(spans)
        if buffers is None:
            return None
        inputs = self._inputs(buffers)
        addresses, total = self._addresses(buffers, inputs if len(spans) > 1 else ())
        kept: dict[str, int] = {}
        size = 0
        for member in self.computing:
            if member.mode is not None and (len(spans) > 1 or member.gathers):
                kept[member.name] = size
                size += -(-weight_bytes(member, lanes) // lanes) * lanes
        bank = config.bank_bytes
        top = (config.scratchpad_bytes - size) // bank * bank if size else config.scratchpad_bytes
        ring = (-(-total // bank) * bank, top)
        cuts = self._cuts(spans, (ring[1] - ring[0]) // RING_PIECES, kept) if ring[0] <= ring[1] else None
        if cuts is None:
            return None
        weights = {name: top + offset for name, offset in kept.items()}
        return ChainPlan(
            self.members, tuple(spans), buffers, addresses, inputs, self.stored, cuts, weights, ring, self.places
        )

    def _inputs(self, buffers: Mapping[str, Buffer]) -> tuple[str, ...]:
        made = {self.home(each.output.name) for each in self.computing}
        return tuple(name for name in buffers if name not in made)

    def _buffers(self, spans: Sequence[Mapping[str, Span]]) -> dict[str, Buffer] | None:
        """None if two readers of a tensor want different bytes in its border, or an average finds borders."""
        tensors: dict[str, Tensor] = {}
        blocks: dict[str, int] = {}
        readers: dict[str, list[tuple[Read, Tensor]]] = {}
        for member in self.computing:
            for read in member.reads:
                readers.setdefault(self.home(read.tensor.name), []).append((read, member.output))
            for tensor in (*(read.tensor for read in member.reads), member.output):
                name = self.home(tensor.name)
                tensors.setdefault(name, tensor)
                blocks[name] = max(blocks.get(name, 0), self._last_block(tensor))
        averages = [each.operator for each in self.computing if isinstance(each.operator, AveragePool)]
        planes = {self.home(tensor.name) for each in averages for tensor in (*each.inputs, each.output)}
        buffers: dict[str, Buffer] = {}
        for name, tensor in tensors.items():
            rows = max(each[name][1] - each[name][0] for each in spans)
            buffer = _with_borders(tensor, blocks[name], rows, readers.get(name, []))
            if buffer is None or (name in planes and (buffer.rows, buffer.columns) != tensor.view[2:]):
                return None
            buffers[name] = buffer
        return buffers

    def _last_block(self, tensor: Tensor) -> int:
        """Behind the last channel block that a tensor takes in its buffer."""
        _, _, height, width = tensor.view
        first = self.places[tensor.name].offset if tensor.name in self.places else 0
        return first // (height * width * self.context.lanes) + blocks_of(tensor, self.context.lanes)

    def _addresses(
        self, buffers: Mapping[str, Buffer], doubled: Collection[str]
    ) -> tuple[dict[str, tuple[int, int]], int]:
        """Two addresses of every buffer, for even and odd tiles, and bytes in all. `doubled` are the inputs of a chain
        of several tiles: the next tile's arrive while this one is computed."""
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for index, member in enumerate(self.computing):
            for tensor in (*(read.tensor for read in member.reads), member.output):
                first.setdefault(self.home(tensor.name), index)
                last[self.home(tensor.name)] = index
        lifetimes: list[Lifetime] = []
        for name, buffer in buffers.items():
            size = buffer.nbytes(self.context.lanes)
            if name in doubled:
                lifetimes += [Lifetime(f"{name}/{parity}", size, 0, len(self.computing)) for parity in (0, 1)]
            else:
                lifetimes.append(Lifetime(name, size, first[name], last[name]))
        offsets, total = plan_workspace(lifetimes)
        addresses = {
            name: (offsets[f"{name}/0"], offsets[f"{name}/1"]) if name in doubled else (offsets[name], offsets[name])
            for name in buffers
        }
        return addresses, total

    def _cuts(self, spans: Sequence[Mapping[str, Span]], room: int, kept: Collection[str]) -> dict[str, Cut] | None:
        """The pieces of every convolution; None where one does not fit."""
        cuts: dict[str, Cut] = {}
        for member in self.computing:
            if member.mode is None:
                continue
            name, height = self.home(member.output.name), member.output.view[2]
            rows = max(min(height, each[name][1]) - max(0, each[name][0]) for each in spans)
            cut = cut_convolution(member, rows, room, member.name in kept, self.context)
            if cut is None:
                return None
            cuts[member.name] = cut
        return cuts


def _union(known: Span | None, more: Span) -> Span:
    return more if known is None else (min(known[0], more[0]), max(known[1], more[1]))


def _with_borders(tensor: Tensor, blocks: int, rows: int, readers: Sequence[tuple[Read, Tensor]]) -> Buffer | None:
    """Room for a tensor and for the padding of all its readers; None where they want it to hold different bytes."""
    _, _, height, width = tensor.view
    left = right = 0
    border: set[int] = set()
    for read, output in readers:
        start, stop = read.columns.span(0, output.view[3])
        left, right = max(left, -start), max(right, stop - width)
        first, last = read.rows.span(0, output.view[2])
        if start < 0 or first < 0 or stop > width or last > height:
            border.add(read.border)
    if len(border) > 1:
        return None
    return Buffer(tensor, blocks, rows, left + width + right, left, next(iter(border), None))
