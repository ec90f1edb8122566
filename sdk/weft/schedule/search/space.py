"""The tiles that a search may try: derived from the machine, so a few hundred for every shape, and all of them legal.

Extents of channels and columns are halved again and again, reductions likewise, and for each of these combinations rows
are as many as the memories take, half and a quarter of that. So a layer of any size gets a few hundred candidates, and
none of them has to be tried to know that it fits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

from weft.schedule.choice import Shape, Tile
from weft.schedule.convolution import ConvolutionMode, ConvolutionShape, ConvolutionTile
from weft.schedule.convolution_search import (
    best_tile,
    estimated_cycles,
    rough_cycles,
    tile_boundaries,
    tile_fits,
    tile_orders,
)
from weft.schedule.product import (
    ProductShape,
    ProductTile,
    choose_product_tile,
    estimated_product_cycles,
    product_tile_fits,
)
from weft_sim.machine import MachineConfig

__all__ = ["default_tile", "estimate", "space", "trip_counts"]

SHARES = (1, 2, 4)
"""Rows fill the memories, half or a quarter of them."""

MOST_TILES = 256
"""Candidates cut an operator into at most so many tiles (or as many as the default one does): more tiles make longer
programs and only save at the first and last tile."""

MOST_CANDIDATES = 500
"""Of more candidates those of least estimated cycles stay."""


def space(shape: Shape, config: MachineConfig) -> tuple[Tile, ...]:
    """Every candidate, the one of least estimated cycles first. Empty if nothing fits the machine."""
    default = default_tile(shape, config)
    if default is None:
        return ()
    made = _convolution(shape, config) if isinstance(shape, ConvolutionShape) else _product(shape, config)
    most = max(MOST_TILES, _count(shape, default))
    tiles = list(dict.fromkeys([default, *(tile for tile in made if _count(shape, tile) <= most)]))
    kept = sorted(tiles[1:], key=lambda tile: _rough(shape, tile, config))[: MOST_CANDIDATES - 1]
    return (default, *sorted(kept, key=lambda tile: estimate(shape, tile, config)))


def default_tile(shape: Shape, config: MachineConfig) -> Tile | None:
    """The tile that is taken where nothing was measured."""
    if isinstance(shape, ProductShape):
        return choose_product_tile(shape, config)
    found = best_tile(shape, config)
    return None if found is None else found[0]


def estimate(shape: Shape, tile: Tile, config: MachineConfig) -> float:
    """The analytic estimate of the tile's cycles. Raises TypeError for a tile of another operator's kind."""
    if isinstance(shape, ConvolutionShape) and isinstance(tile, ConvolutionTile):
        return estimated_cycles(shape, tile, config)
    if isinstance(shape, ProductShape) and isinstance(tile, ProductTile):
        return estimated_product_cycles(shape, tile, config)
    raise TypeError(f"{type(tile).__name__} is not a tile of {type(shape).__name__}")


def _count(shape: Shape, tile: Tile) -> int:
    """Tiles that the operator is cut into."""
    return math.prod(trips for _, trips in trip_counts(shape, tile))


def trip_counts(shape: Shape, tile: Tile) -> tuple[tuple[str, int], ...]:
    """The loops over tiles, outermost first, with what each walks along and how often. Raises TypeError for a tile of
    another operator's kind."""
    if isinstance(shape, ConvolutionShape) and isinstance(tile, ConvolutionTile):
        groups = (("out_blocks", -(-shape.out_blocks // tile.weight_blocks)),)
        boxes = ("out_blocks", -(-tile.weight_blocks // tile.out_blocks))
        places = (
            ("images", shape.images),
            ("rows", -(-shape.rows // tile.rows)),
            ("columns", -(-shape.columns // tile.columns)),
        )
        outer = (*groups, *places) if tile.weights_outer else (*places, *groups)
        return (*outer, boxes, ("reduce_blocks", -(-shape.reduce_blocks // tile.reduce_blocks)))
    if isinstance(shape, ProductShape) and isinstance(tile, ProductTile):
        return (
            ("outer", shape.outer),
            ("inner", -(-shape.inner // tile.batches)),
            ("rows", -(-shape.rows // tile.rows)),
            ("n_blocks", -(-shape.n_blocks // tile.n_blocks)),
            ("k_blocks", -(-shape.k_blocks // tile.k_blocks)),
        )
    raise TypeError(f"{type(tile).__name__} is not a tile of {type(shape).__name__}")


def _rough(shape: Shape, tile: Tile, config: MachineConfig) -> float:
    """An estimate that takes less time."""
    if isinstance(shape, ConvolutionShape) and isinstance(tile, ConvolutionTile):
        return rough_cycles(shape, tile, config)
    return estimate(shape, tile, config)


def _halves(extent: int) -> list[int]:
    """⌈extent ÷ 2ⁱ⌉, largest first: tiles of an extent in 1, 2, 4, … parts."""
    return sorted({-(-extent // 2**i) for i in range(extent.bit_length() + 1)}, reverse=True)


def _rows(extent: int, fits: Callable[[int], bool]) -> list[int]:
    """The most rows that fit, and about half and a quarter of them, each as the parts it cuts the extent into need."""
    low, high = 0, extent
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    if low == 0:
        return []
    parts = dict.fromkeys(min(extent, -(-extent // low) * share) for share in SHARES)
    return list(dict.fromkeys(-(-extent // part) for part in parts))


def _convolution(shape: ConvolutionShape, config: MachineConfig) -> Iterator[ConvolutionTile]:
    splits = _halves(shape.reduce_blocks) if shape.mode == ConvolutionMode.DENSE else [shape.reduce_blocks]
    for boundary, reduce_blocks, columns, out_blocks in itertools.product(
        tile_boundaries(config), splits, _halves(shape.columns), _halves(shape.out_blocks)
    ):
        rest = (columns, out_blocks, out_blocks, reduce_blocks, True, boundary)

        def fits(rows: int, rest: tuple[int, int, int, int, bool, int] = rest) -> bool:
            return tile_fits(shape, ConvolutionTile(rows, *rest), config)

        for rows in _rows(shape.rows, fits):
            yield from tile_orders(shape, ConvolutionTile(rows, *rest), config)


def _product(shape: ProductShape, config: MachineConfig) -> Iterator[ProductTile]:
    for k_blocks, n_blocks in itertools.product(_halves(shape.k_blocks), _halves(shape.n_blocks)):
        rest = (n_blocks, k_blocks)

        def fits(rows: int, rest: tuple[int, int] = rest) -> bool:
            return product_tile_fits(shape, ProductTile(1, rows, *rest), config)

        yield from (ProductTile(1, rows, *rest) for rows in _rows(shape.rows, fits))
        if (k_blocks, n_blocks) == (shape.k_blocks, shape.n_blocks):
            whole = (ProductTile(batches, shape.rows, n_blocks, k_blocks) for batches in _halves(shape.inner))
            yield from (each for each in whole if product_tile_fits(shape, each, config))
