"""Operators along the lanes: tiles turned over by the MXU, computed with positions in the lanes, turned back.

The VPU works on each lane by itself, so an operator along the axis that lies in the lanes first transposes: the MXU
multiplies the identity with the data as weights loaded by column, one vector per cycle, exactly. Then accumulator row
c of a group holds channel c of `lanes` positions, and a loop over rows is a loop along the axis.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from weft.codegen.context import Context
from weft.codegen.epilogue import destination
from weft.codegen.iteration import Iteration
from weft.codegen.storage import Storage
from weft.codegen.transfer import Loop, load, store
from weft.ir.operators import Tensor
from weft.schedule.areas import Areas
from weft.schedule.convolution import cuts
from weft_runtime.executable import REGISTER_CONSTANTS
from weft_sim.isa import Instruction, Matmul, Source, Vector, WeightOrder
from weft_sim.machine import MachineConfig

__all__ = ["RowTile", "Rows", "emit_rows", "row_groups"]

TABLE_BYTES = 1024
TARGET_TILES = 4


@dataclass(frozen=True)
class Rows:
    """A tile as the VPU sees it: `groups` × `channels` accumulator rows from `first` on, positions in the lanes.

    `work`: first of `work_rows` free rows. `result`: vector address where `results` vectors per group go, as q.
    `constants`: vector address of what the operator had loaded, behind the identity.
    """

    groups: int
    channels: int
    first: int
    work: int
    result: int
    constants: int

    @property
    def over_axis(self) -> dict[str, int]:
        """Loops 3 and 4 of operand a: groups, then channels."""
        return {"count_3": self.groups, "a_stride_3": self.channels, "count_4": self.channels, "a_stride_4": 1}


@dataclass(frozen=True)
class RowTile:
    """Groups of `lanes` positions per tile, free rows per group, and bytes of the operator's own constants."""

    groups: int
    work_rows: int


@dataclass(frozen=True)
class _Place:
    """A tensor's positions in DRAM: images, positions in each, blocks, and the byte strides between them."""

    images: int
    positions: int
    blocks: int
    image_stride: int
    position_stride: int
    block_stride: int

    @classmethod
    def of(cls, tensor: Tensor, lanes: int) -> _Place:
        n, c, h, w = tensor.view
        blocks = -(-c // lanes)
        if h * w == 1:  # a matrix: its rows are the positions of one image
            return cls(1, n, blocks, 0, blocks * lanes, lanes)
        return cls(n, h * w, blocks, blocks * h * w * lanes, lanes, h * w * lanes)

    def loops(self, count: int, lanes: int) -> list[Loop]:
        """Positions and blocks, the one with neighbours in memory innermost; in the scratchpad without gaps."""
        if self.position_stride > self.block_stride:
            return [Loop(count, self.position_stride, self.blocks * lanes), Loop(self.blocks, self.block_stride, lanes)]
        return [Loop(self.blocks, self.block_stride, count * lanes), Loop(count, self.position_stride, lanes)]

    def vectors(self, count: int) -> tuple[int, int]:
        """Vectors between positions and between blocks of a tile of `count` positions in the scratchpad."""
        return (self.blocks, 1) if self.position_stride > self.block_stride else (1, count)


def row_groups(x: Tensor, y: Tensor, work_rows: int, constants: int, config: MachineConfig) -> RowTile | None:
    """The largest tile that fits, though several where there is enough to overlap; None if none fits."""
    lanes, areas = config.lanes, Areas.of(config)
    source, target = _Place.of(x, lanes), _Place.of(y, lanes)
    if lanes * lanes + constants > areas.parameter_bytes:
        return None
    total = -(-source.positions // lanes)
    blocks = max(source.blocks, target.blocks)
    wanted = -(-total * source.images // TARGET_TILES)
    for groups in cuts(total):
        vectors = groups * lanes * blocks
        fits = vectors * lanes <= min(areas.x_bytes, areas.weight_bytes, areas.output_bytes)
        if fits and vectors + groups * work_rows <= areas.accumulator_rows and (groups <= wanted or groups == 1):
            return RowTile(groups, work_rows)
    return None


def emit_rows(
    name: str,
    x: Tensor,
    y: Tensor,
    tile: RowTile,
    context: Context,
    constants: bytes,
    compute: Callable[[Rows], list[Instruction]],
    prepare: Callable[[int], list[Instruction]],
) -> list[Iteration]:
    """One iteration per tile. `compute` gives the passes that write the q of each of y's channels to `result`;
    `prepare` those that come first of all (loading a table), from the vector address of `constants`."""
    lanes = context.lanes
    x_storage, y_storage = context.storage[x.name], context.storage[y.name]
    source, target = _Place.of(x, lanes), _Place.of(y, lanes)
    parameters = context.next_slot("parameters")
    data = np.eye(lanes, dtype=np.int8).tobytes() + constants
    offset = context.constants.add(data)
    identity = parameters // lanes
    iterations: list[Iteration] = []
    for image, first, count in _tiles(source, tile, lanes):
        slots = [context.next_slot(kind) for kind in ("x", "weights", "output", "accumulators")]
        iteration = Iteration(name, (x.name,), (y.name,))
        if not iterations:
            iteration.constants += load(REGISTER_CONSTANTS, offset, parameters, len(data), [])
            iteration.vectors += prepare(identity + lanes)
        iteration.loads += _transfer(load, x_storage, source, image, first, count, slots[0], lanes)
        groups = -(-count // lanes)
        rows = Rows(
            groups, x.view[1], slots[3], slots[3] + groups * lanes * max(source.blocks, target.blocks),
            slots[1] // lanes, identity + lanes,
        )  # fmt: skip
        iteration.products += _turn(source, x, count, slots[0] // lanes, identity, rows.first, lanes)
        iteration.vectors += compute(rows)
        iteration.vectors += _turn_back(target, y, count, rows, identity, slots[2] // lanes, lanes)
        iteration.stores += _transfer(store, y_storage, target, image, first, count, slots[2], lanes)
        iterations.append(iteration)
    return iterations


def _tiles(source: _Place, tile: RowTile, lanes: int) -> Iterator[tuple[int, int, int]]:
    """(image, first position, positions)."""
    size = tile.groups * lanes
    for image, first in itertools.product(range(source.images), range(0, source.positions, size)):
        yield image, first, min(size, source.positions - first)


def _transfer(
    function: Callable[..., list[Instruction]], storage: Storage, place: _Place, image: int, first: int, count: int,
    slot: int, lanes: int,
) -> list[Instruction]:  # fmt: skip
    offset = storage.offset + image * place.image_stride + first * place.position_stride
    return function(storage.register, offset, slot, lanes, place.loops(count, lanes))


def parts(size: int, lanes: int) -> list[tuple[int, int, int]]:
    """(first block, blocks, lanes of each) of the whole blocks, then of the partly filled one."""
    whole, rest = divmod(size, lanes)
    return ([(0, whole, lanes)] if whole else []) + ([(whole, 1, rest)] if rest else [])


def _turn(place: _Place, x: Tensor, count: int, slot: int, identity: int, rows: int, lanes: int) -> list[Instruction]:
    """From [position][block] vectors to rows [group][channel] of q − z, positions in the lanes."""
    position, block = place.vectors(count)
    channels = x.view[1]
    return [
        Matmul(
            weight_order=WeightOrder.COLUMNS, input_signed=1, weight_signed=int(x.dtype == "int8"),
            weight_zero=x.zero_point, input_lanes=lanes, weight_rows=positions, weight_vector_stride=position,
            input=identity, weight=slot + group * lanes * position + b * block,
            accumulator=rows + group * channels + b * lanes,
            outer_count_0=groups, outer_weight_stride_0=lanes * position, outer_accumulator_stride_0=channels,
            outer_count_1=blocks, outer_weight_stride_1=block, outer_accumulator_stride_1=lanes,
            inner_count_2=filled, inner_input_stride_2=1, inner_accumulator_stride_2=1,
        )
        for (group, groups, positions), (b, blocks, filled) in itertools.product(
            parts(count, lanes), parts(channels, lanes)
        )
    ]  # fmt: skip


def _turn_back(
    place: _Place, y: Tensor, count: int, rows: Rows, identity: int, output: int, lanes: int
) -> list[Instruction]:
    """From vectors [group][channel] of q to the output slot, channels in the lanes."""
    position, block = place.vectors(count)
    channels = y.view[1]
    turned: list[Instruction] = [
        Matmul(
            weight_order=WeightOrder.COLUMNS, input_signed=1, weight_signed=int(y.dtype == "int8"),
            input_lanes=lanes, weight_rows=filled, input=identity,
            weight=rows.result + group * channels + b * lanes,
            accumulator=rows.first + group * lanes * position + b * block,
            outer_count_0=groups, outer_weight_stride_0=channels, outer_accumulator_stride_0=lanes * position,
            outer_count_1=blocks, outer_weight_stride_1=lanes, outer_accumulator_stride_1=block,
            inner_count_2=positions, inner_input_stride_2=1, inner_accumulator_stride_2=position,
        )
        for (group, groups, positions), (b, blocks, filled) in itertools.product(
            parts(count, lanes), parts(channels, lanes)
        )
    ]  # fmt: skip
    copy = Vector(
        a_source=Source.ACCUMULATOR_S32, b_source=Source.IMMEDIATE, destination=destination(y), a=rows.first, d=output,
        count_4=count * place.blocks, a_stride_4=1, d_stride_4=1,
    )  # fmt: skip
    return [*turned, copy]
