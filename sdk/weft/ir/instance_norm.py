"""Normalization of each image's channels over height and width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft.ir.operators import Operator

__all__ = ["PACKET", "InstanceNorm"]

PACKET = 4
"""Numbers that ONNX Runtime adds at a time."""


@dataclass(frozen=True)
class InstanceNorm(Operator):
    """y = clamp(rint((x·a + (bias − mean·a)) / sy) + zy, low, high), a = 1 / sqrt(variance + epsilon) · scale.

    All in float32 and in ONNX Runtime's order: sums over a plane of n values, n a multiple of PACKET, are eight
    interleaved sums s0 … s7 over the values in order, s0 + s4 … s3 + s7, what n modulo 8 leaves added to these four,
    and (s0 + s2) + (s1 + s3). mean = sum / n; variance = sum of (x − mean)² / n. scale, bias float32 [channels].
    """

    scale: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    epsilon: np.float32
    low: int
    high: int

    @property
    def plane(self) -> int:
        """Values of a channel in an image."""
        _, _, height, width = self.output.view
        return height * width
