"""Convolutions and matrix products: iterations of one tile each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from weft.codegen.context import Context
from weft.codegen.convolution_plan import ConvolutionPlan
from weft.codegen.epilogue import requantize_tile, store_tile
from weft.codegen.iteration import Iteration
from weft.codegen.products import products
from weft.codegen.transfer import Loop, load
from weft.codegen.window import clip_window, load_window
from weft.schedule.convolution import ConvolutionMode
from weft_runtime.executable import REGISTER_CONSTANTS
from weft_sim.isa import PARAMETER_VECTORS, Instruction

__all__ = ["emit_convolution"]


@dataclass(frozen=True)
class Tile:
    """One step of the tile loops: extents clipped to the tensor."""

    image: int
    row: int
    rows: int
    column: int
    columns: int
    block: int
    blocks: int
    reduce: int
    reduces: int
    first: bool
    last: bool

    @property
    def spatial(self) -> tuple[int, int, int]:
        """What identifies the position part of the tile."""
        return (self.image, self.row, self.column)


def emit_convolution(plan: ConvolutionPlan, context: Context) -> list[Iteration]:
    """The iterations of one convolution, in order; input and weight tiles are loaded only when they change."""
    iterations: list[Iteration] = []
    loaded: dict[str, tuple[tuple[int, ...], int]] = {}
    accumulator = 0
    for tile in _tiles(plan):
        iteration = Iteration(plan.operator.name, reads=(plan.input_name,))
        weight_key = (tile.block, tile.reduce)
        if loaded.get("weights", ((), 0))[0] != weight_key:
            slots = (context.next_slot("weights"), context.next_slot("parameters"))
            iteration.constants += _load_weights(plan, tile, slots, context)
            loaded["weights"], loaded["parameters"] = (weight_key, slots[0]), (weight_key, slots[1])
        input_key = (*tile.spatial, tile.reduce, tile.block if plan.input_follows_output else 0)
        if loaded.get("x", ((), 0))[0] != input_key:
            slot = context.next_slot("x")
            iteration.loads += _load_input(plan, tile, slot, context)
            loaded["x"] = (input_key, slot)
        if tile.first:
            accumulator = context.next_slot("accumulators")
        iteration.products += products(plan, tile, loaded["x"][1], loaded["weights"][1], accumulator, context.lanes)
        if tile.last:
            output = context.next_slot("output")
            iteration.vectors += requantize_tile(plan, tile, accumulator, output, loaded["parameters"][1], context)
            iteration.stores += store_tile(plan, tile, output, context)
            iteration.writes = (plan.output_name,)
        iterations.append(iteration)
    return iterations


def _tiles(plan: ConvolutionPlan) -> Iterator[Tile]:
    tile, shape = plan.tile, plan.shape
    spatial = list(
        itertools.product(range(shape.images), range(0, shape.rows, tile.rows), range(0, shape.columns, tile.columns))
    )
    channel = range(0, shape.out_blocks, tile.out_blocks)
    reduce = range(0, shape.reduce_blocks, tile.reduce_blocks)
    outer = (
        ((c, s) for c in channel for s in spatial) if tile.weights_outer else ((c, s) for s in spatial for c in channel)
    )
    for (block, (image, row, column)), step in itertools.product(outer, reduce):
        yield Tile(
            image, row, min(tile.rows, shape.rows - row), column, min(tile.columns, shape.columns - column),
            block, min(tile.out_blocks, shape.out_blocks - block),
            step, min(tile.reduce_blocks, shape.reduce_blocks - step),
            step == 0, step + tile.reduce_blocks >= shape.reduce_blocks,
        )  # fmt: skip


def _load_weights(plan: ConvolutionPlan, tile: Tile, slots: tuple[int, int], context: Context) -> list[Instruction]:
    """The weight tile and the parameter records of its output blocks, from the constants."""
    lanes = context.lanes
    record = PARAMETER_VECTORS * lanes
    parameters = load(
        REGISTER_CONSTANTS, plan.parameter_offset + tile.block * record, slots[1], tile.blocks * record, []
    )
    if plan.shape.mode == ConvolutionMode.GROUPED:
        start, end = plan.block_offsets[tile.block], plan.block_offsets[tile.block + tile.blocks]
        return load(REGISTER_CONSTANTS, plan.weight_offset + start, slots[0], end - start, []) + parameters
    block_bytes = plan.block_offsets[1]
    step_bytes = block_bytes // plan.shape.reduce_blocks
    run = tile.reduces * step_bytes
    offset = plan.weight_offset + tile.block * block_bytes + tile.reduce * step_bytes
    if plan.shape.mode == ConvolutionMode.DEPTHWISE:
        offset, run = plan.weight_offset + tile.block * block_bytes, block_bytes
    return load(REGISTER_CONSTANTS, offset, slots[0], run, [Loop(tile.blocks, block_bytes, run)]) + parameters


def _load_input(plan: ConvolutionPlan, tile: Tile, slot: int, context: Context) -> list[Instruction]:
    if plan.shape.mode == ConvolutionMode.IM2COL:
        return _gather_windows(plan, tile, slot, context)
    shape, x = plan.shape, plan.x
    rows = clip_window(tile.row, tile.rows, shape.kernel[0], shape.strides[0], shape.dilations[0], plan.pads[0], x.rows)
    columns = clip_window(
        tile.column,
        tile.columns,
        shape.kernel[1],
        shape.strides[1],
        shape.dilations[1],
        plan.pads[1],
        x.columns,
    )
    return load_window(
        plan.x_storage, x, tile.image, plan.input_range(tile), rows, columns, plan.input_strides(tile), slot,
        plan.operator.inputs[0].zero_byte, context.lanes,
    )  # fmt: skip


def _gather_windows(plan: ConvolutionPlan, tile: Tile, slot: int, context: Context) -> list[Instruction]:
    """One record of whole vectors per output position: the kernel's rows, each one run of the host-padded image."""
    layout = plan.x_storage.layout
    _, channels, height, width = layout.view
    padded_width = width + layout.pads[1] + layout.pads[3]
    padded_height = height + layout.pads[0] + layout.pads[2]
    row, record = padded_width * channels, plan.shape.reduce_blocks * context.lanes
    stride_y, stride_x = plan.operator.strides
    kernel_rows, kernel_columns = plan.operator.weights.shape[2:]
    run = kernel_columns * channels
    offset = plan.x_storage.offset + tile.image * padded_height * row
    offset += tile.row * stride_y * row + tile.column * stride_x * channels
    loops = [
        Loop(tile.rows, stride_y * row, tile.columns * record),
        Loop(tile.columns, stride_x * channels, record),
        Loop(kernel_rows, plan.operator.dilations[0] * row, run),
    ]
    return load(plan.x_storage.register, offset, slot, run, loops)
