"""Constants per channel: offsets once as float rows, then one VPU pass over each tile."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from weft.codegen.context import Context
from weft.codegen.epilogue import output_clamp, source
from weft.codegen.iteration import Iteration
from weft.codegen.transfer import load, store
from weft.ir.affine import ChannelAffine, ChannelSlopes
from weft.ir.operators import BinaryKind
from weft.schedule.areas import Areas
from weft_runtime.executable import REGISTER_CONSTANTS
from weft_sim.isa import PARAMETER_VECTORS, Destination, Instruction, Operation, Source, Vector
from weft_sim.machine import MachineConfig

__all__ = ["affine_tile", "channel_records", "emit_affine"]

TILES = 4
PerChannel = ChannelAffine | ChannelSlopes


@dataclass(frozen=True)
class AffineTile:
    """Channel blocks, and positions of each."""

    blocks: int
    positions: int


def affine_tile(operator: PerChannel, config: MachineConfig) -> AffineTile | None:
    """Whole planes of several channel blocks, or parts of one plane; None where not even one vector fits."""
    areas, lanes = Areas.of(config), config.lanes
    plane, blocks = _plane(operator), -(-operator.output.view[1] // lanes)
    vectors = min(areas.x_bytes, areas.output_bytes) // lanes
    records = min((areas.weight_bytes // lanes - 1) // (2 * PARAMETER_VECTORS), areas.accumulator_rows, vectors)
    if records < 1:
        return None
    if operator.output.view[2:] == (1, 1):  # rows: positions are images, and a row's blocks lie side by side
        return AffineTile(blocks, max(1, min(vectors // blocks, -(-plane // TILES)))) if blocks <= records else None
    if plane > vectors:
        return AffineTile(1, vectors)
    return AffineTile(max(1, min(records, vectors // plane, -(-blocks // TILES))), plane)


def _plane(operator: PerChannel) -> int:
    """Positions that follow each other in storage for the same channel block, or for all of them side by side."""
    n, _, h, w = operator.output.view
    return n if h * w == 1 else h * w


def emit_affine(operator: PerChannel, tile: AffineTile, context: Context) -> list[Iteration]:
    """One iteration per tile; its constants come with it."""
    n, channels, h, w = operator.output.view
    blocks, plane = -(-channels // context.lanes), _plane(operator)
    offset = context.constants.add(_records(operator, context.lanes))
    is_rows = h * w == 1
    places = itertools.product(
        range(1 if is_rows else n), range(0, blocks, tile.blocks), range(0, plane, tile.positions)
    )
    iterations = []
    for image, block, position in places:
        count, positions = min(tile.blocks, blocks - block), min(tile.positions, plane - position)
        first = position * blocks if is_rows else (image * blocks + block) * plane + position
        iterations.append(_iteration(operator, context, offset, first, block, count, positions, is_rows=is_rows))
    return iterations


def _iteration(
    operator: PerChannel, context: Context, constants: int, first: int, block: int, blocks: int, positions: int, *,
    is_rows: bool,
) -> Iteration:  # fmt: skip
    x, y, lanes = operator.inputs[0], operator.output, context.lanes
    x_storage, y_storage = context.storage[x.name], context.storage[y.name]
    slots = [context.next_slot(kind) for kind in ("x", "weights", "output", "accumulators")]
    record = 2 * PARAMETER_VECTORS * lanes
    size = blocks * positions * lanes
    iteration = Iteration(operator.name, (x.name,), (y.name,))
    iteration.loads += load(REGISTER_CONSTANTS, constants, slots[1], lanes, [])
    iteration.loads += load(
        REGISTER_CONSTANTS, constants + lanes + block * record, slots[1] + lanes, blocks * record, []
    )
    iteration.loads += load(x_storage.register, x_storage.offset + first * lanes, slots[0], size, [])
    strides = (1, blocks) if is_rows else (positions, 1)
    iteration.vectors += _passes(operator, [slot // lanes for slot in slots[:3]], slots[3], blocks, positions, strides)
    iteration.stores += store(y_storage.register, y_storage.offset + first * lanes, slots[2], size, [])
    return iteration


def _passes(
    operator: PerChannel, slots: list[int], offsets: int, blocks: int, positions: int, strides: tuple[int, int]
) -> list[Instruction]:
    x, constants, output = slots
    block, position = strides
    tensor = operator.inputs[0]
    scaled: dict[str, Any] = {
        **output_clamp(operator.output, operator.low, operator.high),
        "a_source": source(tensor), "a_zero": tensor.zero_point,
        "parameters": 1, "parameter": constants + 1 + PARAMETER_VECTORS, "parameter_stride": 2 * PARAMETER_VECTORS,
        "a": x, "d": output, "count_0": blocks, "a_stride_0": block, "d_stride_0": block,
        "count_4": positions, "a_stride_4": position, "d_stride_4": position,
    }  # fmt: skip
    if isinstance(operator, ChannelSlopes):
        greater = operator.kind == BinaryKind.MAXIMUM
        return [
            Vector(
                **scaled, operation=Operation.MAXIMUM if greater else Operation.MINIMUM,
                b_source=source(tensor), b_zero=tensor.zero_point, b_scale=float(operator.positive),
                b=x, b_stride_0=block, b_stride_4=position,
            )
        ]  # fmt: skip
    return [  # the offsets as rows: zero plus one, times each lane's offset
        Vector(
            a_source=Source.SCRATCHPAD_S8, b_source=Source.IMMEDIATE, destination=Destination.ACCUMULATOR_F32,
            a=constants, d=offsets, parameters=1, parameter=constants + 1, parameter_stride=2 * PARAMETER_VECTORS,
            count_0=blocks, d_stride_0=1,
        ),
        Vector(**scaled, operation=Operation.ADD, b_source=Source.ACCUMULATOR_F32, b=offsets, b_stride_0=1),
    ]  # fmt: skip


def _records(operator: PerChannel, lanes: int) -> bytes:
    if isinstance(operator, ChannelAffine):
        return channel_records(operator.offset, operator.scale, lanes)
    return channel_records(np.zeros_like(operator.negative), operator.negative, lanes)


def channel_records(offsets: npt.NDArray[np.float32], scales: npt.NDArray[np.float32], lanes: int) -> bytes:
    """A vector of zeros, then for each block the record that makes its offsets (of zero) and that of its scales."""
    blocks = -(-scales.size // lanes)
    padded = np.zeros((2, blocks * lanes), np.float32)
    padded[:, : scales.size] = offsets, scales
    pairs = zip(padded[0].reshape(blocks, lanes), padded[1].reshape(blocks, lanes), strict=True)
    records = [
        np.full(lanes, bias, "<i4").tobytes() + values.astype("<f4").tobytes()
        for pair in pairs
        for bias, values in zip((1, 0), pair, strict=True)
    ]
    return bytes(lanes) + b"".join(records)
