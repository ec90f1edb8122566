"""Compile-time proofs that multiplying by a constant gives what ONNX's division by the output scale gives.

The hardware multiplies every cycle but divides slowly. An 8-bit input has 256 values and a pair of them 65,536, so a
candidate constant is simply tried on all of them; where no candidate passes, the emitter divides.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from weft.ir.operators import BinaryKind, Tensor

__all__ = ["dequantized", "reciprocal_for_pairs", "reciprocal_for_values"]

Floats = npt.NDArray[np.float32]


def dequantized(tensor: Tensor) -> Floats:
    """DequantizeLinear of every q of the type, smallest first: float32 [256]."""
    low, high = tensor.limits
    q = np.arange(low, high + 1, dtype=np.int32) - tensor.zero_point
    result: Floats = q.astype(np.float32) * tensor.scale
    return result


def reciprocal_for_values(values: Floats, output: Tensor, low: int, high: int) -> np.float32 | None:
    """A float32 r with clamp(rint(v · r) + z, low, high) = clamp(rint(v / s) + z, low, high) for every v, or None."""
    scale = output.scale
    bounds = (np.float32(low - output.zero_point), np.float32(high - output.zero_point))
    wanted = np.clip(np.rint(values / scale), *bounds)
    for candidate in _candidates(scale):
        if np.isfinite(candidate) and np.array_equal(np.clip(np.rint(values * candidate), *bounds), wanted):
            return candidate
    return None


@functools.lru_cache(maxsize=1024)
def reciprocal_for_pairs(
    kind: BinaryKind, a: Tensor, b: Tensor, output: Tensor, low: int, high: int
) -> np.float32 | None:
    """The same for all 65,536 float32 results of joining a dequantized a and a dequantized b."""
    fa, fb = np.broadcast_arrays(dequantized(a)[:, None], dequantized(b)[None, :])
    return reciprocal_for_values(JOIN[kind](fa, fb).reshape(-1), output, low, high)


JOIN: dict[BinaryKind, Callable[[Floats, Floats], Floats]] = {
    BinaryKind.ADD: np.add,
    BinaryKind.SUBTRACT: np.subtract,
    BinaryKind.MULTIPLY: np.multiply,
    BinaryKind.MAXIMUM: np.maximum,
    BinaryKind.MINIMUM: np.minimum,
}


def _candidates(scale: np.float32) -> list[np.float32]:
    """1/s rounded, then its neighbours by growing distance."""
    with np.errstate(over="ignore"):
        center = np.float32(1) / scale
    found = [center]
    up = down = center
    for _ in range(4):
        up, down = np.nextafter(up, np.float32(np.inf)), np.nextafter(down, np.float32(0))
        found += [up, down]
    return found
