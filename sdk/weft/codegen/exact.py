"""Compile-time proofs that multiplying by a constant gives what ONNX's division by the output scale gives.

The hardware multiplies every cycle but divides slowly. An 8-bit input has 256 values and a pair of them 65,536, so a
candidate constant is simply tried on all of them; where no candidate passes, the emitter divides.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft.ir.operators import BinaryKind, Tensor

__all__ = ["PairConstants", "constants_for_pairs", "dequantized", "reciprocal_for_values"]

NEAR_TIE = 1e-3
"""Steps: more than what roundings of float32 can move a quotient of at most 512."""

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


@dataclass(frozen=True)
class PairConstants:
    """Factors of both operands' q − z before they are joined, and of the result."""

    a: np.float32
    b: np.float32
    result: np.float32


@functools.lru_cache(maxsize=1024)
def constants_for_pairs(
    kind: BinaryKind, a: Tensor, b: Tensor, output: Tensor, low: int, high: int
) -> PairConstants | None:
    """Constants that give the same for all 65,536 pairs as dequantizing, joining and dividing by the output's scale.

    The scales and 1 / s mostly do; else their neighbours are tried, first on the pairs close to a tie. None where all
    fail.
    """
    fa, fb = np.broadcast_arrays(dequantized(a)[:, None], dequantized(b)[None, :])
    joined = JOIN[kind](fa, fb).reshape(-1)
    reciprocal = reciprocal_for_values(joined, output, low, high)
    if reciprocal is not None:
        return PairConstants(a.scale, b.scale, reciprocal)
    return _neighbouring_constants(kind, (a, b), joined, output, (low, high))


def _neighbouring_constants(
    kind: BinaryKind, operands: tuple[Tensor, Tensor], joined: Floats, output: Tensor, limits: tuple[int, int]
) -> PairConstants | None:
    bounds = [np.float32(limit - output.zero_point) for limit in limits]
    wanted = np.clip(np.rint(joined / output.scale), *bounds)
    whole = [np.arange(low, high + 1) - each.zero_point for each in operands for low, high in [each.limits]]
    qa, qb = (each.astype(np.float32).reshape(-1) for each in np.meshgrid(*whole, indexing="ij"))
    exact = joined.astype(np.float64) / np.float64(output.scale)
    ties = np.abs(np.abs(exact - np.rint(exact)) - 0.5) < NEAR_TIE
    with np.errstate(over="ignore", invalid="ignore"):
        for scales in itertools.product(_candidates(output.scale), *(_neighbours(each.scale) for each in operands)):
            found = PairConstants(scales[1], scales[2], scales[0])
            if np.array_equal(_joined(kind, qa[ties], qb[ties], found, bounds), wanted[ties]) and np.array_equal(
                _joined(kind, qa, qb, found, bounds), wanted
            ):
                return found
    return None


def _joined(kind: BinaryKind, qa: Floats, qb: Floats, by: PairConstants, bounds: list[np.float32]) -> Floats:
    result: Floats = np.clip(np.rint(JOIN[kind](qa * by.a, qb * by.b) * by.result), *bounds)
    return result


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
        return _neighbours(np.float32(1) / scale)


def _neighbours(center: np.float32) -> list[np.float32]:
    """The value and its neighbours by growing distance."""
    found = [center]
    up = down = center
    for _ in range(4):
        up, down = np.nextafter(up, np.float32(np.inf)), np.nextafter(down, np.float32(0))
        found += [up, down]
    return found
