"""Tiles of a batched matrix product: what fits, and the choice by an analytic estimate of cycles."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from weft.schedule.areas import Areas
from weft.schedule.convolution import cuts
from weft_sim.machine import MachineConfig

__all__ = ["ProductShape", "ProductTile", "choose_product_tile", "estimated_product_cycles", "product_tile_fits"]

INSTRUCTION_CYCLES = 10
INSTRUCTIONS = 8


@dataclass(frozen=True)
class ProductShape:
    """`outer` × `inner` batches of [rows, k] · [k, n], k and n in blocks of `lanes`. `repeats_a`, `repeats_b`: whether
    the operand is the same for all inner batches."""

    outer: int
    inner: int
    rows: int
    k_blocks: int
    n_blocks: int
    repeats_a: bool
    repeats_b: bool


@dataclass(frozen=True)
class ProductTile:
    """Inner batches, rows, and blocks of n and of k that one iteration takes."""

    batches: int
    rows: int
    n_blocks: int
    k_blocks: int


def choose_product_tile(shape: ProductShape, config: MachineConfig) -> ProductTile | None:
    """The tile of least estimated cycles, or None if not even one vector by one block fits."""
    found = list(_space(shape, config))
    if not found:
        return None
    return min(found, key=lambda tile: (_estimate(shape, tile, config), -tile.n_blocks, -tile.rows, -tile.batches))


def _space(shape: ProductShape, config: MachineConfig) -> Iterator[ProductTile]:
    """Reductions are split only where unsplit ones do not fit; several batches only where whole matrices fit."""
    areas = Areas.of(config)
    for k_blocks in cuts(shape.k_blocks):
        found = False
        for rows, n_blocks in itertools.product(cuts(shape.rows), cuts(shape.n_blocks)):
            whole = (rows, n_blocks, k_blocks) == (shape.rows, shape.n_blocks, shape.k_blocks)
            for batches in cuts(shape.inner) if whole else [1]:
                tile = ProductTile(batches, rows, n_blocks, k_blocks)
                if _fits(shape, tile, areas, config.lanes):
                    found = True
                    yield tile
                    break
        if found:
            return


def _sizes(shape: ProductShape, tile: ProductTile, lanes: int) -> tuple[int, int, int]:
    """Vectors of a's tile, b's and the output's."""
    a = (1 if shape.repeats_a else tile.batches) * tile.rows * tile.k_blocks
    b = (1 if shape.repeats_b else tile.batches) * tile.k_blocks * tile.n_blocks * lanes
    return a, b, tile.batches * tile.rows * tile.n_blocks


def _fits(shape: ProductShape, tile: ProductTile, areas: Areas, lanes: int) -> bool:
    a, b, y = _sizes(shape, tile, lanes)
    inside = a * lanes <= areas.x_bytes and b * lanes <= areas.weight_bytes and y * lanes <= areas.output_bytes
    return inside and y <= areas.accumulator_rows


def _estimate(shape: ProductShape, tile: ProductTile, config: MachineConfig) -> float:
    lanes = config.lanes
    steps = [
        shape.outer * -(-shape.inner // tile.batches), -(-shape.rows // tile.rows), -(-shape.n_blocks // tile.n_blocks),
        -(-shape.k_blocks // tile.k_blocks),
    ]  # fmt: skip
    count = steps[0] * steps[1] * steps[2] * steps[3]
    a, b, y = _sizes(shape, tile, lanes)
    mxu = count * tile.batches * tile.n_blocks * tile.k_blocks * max(tile.rows, lanes + 4)
    vpu = count // steps[3] * (y + 30)
    x_loads = count if steps[3] > 1 else count // steps[2]
    w_loads = count if steps[2] * steps[3] > 1 else count // steps[1]
    dram = (x_loads * a + w_loads * b + count // steps[3] * y) * lanes / config.dram_bytes_per_cycle
    issue = count * INSTRUCTIONS * INSTRUCTION_CYCLES
    return max(mxu, vpu, dram, issue) + (a + b + y) * lanes / config.dram_bytes_per_cycle


def product_tile_fits(shape: ProductShape, tile: ProductTile, config: MachineConfig) -> bool:
    """Whether the machine's memories hold everything that the tile needs."""
    return _fits(shape, tile, _areas(config), config.lanes)


@functools.lru_cache(maxsize=16)
def _areas(config: MachineConfig) -> Areas:
    return Areas.of(config)


def estimated_product_cycles(shape: ProductShape, tile: ProductTile, config: MachineConfig) -> float:
    """The analytic estimate by which `choose_product_tile` chooses."""
    return _estimate(shape, tile, config)
