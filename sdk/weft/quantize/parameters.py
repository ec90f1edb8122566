"""Scales and zero points from ranges, weights and biases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft.frontend.graph import Array

FloatArray = npt.NDArray[np.float32]
STEPS = 255
WEIGHT_LIMIT = 127
# Products and quotients of two scales stay normal float32 numbers.
LEAST_SCALE = 2.0**-60
# Half of the int32 accumulator; the other half is for products, enough for 33,000 terms of the greatest
# magnitude.
BIAS_LIMIT = 2**30


@dataclass(frozen=True)
class ActivationParameters:
    """uint8 storage of one tensor: real = (stored - zero_point) * scale."""

    scale: np.float32
    zero_point: np.uint8


def activation_parameters(low: float, high: float) -> ActivationParameters:
    """Parameters for the range [low, high], widened to hold 0, which is stored exactly.

    uint8 rather than int8: the accelerator subtracts either's zero point, Relu's clip coincides with the
    type's lower limit in both, and ONNX Runtime has exact uint8-by-uint8 kernels on every x86 CPU to fall
    back to as a reference.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if high == low:
        return ActivationParameters(np.float32(1.0), np.uint8(0))
    scale = np.float32(max((high - low) / STEPS, LEAST_SCALE))
    zero_point = np.clip(np.rint(-low / np.float64(scale)), 0, STEPS)
    return ActivationParameters(scale, np.uint8(zero_point))


def quantize_activation(values: Array, parameters: ActivationParameters) -> npt.NDArray[np.uint8]:
    """A constant stored like an activation: round half to even, saturated."""
    steps = np.rint(values.astype(np.float32) / parameters.scale).astype(np.float64) + int(parameters.zero_point)
    return np.asarray(np.clip(steps, 0, STEPS).astype(np.uint8))


@dataclass(frozen=True)
class WeightParameters:
    """int8 storage of weights, symmetric: real = stored * scale. `scale` has the shape () or [channels]."""

    stored: npt.NDArray[np.int8]
    scale: FloatArray


def quantize_weights(
    weights: Array, axis: int | None, bias: Array | None, input_scale: np.float32 | None
) -> WeightParameters:
    """Weights as int8 in -127..127, one scale per index of `axis`, or one for all where `axis` is None.

    A channel's scale is its greatest magnitude / 127, raised where needed so that the bias, which is stored
    with the scale input_scale * scale, fits int32 together with the products. Channels that are all zero take
    the greatest scale.
    """
    magnitude = np.abs(weights.astype(np.float64))
    others = tuple(index for index in range(weights.ndim) if index != axis) if axis is not None else None
    scale = np.atleast_1d(magnitude.max(axis=others) / WEIGHT_LIMIT)
    scale = np.where(scale > 0, scale, scale.max() if scale.max() > 0 else 1.0)
    if bias is not None and input_scale is not None:
        needed = np.abs(bias.astype(np.float64)) / (np.float64(input_scale) * BIAS_LIMIT)
        scale = np.maximum(scale, needed if axis is not None else needed.max())
    scale = np.maximum(scale, LEAST_SCALE).astype(np.float32)
    aligned = scale if axis is None else scale.reshape([-1 if index == axis else 1 for index in range(weights.ndim)])
    stored = np.clip(np.rint(weights.astype(np.float64) / aligned), -WEIGHT_LIMIT, WEIGHT_LIMIT).astype(np.int8)
    return WeightParameters(stored, scale.reshape(()) if axis is None else scale)


def quantize_bias(bias: Array, input_scale: np.float32, weight_scale: FloatArray) -> tuple[Array, FloatArray]:
    """The bias as int32 and its scale, exactly float32(input_scale * weight_scale)."""
    scale = np.broadcast_to(np.float32(input_scale) * weight_scale, bias.shape).astype(np.float32)
    steps = np.rint(bias.astype(np.float64) / scale.astype(np.float64))
    return np.clip(steps, -BIAS_LIMIT, BIAS_LIMIT).astype(np.int32), scale
