"""Operator groups of the integer graph that the accelerator computes as one, with everything needed to do so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["AveragePool", "Convolution", "ElementwiseAdd", "MaxPool", "Operator", "Tensor", "View"]


@dataclass(frozen=True)
class Tensor:
    """A quantized activation. `shape` is static, rank 1 to 4; real value = (q − zero_point) · scale."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: np.float32
    zero_point: int

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest q of the type."""
        return (-128, 127) if self.dtype == "int8" else (0, 255)

    @property
    def view(self) -> tuple[int, int, int, int]:
        """The shape as (n, c, h, w): missing trailing dimensions are 1; rank 3 is (n, c, 1, w)."""
        if len(self.shape) == 3:
            return (self.shape[0], self.shape[1], 1, self.shape[2])
        padded = (*self.shape, 1, 1, 1, 1)[:4]
        return (padded[0], padded[1], padded[2], padded[3]) if len(self.shape) != 1 else (1, padded[0], 1, 1)

    @property
    def zero_byte(self) -> int:
        """The zero point as the raw byte 0..255."""
        return self.zero_point & 0xFF


@dataclass(frozen=True)
class Operator:
    """Common to all: `nodes` are the integer graph's nodes that it stands for, the last one producing `output`.

    `low` and `high` clamp the output's q (a fused Relu or Clip, else the type's limits).
    """

    name: str
    nodes: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    output: Tensor

    @property
    def macs(self) -> int:
        """Multiply-accumulates as ONNX counts them, before any padding."""
        return 0


@dataclass(frozen=True)
class Convolution(Operator):
    """QLinearConv (or a matrix product as a 1×1 convolution).

    weights [O, I/group, kh, kw] int8 or uint8; bias int32 [O]; multiplier float32 [O] = (sx·sw)/sy in float32;
    y = clamp(rint(float32(Σ(x − zx)(w − zw) + bias) · multiplier) + zy, low, high). pads = top, left, bottom, right.
    """

    weights: npt.NDArray[np.generic]
    weight_zero_point: int
    bias: npt.NDArray[np.int32]
    multiplier: npt.NDArray[np.float32]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]
    group: int
    low: int
    high: int

    @property
    def macs(self) -> int:
        n, _, h, w = self.output.view
        return int(n * h * w * self.weights.size)


@dataclass(frozen=True)
class ElementwiseAdd(Operator):
    """y = clamp(rint((fa + fb) / sy) + zy, low, high), f = (q − z) · s in float32, both operands of one shape."""

    low: int
    high: int


@dataclass(frozen=True)
class MaxPool(Operator):
    """Maximum over windows, then requantized from the input's to the output's scale; padding never wins."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]
    low: int
    high: int


@dataclass(frozen=True)
class AveragePool(Operator):
    """Mean over unpadded windows of dequantized values, quantized; summation order as ONNX Runtime's kernels."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    is_global: bool
    low: int
    high: int


@dataclass(frozen=True)
class View(Operator):
    """A reshape that moves no byte: the output names the input's storage under another shape."""
