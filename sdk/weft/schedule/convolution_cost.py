"""What a tiled convolution costs: an analytic estimate of cycles from what is loaded how often."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from weft.schedule.areas import Areas
from weft.schedule.convolution import (
    ConvolutionMode,
    ConvolutionShape,
    ConvolutionTile,
    box_counts,
    follows_output,
    input_blocks,
    input_bytes,
    input_extent,
    weight_bytes,
)
from weft.schedule.steps import Step, steps
from weft_sim.isa import INSTRUCTION_BYTES, PARAMETER_VECTORS, TIMING
from weft_sim.machine import MachineConfig

__all__ = ["estimate", "ramp"]

SHARPNESS = 12
RAMP_STEPS = 16
STEP_CYCLES = 2
"""What the MXU loses between two instructions at most."""


@dataclass(frozen=True)
class _Traffic:
    """How often input and weight pieces are loaded, and the bytes of one of each."""

    input_loads: int
    weight_loads: int
    input_piece: int
    weight_piece: int


def estimate(
    shape: ConvolutionShape, tile: ConvolutionTile, areas: Areas, config: MachineConfig, waiting: float = 0.0
) -> float:
    """Cycles of the busiest unit, and what the last box adds behind. `waiting`: what `ramp` says, if known."""
    lanes, rate = config.lanes, config.dram_bytes_per_cycle
    places, channels, parts = box_counts(shape, tile)
    positions = shape.images * shape.rows * shape.columns
    traffic = _traffic(shape, tile, areas, lanes)
    boxes = places * channels
    mxu = _mxu_cycles(shape, tile, lanes, places) + STEP_CYCLES * boxes * parts
    vpu = positions * shape.out_blocks + (PARAMETER_VECTORS + TIMING["VPU_LATENCY"]) * boxes
    instructions = boxes * (parts + 2 + shape.joins) + 2 * traffic.input_loads + traffic.weight_loads
    loads = traffic.input_loads * _load_cycles(shape, tile, traffic.input_piece, config)
    loads += traffic.weight_loads * traffic.weight_piece / rate
    moved = traffic.input_loads * traffic.input_piece + traffic.weight_loads * traffic.weight_piece
    moved += positions * shape.out_blocks * lanes * (1 + shape.joins) + instructions * INSTRUCTION_BYTES
    dram = max(loads, moved / rate)
    last = 1 if shape.out_blocks > 1 else tile.out_blocks
    tail = tile.rows * tile.columns * last * (1 + lanes / rate)
    dram += mxu / (boxes * parts * tile.out_blocks)
    return max(_together(mxu + waiting, dram), vpu) + tail + 3 * config.dram_latency


def ramp(shape: ConvolutionShape, tile: ConvolutionTile, config: MachineConfig) -> float:
    """Cycles in which the MXU waits for the loads of the first boxes, from a walk over the first steps."""
    lanes, rate = config.lanes, config.dram_bytes_per_cycle
    inputs = _load_cycles(shape, tile, input_bytes(shape, tile, lanes), config) / input_blocks(shape, tile)
    weights = weight_bytes(shape, tile, lanes) / rate / tile.out_blocks / tile.reduce_blocks
    loaded: set[tuple[int, ...]] = set()
    ready = ended = lost = 0.0
    for step in itertools.islice(steps(shape, tile), RAMP_STEPS):
        for key, cycles in (
            ((*step.place, step.reduce), inputs * step.reduces),
            ((step.block, step.reduce), weights * step.reduces * step.blocks),
        ):
            if key not in loaded:
                loaded.add(key)
                ready += cycles
        lost += max(0.0, ready - ended)
        ended = max(ready, ended) + _step_cycles(shape, step, lanes)
    return lost


def _step_cycles(shape: ConvolutionShape, step: Step, lanes: int) -> float:
    taps = 1 if shape.mode == ConvolutionMode.DEPTHWISE else shape.kernel[0] * shape.kernel[1]
    return step.blocks * step.reduces * taps * max(step.rows * step.columns, lanes + 4)


def _together(mxu: float, dram: float) -> float:
    """What both take side by side: a little more than the longer, the more so the more equal they are."""
    longer = max(mxu, dram)
    return float(longer * (1 + (min(mxu, dram) / longer) ** SHARPNESS) ** (1 / SHARPNESS))


def _traffic(shape: ConvolutionShape, tile: ConvolutionTile, areas: Areas, lanes: int) -> _Traffic:
    places, channels, parts = box_counts(shape, tile)
    x, weights = input_bytes(shape, tile, lanes), weight_bytes(shape, tile, lanes)
    room = tile.boundary - areas.x[0], areas.output[0] - tile.boundary
    groups = -(-shape.out_blocks // tile.weight_blocks)
    all_inputs, all_weights = places * parts, channels * parts
    resident = parts == 1 or x * (parts + 1) <= room[0]  # one more, for the next position's first
    if follows_output(shape):
        input_loads = places * channels
    elif x * all_inputs <= room[0]:
        input_loads = all_inputs
    elif tile.weights_outer:
        input_loads = all_inputs * (groups if resident else channels)
    else:
        input_loads = all_inputs * (1 if resident else channels)
    group = weights * -(-tile.weight_blocks // tile.out_blocks)
    together = parts == 1 or group * (parts + 1) <= room[1]
    once = weights * all_weights <= room[1] or places == 1 or (tile.weights_outer and together)
    return _Traffic(input_loads, all_weights * (1 if once else places), x, weights)


def _load_cycles(shape: ConvolutionShape, tile: ConvolutionTile, size: int, config: MachineConfig) -> float:
    """Of one input piece. Short runs cost a burst each, of which only so many are outstanding."""
    if shape.mode == ConvolutionMode.IM2COL:
        beats = -(-(shape.run_bytes + config.dram_beat_bytes - 1) // config.dram_beat_bytes)
        run = max(beats * config.dram_beat_bytes / config.dram_bytes_per_cycle, 1 + shape.run_bytes // config.lanes)
        return tile.rows * tile.columns * shape.runs_per_position * run
    cycles = size / config.dram_bytes_per_cycle
    if shape.skips[1] > 1:
        cycles = max(cycles, size / config.lanes * (config.dram_latency + 4) / config.outstanding_bursts)
    return cycles


def _mxu_cycles(shape: ConvolutionShape, tile: ConvolutionTile, lanes: int, places: int) -> float:
    taps = shape.kernel[0] * shape.kernel[1]
    positions = tile.rows * tile.columns
    if shape.mode == ConvolutionMode.DEPTHWISE:
        per_pass = min(shape.kernel[0], 4, lanes // shape.kernel[1])
        passes = -(-shape.kernel[0] // per_pass)
        columns = input_extent(tile.columns, shape.kernel[1], shape.strides[1], 1)
        stream = input_extent(tile.rows, per_pass, shape.strides[0], 1) * columns
        return places * shape.out_blocks * passes * max(stream, lanes + 4)
    whole = shape.images * shape.rows * shape.columns
    each = max(whole, places * (lanes + 4)) if positions > lanes + 4 else places * (lanes + 4)
    return each * shape.out_blocks * shape.reduce_blocks * taps
