"""Scales and zero points from ranges, weights and biases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft.frontend.graph import Array
from weft.quantize.options import StorageType, Symmetry

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
    """8-bit storage of one tensor: real = (stored - zero_point) * scale; the type is the zero point's."""

    scale: np.float32
    zero_point: np.uint8 | np.int8

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest storable value."""
        info = np.iinfo(self.zero_point.dtype)
        return int(info.min), int(info.max)


def activation_parameters(
    low: float, high: float, storage: StorageType = "uint8", symmetry: Symmetry = "asymmetric"
) -> ActivationParameters:
    """Parameters for the range [low, high], widened to hold 0, which is stored exactly.

    Asymmetric: 255 steps from low to high. Symmetric: 127 steps on either side of the type's middle. uint8 by
    default rather than int8: the accelerator subtracts either's zero point, Relu's clip coincides with the
    type's lower limit in both, and ONNX Runtime has exact uint8-by-uint8 kernels on every x86 CPU to fall
    back to as a reference.
    """
    info = np.iinfo(storage)
    middle = 128 if storage == "uint8" else 0
    low, high = min(low, 0.0), max(high, 0.0)
    if high == low:
        zero_point: float = int(info.min) if symmetry == "asymmetric" else middle
        return ActivationParameters(np.float32(1.0), _as_stored(zero_point, storage))
    if symmetry == "symmetric":
        scale = np.float32(max(max(-low, high) / WEIGHT_LIMIT, LEAST_SCALE))
        return ActivationParameters(scale, _as_stored(middle, storage))
    scale = np.float32(max((high - low) / STEPS, LEAST_SCALE))
    zero_point = np.clip(np.rint(-low / np.float64(scale)), 0, STEPS) + info.min
    return ActivationParameters(scale, _as_stored(zero_point, storage))


def quantize_activation(values: Array, parameters: ActivationParameters) -> npt.NDArray[np.uint8 | np.int8]:
    """A constant stored like an activation: round half to even, saturated."""
    steps = np.rint(values.astype(np.float32) / parameters.scale).astype(np.float64) + int(parameters.zero_point)
    return np.asarray(np.clip(steps, *parameters.limits).astype(parameters.zero_point.dtype))


@dataclass(frozen=True)
class WeightParameters:
    """8-bit storage of weights: real = (stored - zero_point) * scale. `scale` and `zero_point` have the shape
    () or [channels]."""

    stored: npt.NDArray[np.int8 | np.uint8]
    scale: FloatArray
    zero_point: npt.NDArray[np.int8 | np.uint8]


def quantize_weights(
    weights: Array,
    axis: int | None,
    bias: Array | None,
    input_scale: np.float32 | None,
    storage: StorageType = "int8",
    symmetry: Symmetry = "symmetric",
) -> WeightParameters:
    """Weights in 8 bits, one scale per index of `axis`, or one for all where `axis` is None.

    Symmetric: a channel's scale is its greatest magnitude / 127, stored around the type's middle (0 or 128).
    Asymmetric (`axis` must be None): 255 steps from the least to the greatest weight, 0 included. Scales are
    raised where needed so that the bias, which is stored with the scale input_scale * scale, fits int32
    together with the products. Channels that are all zero take the greatest scale.
    """
    if symmetry == "asymmetric":
        return _asymmetric_weights(weights, axis, bias, input_scale, storage)
    magnitude = np.abs(weights.astype(np.float64))
    others = tuple(index for index in range(weights.ndim) if index != axis) if axis is not None else None
    scale = np.atleast_1d(magnitude.max(axis=others) / WEIGHT_LIMIT)
    scale = np.where(scale > 0, scale, scale.max() if scale.max() > 0 else 1.0)
    if bias is not None and input_scale is not None:
        needed = _scale_for_bias(bias, input_scale)
        scale = np.maximum(scale, needed if axis is not None else needed.max())
    scale = np.maximum(scale, LEAST_SCALE).astype(np.float32)
    aligned = scale if axis is None else scale.reshape([-1 if index == axis else 1 for index in range(weights.ndim)])
    middle = 128 if storage == "uint8" else 0
    steps = np.clip(np.rint(weights.astype(np.float64) / aligned), -WEIGHT_LIMIT, WEIGHT_LIMIT)
    scale = scale.reshape(()) if axis is None else scale
    zero_point = np.full(scale.shape, middle, storage)
    return WeightParameters((steps + middle).astype(storage), scale, zero_point)


def _asymmetric_weights(
    weights: Array, axis: int | None, bias: Array | None, input_scale: np.float32 | None, storage: StorageType
) -> WeightParameters:
    assert axis is None, "integer kernels take one zero point for all channels"
    low, high = min(float(weights.min()), 0.0), max(float(weights.max()), 0.0)
    scale = max((high - low) / STEPS if high > low else 1.0, LEAST_SCALE)
    if bias is not None and input_scale is not None:
        scale = max(scale, float(_scale_for_bias(bias, input_scale).max()))
    info, scale = np.iinfo(storage), np.float64(np.float32(scale))
    zero_point = int(np.clip(np.rint(-low / scale), 0, STEPS)) + info.min
    stored = np.clip(np.rint(weights.astype(np.float64) / scale) + zero_point, info.min, info.max)
    return WeightParameters(stored.astype(storage), np.asarray(np.float32(scale)), np.asarray(zero_point, storage))


def _scale_for_bias(bias: Array, input_scale: np.float32) -> npt.NDArray[np.float64]:
    return np.asarray(np.abs(bias.astype(np.float64)) / (np.float64(input_scale) * BIAS_LIMIT))


def quantize_bias(bias: Array, input_scale: np.float32, weight_scale: FloatArray) -> tuple[Array, FloatArray]:
    """The bias as int32 and its scale, exactly float32(input_scale * weight_scale)."""
    scale = np.broadcast_to(np.float32(input_scale) * weight_scale, bias.shape).astype(np.float32)
    steps = np.rint(bias.astype(np.float64) / scale.astype(np.float64))
    return np.clip(steps, -BIAS_LIMIT, BIAS_LIMIT).astype(np.int32), scale


def _as_stored(value: float, storage: StorageType) -> np.uint8 | np.int8:
    return np.uint8(value) if storage == "uint8" else np.int8(value)
