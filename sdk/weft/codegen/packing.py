"""Weights and parameters in the order in which the MXU and the VPU read them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from weft.ir.operators import Convolution

__all__ = [
    "dense_weights",
    "depthwise_weights",
    "grouped_weights",
    "im2col_weights",
    "needed_blocks",
    "parameter_records",
]

Array = npt.NDArray[np.generic]


def _tiles(matrix: Array, lanes: int, zero: int) -> Array:
    """[outputs, inputs, taps] → [output blocks, input blocks, taps, input lane, output lane], padded with `zero`."""
    outputs, inputs, taps = matrix.shape
    out_blocks, in_blocks = -(-outputs // lanes), -(-inputs // lanes)
    padded = np.full((out_blocks * lanes, in_blocks * lanes, taps), zero, matrix.dtype)
    padded[:outputs, :inputs] = matrix
    return padded.reshape(out_blocks, lanes, in_blocks, lanes, taps).transpose(0, 2, 4, 3, 1)


def dense_weights(operator: Convolution, lanes: int) -> bytes:
    """[out block][in block][kernel row][kernel column][input lane][output lane]."""
    weights = operator.weights
    flat = weights.reshape(weights.shape[0], weights.shape[1], -1)
    return np.ascontiguousarray(_tiles(flat, lanes, operator.weight_zero_point)).tobytes()


def im2col_weights(operator: Convolution, lanes: int) -> bytes:
    """[out block][vector of the gathered window][window lane][output lane]; windows are (row, column, channel)."""
    weights = operator.weights
    flat = weights.transpose(0, 2, 3, 1).reshape(weights.shape[0], -1, 1)
    return np.ascontiguousarray(_tiles(flat, lanes, operator.weight_zero_point)).tobytes()


def depthwise_weights(operator: Convolution, lanes: int) -> bytes:
    """[channel block][tap][lane]."""
    channels = operator.weights.shape[0]
    blocks = -(-channels // lanes)
    taps = operator.weights.reshape(channels, -1)
    padded = np.full((blocks * lanes, taps.shape[1]), operator.weight_zero_point, taps.dtype)
    padded[:channels] = taps
    return np.ascontiguousarray(padded.reshape(blocks, lanes, -1).transpose(0, 2, 1)).tobytes()


def needed_blocks(operator: Convolution, lanes: int) -> list[range]:
    """For each output block of a grouped convolution, the input blocks that its groups read."""
    outputs, per_group = operator.weights.shape[0], operator.weights.shape[1]
    outputs_per_group = outputs // operator.group
    result = []
    for start in range(0, outputs, lanes):
        last = min(start + lanes, outputs) - 1
        first_input = start // outputs_per_group * per_group
        last_input = (last // outputs_per_group + 1) * per_group - 1
        result.append(range(first_input // lanes, last_input // lanes + 1))
    return result


def grouped_weights(operator: Convolution, lanes: int) -> tuple[bytes, list[int]]:
    """[out block][needed in block][kernel row][kernel column][input lane][output lane], zero outside the groups.

    Also returns the byte offset of each output block.
    """
    weights, zero = operator.weights, operator.weight_zero_point
    outputs, per_group = weights.shape[:2]
    outputs_per_group = outputs // operator.group
    data, offsets = bytearray(), []
    for block, needed in enumerate(needed_blocks(operator, lanes)):
        offsets.append(len(data))
        base = needed.start * lanes
        dense = np.full((lanes, len(needed) * lanes, weights.shape[2] * weights.shape[3]), zero, weights.dtype)
        for lane in range(min(lanes, outputs - block * lanes)):
            output = block * lanes + lane
            first = output // outputs_per_group * per_group - base
            dense[lane, first : first + per_group] = weights[output].reshape(per_group, -1)
        data += np.ascontiguousarray(_tiles(dense, lanes, zero)).tobytes()
    return bytes(data), offsets


def parameter_records(operator: Convolution, lanes: int) -> bytes:
    """One VPU parameter record per output block: int32 bias per lane, then float32 multiplier per lane."""
    outputs = operator.weights.shape[0]
    blocks = -(-outputs // lanes)
    bias = np.zeros(blocks * lanes, "<i4")
    scale = np.zeros(blocks * lanes, "<f4")
    bias[:outputs], scale[:outputs] = operator.bias, operator.multiplier
    records = np.stack(
        [bias.reshape(blocks, lanes).view(np.uint8), scale.reshape(blocks, lanes).view(np.uint8)], axis=1
    )
    return records.tobytes()
