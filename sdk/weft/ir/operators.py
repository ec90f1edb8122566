"""Operator groups of the integer graph that the accelerator computes as one, with everything needed to do so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

__all__ = [
    "AveragePool",
    "BinaryKind",
    "Convolution",
    "Elementwise",
    "MaxPool",
    "Operator",
    "TableLookup",
    "Tensor",
    "View",
]


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


class BinaryKind(Enum):
    """What joins two operands element by element."""

    ADD = "Add"
    SUBTRACT = "Sub"
    MULTIPLY = "Mul"
    MAXIMUM = "Max"
    MINIMUM = "Min"


@dataclass(frozen=True)
class Elementwise(Operator):
    """y = clamp(rint(kind(fa, fb) / sy) + zy, low, high), f = (q − z) · s in float32.

    Both operands have the output's shape, or the second is (n or 1, c, 1, 1) and repeats over height and width.
    `constant` is the second operand's q where that is constant (then `inputs` has the first only, and `second`
    describes the constant), else None.
    """

    kind: BinaryKind
    second: Tensor
    constant: npt.NDArray[np.generic] | None
    low: int
    high: int

    @property
    def per_channel(self) -> bool:
        """Whether the second operand repeats over height and width, and maybe over the batch."""
        return self.second.shape != self.output.shape

    @property
    def second_view(self) -> tuple[int, int, int, int]:
        """The second operand's (n, c, h, w), aligned at the end as ONNX broadcasts where it repeats."""
        if not self.per_channel:
            return self.second.view
        n, c, h, w = (1,) * (4 - len(self.second.shape)) + self.second.shape
        return (n, c, h, w)


@dataclass(frozen=True)
class TableLookup(Operator):
    """Any function of one value: y = table[q mod 256]. `table` is the output's q for each of the 256 patterns of q."""

    table: npt.NDArray[np.int32]


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
