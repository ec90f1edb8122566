"""What a learned cost model sees of a candidate: numbers of its task mapping, the same for every operator and shape.

The tile loops and the tile itself are one mapping: a `repeat` for each loop over tiles, outermost first, around a
`repeat` of the tile's extents. For every loop level there are its trips, the footprint of each operand below it, and
how often what lies below is reused because loops from there on do not move it; together with which operands the loop
moves, these say in which order the loops run. Sizes are in base-2 logarithms, and relative to the machine where that
has a capacity, so that what was learned on one layer holds on others.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from weft.schedule.areas import Areas
from weft.schedule.choice import Shape, Tile
from weft.schedule.convolution import ConvolutionMode, ConvolutionShape, ConvolutionTile, input_extent
from weft.schedule.mapping import TaskMapping, repeat
from weft.schedule.product import ProductShape
from weft.schedule.search.space import estimate, trip_counts
from weft_sim.machine import MachineConfig

__all__ = ["candidate_mapping", "features"]

LEVELS = 6
CONVOLUTION = ("images", "rows", "columns", "out_blocks", "reduce_blocks")
PRODUCT = ("outer", "inner", "rows", "n_blocks", "k_blocks")


@dataclass(frozen=True)
class _Operand:
    """The dimensions that its address depends on, and its vectors for each task."""

    dimensions: frozenset[str]
    vectors: float


def candidate_mapping(shape: Shape, tile: Tile) -> tuple[TaskMapping, tuple[str, ...]]:
    """The walk over all of the operator's tasks, tile by tile, and the names of its dimensions. Tiles at the edges
    count as whole ones. Raises TypeError for a tile of another operator's kind."""
    names = CONVOLUTION if isinstance(shape, ConvolutionShape) else PRODUCT
    levels = [
        repeat(*(trips if name == axis else 1 for axis in names)) for name, trips in trip_counts(shape, tile)
    ]  # fmt: skip
    inside = repeat(*(_extents(tile).get(axis, 1) for axis in names))
    return functools.reduce(TaskMapping.__mul__, [*levels, inside]), names


def features(shape: Shape, tile: Tile, config: MachineConfig) -> list[float]:
    """The candidate as numbers, always as many. Raises TypeError for a tile of another operator's kind."""
    mapping, names = candidate_mapping(shape, tile)
    operands = _operands(shape, tile, config.lanes)
    digits = [(names[digit.dimension], digit.extent) for digit in mapping.digits()]
    loops = [(index, *digit) for index, digit in enumerate(digits[: LEVELS * len(names)]) if digit[1] > 1]
    result: list[float] = []
    for level in range(LEVELS):
        if level >= len(loops):
            result += [0.0] * (1 + 3 * len(operands))
            continue
        index, name, trips = loops[level]
        result.append(math.log2(trips))
        for operand in operands:
            below = math.prod(extent for axis, extent in digits[index + 1 :] if axis in operand.dimensions)
            reuse = math.prod(n for _, axis, n in loops[level:] if axis not in operand.dimensions)
            result += [math.log2(below * operand.vectors), math.log2(reuse), float(name in operand.dimensions)]
    return result + _whole(shape, tile, config, operands, [(name, trips) for _, name, trips in loops])


def _whole(
    shape: Shape, tile: Tile, config: MachineConfig, operands: list[_Operand], loops: list[tuple[str, int]]
) -> list[float]:
    """Per operand the share of its memory that a tile takes and the loads of tiles; the tile and the stream of one
    weight tile; the estimate; the machine."""
    areas, extents = Areas.of(config), _extents(tile)
    capacities = (areas.x_bytes, areas.weight_bytes, areas.output_bytes)
    result: list[float] = []
    for operand, capacity in zip(operands, capacities, strict=True):
        size = operand.vectors * math.prod(extents.get(axis, 1) for axis in operand.dimensions) * config.lanes
        moving = [index for index, (name, _) in enumerate(loops) if name in operand.dimensions]
        loads = math.prod(trips for _, trips in loops[: 1 + max(moving, default=-1)])
        result += [size / capacity, math.log2(loads), math.log2(1 + loads * size / config.dram_bytes_per_cycle)]
    sizes = [extents.get(axis, 1) for axis in (CONVOLUTION if isinstance(tile, ConvolutionTile) else PRODUCT)]
    result += [math.log2(each) for each in sizes]
    result.append(tile.boundary / config.scratchpad_bytes if isinstance(tile, ConvolutionTile) else 0.0)
    stream = extents.get("rows", 1) * extents.get("columns", 1)
    kernel = shape.kernel if isinstance(shape, ConvolutionShape) else (1, 1)
    result += [math.log2(stream), stream / config.lanes, float(kernel[0]), float(kernel[1])]
    result.append(float(list(ConvolutionMode).index(shape.mode)) if isinstance(shape, ConvolutionShape) else -1.0)
    result += [math.log2(estimate(shape, tile, config)), math.log2(math.prod(trips for _, trips in loops))]
    return [*result, math.log2(config.lanes), config.dram_bytes_per_cycle, float(config.dram_latency)]


def _extents(tile: Tile) -> dict[str, int]:
    if isinstance(tile, ConvolutionTile):
        return {
            "rows": tile.rows, "columns": tile.columns, "out_blocks": tile.out_blocks,
            "reduce_blocks": tile.reduce_blocks,
        }  # fmt: skip
    return {"inner": tile.batches, "rows": tile.rows, "n_blocks": tile.n_blocks, "k_blocks": tile.k_blocks}


def _operands(shape: Shape, tile: Tile, lanes: int) -> list[_Operand]:
    """Input, weights and output."""
    if isinstance(shape, ConvolutionShape) and isinstance(tile, ConvolutionTile):
        places = frozenset({"images", "rows", "columns"})
        own = shape.mode in (ConvolutionMode.DEPTHWISE, ConvolutionMode.GROUPED)
        rows = input_extent(tile.rows, shape.kernel[0], shape.strides[0], shape.dilations[0]) / tile.rows
        columns = input_extent(tile.columns, shape.kernel[1], shape.strides[1], shape.dilations[1]) / tile.columns
        taps = shape.kernel[0] * shape.kernel[1]
        depthwise = shape.mode == ConvolutionMode.DEPTHWISE
        return [
            _Operand(places | {"reduce_blocks"} | ({"out_blocks"} if own else set()), rows * columns),
            _Operand(frozenset({"out_blocks", "reduce_blocks"}), taps * (1 if depthwise else lanes)),
            _Operand(places | {"out_blocks"}, 1),
        ]
    batches = {"outer", "inner"}
    repeats = (shape.repeats_a, shape.repeats_b) if isinstance(shape, ProductShape) else (False, False)
    return [
        _Operand(frozenset({"rows", "k_blocks"} | (set() if repeats[0] else batches)), 1),
        _Operand(frozenset({"n_blocks", "k_blocks"} | (set() if repeats[1] else batches)), lanes),
        _Operand(frozenset({"rows", "n_blocks"} | batches), 1),
    ]
