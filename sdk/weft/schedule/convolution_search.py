"""Tiles of a convolution: the space, what fits, and the choice by an analytic estimate of cycles."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

from weft.schedule.areas import Areas
from weft.schedule.convolution import (
    ConvolutionMode,
    ConvolutionShape,
    ConvolutionTile,
    all_input_pieces,
    box_counts,
    cuts,
    input_bytes,
    input_extent,
    weight_bytes,
)
from weft.schedule.convolution_cost import estimate, ramp
from weft_sim.machine import MachineConfig

__all__ = ["best_tile", "estimated_cycles", "rough_cycles", "tile_boundaries", "tile_fits", "tile_orders"]

LOOKED_AT = 48
"""So many tiles, the best without it, are compared with their ramp."""


@functools.lru_cache(maxsize=1024)
def best_tile(shape: ConvolutionShape, config: MachineConfig) -> tuple[ConvolutionTile, float] | None:
    """The tile of least estimated cycles and that estimate, or None if not even the smallest tile fits."""
    areas = Areas.of(config)
    found = [(estimate(shape, tile, areas, config), tile) for tile in _space(shape, areas, config)]
    if not found:
        return None
    found.sort(key=_order)
    best = [tile for _, tile in found[:LOOKED_AT]]
    exact = [(estimate(shape, tile, areas, config, ramp(shape, tile, config)), tile) for tile in best]
    cost, tile = min(exact, key=_order)
    return tile, cost


def _order(found: tuple[float, ConvolutionTile]) -> tuple[float, int, int]:
    cost, tile = found
    return cost, -tile.out_blocks, -tile.rows


def boundaries(areas: Areas, config: MachineConfig) -> list[int]:
    """Where the inputs' banks may end and the weights' begin: a half, a third, two thirds of both."""
    start, end, bank = areas.x[0], areas.output[0], config.bank_bytes
    wanted = [start + (end - start) * share // 6 for share in (3, 2, 4)]
    aligned = [min(end, max(start, round(place / bank) * bank)) for place in wanted]
    return list(dict.fromkeys(place for place in aligned if start < place < end)) or [areas.weights[0]]


def _space(shape: ConvolutionShape, areas: Areas, config: MachineConfig) -> Iterator[ConvolutionTile]:
    """Every tile that fits. Reductions are split only where unsplit ones do not fit, columns likewise."""
    for reduce_blocks in cuts(shape.reduce_blocks) if shape.mode == ConvolutionMode.DENSE else [shape.reduce_blocks]:
        found = False
        for columns in cuts(shape.columns):
            for boundary in boundaries(areas, config):
                for tile in _with_columns(shape, columns, reduce_blocks, boundary, areas, config):
                    found = True
                    yield tile
            if found and columns * 4 <= max(shape.columns, 64):
                break
        if found and reduce_blocks * 4 <= shape.reduce_blocks:
            return


def _with_columns(
    shape: ConvolutionShape, columns: int, reduce_blocks: int, boundary: int, areas: Areas, config: MachineConfig
) -> Iterator[ConvolutionTile]:
    for out_blocks in cuts(shape.out_blocks):
        for rows in cuts(shape.rows):
            tile = ConvolutionTile(rows, columns, out_blocks, out_blocks, reduce_blocks, True, boundary)
            if _fits(shape, tile, areas, config):
                yield from _orders(shape, tile, areas, config)
                break  # fewer rows would only make more tiles of the same kind


def _orders(
    shape: ConvolutionShape, tile: ConvolutionTile, areas: Areas, config: MachineConfig
) -> Iterator[ConvolutionTile]:
    """Both loop orders, with weight pieces of one box, of as many as fit twice, and of all where these fit."""
    one = weight_bytes(shape, tile, config.lanes)
    room = areas.output[0] - tile.boundary
    pieces = {tile.out_blocks, max(1, room // 2 // one) * tile.out_blocks}
    if one * -(-shape.out_blocks // tile.out_blocks) * -(-shape.reduce_blocks // tile.reduce_blocks) <= room:
        pieces.add(shape.out_blocks)
    for weight_blocks, weights_outer in itertools.product(
        sorted({min(piece, shape.out_blocks) for piece in pieces}), (False,) if shape.by_rows else (True, False)
    ):
        yield ConvolutionTile(
            tile.rows, tile.columns, tile.out_blocks, weight_blocks, tile.reduce_blocks, weights_outer, tile.boundary
        )


def _fits(shape: ConvolutionShape, tile: ConvolutionTile, areas: Areas, config: MachineConfig) -> bool:
    """Two boxes, and two input pieces and two weight pieces, or all of them."""
    lanes, size = config.lanes, tile.rows * tile.columns * tile.out_blocks
    if shape.by_rows and tile.rows == shape.rows > 1:
        return False
    if size > areas.accumulator_rows or size * lanes * (1 + shape.joins) > areas.output_bytes:
        return False
    if tile.out_blocks > areas.parameter_blocks(lanes):
        return False
    columns = input_extent(tile.columns, shape.kernel[1], shape.strides[1], shape.dilations[1])
    if shape.mode == ConvolutionMode.DEPTHWISE and shape.kernel[0] > 1 and columns > config.line_depth:
        return False
    _, channels, parts = box_counts(shape, tile)
    inputs = all_input_pieces(shape, tile)
    room = tile.boundary - areas.x[0], areas.output[0] - tile.boundary
    if input_bytes(shape, tile, lanes) * min(2, inputs) > room[0]:
        return False
    return weight_bytes(shape, tile, lanes) * min(2, channels * parts) <= room[1]


def tile_fits(shape: ConvolutionShape, tile: ConvolutionTile, config: MachineConfig) -> bool:
    """Whether the machine's memories hold what the tile needs at the same time."""
    return _fits(shape, tile, _areas(config), config)


def tile_boundaries(config: MachineConfig) -> list[int]:
    """The scratchpad addresses between inputs and weights that tiles may have."""
    return boundaries(_areas(config), config)


def tile_orders(shape: ConvolutionShape, tile: ConvolutionTile, config: MachineConfig) -> Iterator[ConvolutionTile]:
    """A tile that fits in both loop orders and with every size of weight pieces that fits."""
    return _orders(shape, tile, _areas(config), config)


def rough_cycles(shape: ConvolutionShape, tile: ConvolutionTile, config: MachineConfig) -> float:
    """The estimate without the wait at the start."""
    return estimate(shape, tile, _areas(config), config)


def estimated_cycles(shape: ConvolutionShape, tile: ConvolutionTile, config: MachineConfig) -> float:
    """The estimate by which `best_tile` chooses in the end."""
    return estimate(shape, tile, _areas(config), config, ramp(shape, tile, config))


@functools.lru_cache(maxsize=16)
def _areas(config: MachineConfig) -> Areas:
    return Areas.of(config)
