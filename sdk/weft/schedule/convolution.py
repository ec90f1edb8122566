"""Tiles of a convolution: the space, what fits, and the choice by an analytic estimate of cycles."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from weft.schedule.areas import Areas
from weft_sim.isa import TIMING
from weft_sim.machine import MachineConfig

__all__ = ["ConvolutionMode", "ConvolutionShape", "ConvolutionTile", "best_tile", "cuts", "input_extent"]


class ConvolutionMode(Enum):
    """DENSE: weight tiles over channel blocks. IM2COL: kernel windows gathered by LOAD, for shallow inputs.
    GROUPED: each output block reads only its groups' blocks. DEPTHWISE: the MXU's window mode."""

    DENSE = "dense"
    IM2COL = "im2col"
    GROUPED = "grouped"
    DEPTHWISE = "depthwise"


@dataclass(frozen=True)
class ConvolutionShape:
    """What the tile search needs to know. Blocks are of `lanes` channels; `reduce_blocks` is the most input blocks
    (IM2COL: vectors of one gathered window) that one output block reads; `kernel` is (1, 1) for IM2COL."""

    mode: ConvolutionMode
    images: int
    rows: int
    columns: int
    out_blocks: int
    reduce_blocks: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    run_bytes: int = 0
    runs_per_position: int = 0


@dataclass(frozen=True)
class ConvolutionTile:
    """Output rows, columns and channel blocks of a tile, input blocks of one reduction step, and the loop order:
    weights_outer keeps a weight tile while walking over positions, else an input tile while walking over channels."""

    rows: int
    columns: int
    out_blocks: int
    reduce_blocks: int
    weights_outer: bool


def input_extent(outputs: int, kernel: int, stride: int, dilation: int) -> int:
    """Input rows (or columns) that `outputs` neighbouring outputs read."""
    return (outputs - 1) * stride + (kernel - 1) * dilation + 1


def cuts(extent: int) -> list[int]:
    """All distinct tile sizes ⌈extent / n⌉, largest first: no size in between would need fewer tiles."""
    return sorted({-(-extent // n) for n in range(1, extent + 1)}, reverse=True)


def best_tile(shape: ConvolutionShape, config: MachineConfig) -> tuple[ConvolutionTile, float] | None:
    """The tile of least estimated cycles and that estimate, or None if not even the smallest tile fits."""
    areas = Areas.of(config)
    found = [(_estimate(shape, tile, config), tile) for tile in _space(shape, areas, config)]
    if not found:
        return None
    cost, tile = min(found, key=lambda item: (item[0], -item[1].out_blocks, -item[1].rows))
    return tile, cost


def _space(shape: ConvolutionShape, areas: Areas, config: MachineConfig) -> Iterator[ConvolutionTile]:
    """Every tile that fits. Reductions are split only where unsplit ones do not fit, columns likewise."""
    for reduce_blocks in cuts(shape.reduce_blocks) if shape.mode == ConvolutionMode.DENSE else [shape.reduce_blocks]:
        found = False
        for columns in cuts(shape.columns):
            for tile in _with_columns(shape, columns, reduce_blocks, areas, config):
                found = True
                yield tile
                yield dataclasses.replace(tile, weights_outer=False)
            if found and columns * 4 <= max(shape.columns, 64):
                break
        if found:
            return


def _with_columns(
    shape: ConvolutionShape, columns: int, reduce_blocks: int, areas: Areas, config: MachineConfig
) -> Iterator[ConvolutionTile]:
    for out_blocks in cuts(shape.out_blocks):
        for rows in cuts(shape.rows):
            tile = ConvolutionTile(rows, columns, out_blocks, reduce_blocks, True)
            if _fits(shape, tile, areas, config):
                yield tile
                break  # fewer rows would only make more tiles of the same kind


def input_blocks(shape: ConvolutionShape, tile: ConvolutionTile) -> int:
    """Input blocks resident for one tile (an upper bound for GROUPED)."""
    match shape.mode:
        case ConvolutionMode.DEPTHWISE:
            return tile.out_blocks
        case ConvolutionMode.GROUPED:
            return tile.reduce_blocks * tile.out_blocks
        case _:
            return tile.reduce_blocks


def _weight_vectors(shape: ConvolutionShape, tile: ConvolutionTile, lanes: int) -> int:
    taps = shape.kernel[0] * shape.kernel[1]
    if shape.mode == ConvolutionMode.DEPTHWISE:
        return tile.out_blocks * taps
    return tile.out_blocks * tile.reduce_blocks * taps * lanes


def _fits(shape: ConvolutionShape, tile: ConvolutionTile, areas: Areas, config: MachineConfig) -> bool:
    lanes, positions = config.lanes, tile.rows * tile.columns
    if positions * tile.out_blocks > areas.accumulator_rows or positions * tile.out_blocks * lanes > areas.output_bytes:
        return False
    if tile.out_blocks > areas.parameter_blocks(lanes):
        return False
    if _weight_vectors(shape, tile, lanes) * lanes > areas.weight_bytes:
        return False
    rows = input_extent(tile.rows, shape.kernel[0], shape.strides[0], shape.dilations[0])
    columns = input_extent(tile.columns, shape.kernel[1], shape.strides[1], shape.dilations[1])
    if shape.mode == ConvolutionMode.DEPTHWISE and shape.kernel[0] > 1 and columns > config.line_depth:
        return False
    return rows * columns * input_blocks(shape, tile) * lanes <= areas.x_bytes


def _estimate(shape: ConvolutionShape, tile: ConvolutionTile, config: MachineConfig) -> float:
    """Cycles if units overlap perfectly (the busiest one's), plus what the first load and the last store add."""
    lanes = config.lanes
    spatial = shape.images * -(-shape.rows // tile.rows) * -(-shape.columns // tile.columns)
    channel = -(-shape.out_blocks // tile.out_blocks)
    split = -(-shape.reduce_blocks // tile.reduce_blocks)
    positions = shape.images * shape.rows * shape.columns
    mxu = _mxu_cycles(shape, tile, lanes, spatial) + 12 * spatial * channel * split
    rows = input_extent(tile.rows, shape.kernel[0], shape.strides[0], shape.dilations[0])
    columns = input_extent(tile.columns, shape.kernel[1], shape.strides[1], shape.dilations[1])
    x_tile = rows * columns * input_blocks(shape, tile) * lanes / config.dram_bytes_per_cycle
    if shape.mode == ConvolutionMode.IM2COL:
        beats = -(-(shape.run_bytes + config.dram_beat_bytes - 1) // config.dram_beat_bytes)
        x_tile = tile.rows * tile.columns * shape.runs_per_position * max(beats, 1 + shape.run_bytes // lanes)
    w_tile = (_weight_vectors(shape, tile, lanes) + 8 * tile.out_blocks) * lanes / config.dram_bytes_per_cycle
    follows_channels = shape.mode in (ConvolutionMode.DEPTHWISE, ConvolutionMode.GROUPED)
    x_loads = spatial * (channel if tile.weights_outer or follows_channels else 1) * split
    w_loads = channel * split * (spatial if split > 1 or not tile.weights_outer else 1)
    if channel == split == 1:
        w_loads = 1
    if channel == split == 1 or (spatial == split == 1 and not follows_channels):
        x_loads = spatial
    stored = positions * shape.out_blocks * lanes / config.dram_bytes_per_cycle
    dram = x_loads * x_tile + w_loads * w_tile + stored
    vpu = positions * shape.out_blocks + (8 + TIMING["VPU_LATENCY"]) * spatial * channel * tile.out_blocks
    tail = tile.rows * tile.columns * tile.out_blocks * (1 + lanes / config.dram_bytes_per_cycle)
    return max(mxu, dram, vpu) + x_tile + w_tile + tail + 3 * config.dram_latency


def _mxu_cycles(shape: ConvolutionShape, tile: ConvolutionTile, lanes: int, spatial: int) -> float:
    taps = shape.kernel[0] * shape.kernel[1]
    positions = tile.rows * tile.columns
    if shape.mode == ConvolutionMode.DEPTHWISE:
        per_pass = min(shape.kernel[0], 4, lanes // shape.kernel[1])
        passes = -(-shape.kernel[0] // per_pass)
        columns = input_extent(tile.columns, shape.kernel[1], shape.strides[1], 1)
        stream = input_extent(tile.rows, per_pass, shape.strides[0], 1) * columns
        return spatial * shape.out_blocks * passes * max(stream, lanes + 4)
    return spatial * shape.out_blocks * shape.reduce_blocks * taps * max(positions, lanes + 4)
