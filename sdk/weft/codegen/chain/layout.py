"""Where the tensors of a chain lie in the scratchpad: whole, or the rows that a tile needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from weft.codegen.chain.members import Member
from weft.codegen.chain.pieces import Cut
from weft.codegen.joins import Place
from weft.codegen.window import InputStrides
from weft.ir.operators import Tensor

__all__ = ["Buffer", "ChainPlan", "Resident", "Span"]

Span = tuple[int, int]
"""From the first to behind the last: rows or bytes."""


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

    def span(self, lanes: int, block: int, blocks: int) -> Span:
        """The bytes of some channel blocks, borders included."""
        stride = self.strides.block * lanes
        return self.address + block * stride, self.address + (block + blocks) * stride


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
        """Bytes of the buffer."""
        return self.blocks * self.rows * self.columns * lanes


@dataclass(frozen=True)
class ChainPlan:
    """A chain, decided. `spans`: for each tile the rows of each buffer, borders included. `addresses`: two of each
    buffer, for even and odd tiles. `weights`: the address of weights that stay for all tiles. `ring`: bytes for what
    is streamed. `places`: tensors that lie in the buffer of another one."""

    members: tuple[Member, ...]
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
