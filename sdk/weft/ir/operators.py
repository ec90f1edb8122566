"""Operator groups of the integer graph that the accelerator computes as one, with everything needed to do so."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Self

import numpy as np
import numpy.typing as npt

__all__ = [
    "AveragePool",
    "BinaryKind",
    "Convolution",
    "Elementwise",
    "MaxPool",
    "Movement",
    "Operator",
    "RowProduct",
    "SumOrder",
    "TableLookup",
    "Tensor",
    "View",
    "in_form",
    "same_bytes",
]


class Form(Enum):
    """How a tensor of rank 3 or 4 is seen as (n, c, h, w). IMAGE: axis 1 is the channels, as convolutions need it.
    MATRIX: the last axis is, all others are rows: what products and operators along the last axis need. Tensors of
    lower rank are the same in both forms."""

    IMAGE = "image"
    MATRIX = "matrix"


@dataclass(frozen=True)
class Tensor:
    """A quantized activation. `shape` is static, rank 1 to 4; real value = (q − zero_point) · scale."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: np.float32
    zero_point: int
    form: Form = Form.IMAGE

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest q of the type."""
        return (-128, 127) if self.dtype == "int8" else (0, 255)

    @property
    def view(self) -> tuple[int, int, int, int]:
        """The shape as (n, c, h, w). MATRIX: (rows, columns, 1, 1). IMAGE: missing trailing dimensions are 1, rank 3
        is (n, c, 1, w)."""
        if len(self.shape) >= 3 and self.form == Form.MATRIX:
            return (math.prod(self.shape[:-1]), self.shape[-1], 1, 1)
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

    @property
    def inexact(self) -> str:
        """How far its result may be from the reference's, proven; empty where it is the same for every input."""
        return ""

    def forms(self, lanes: int) -> Sequence[tuple[Form, ...]]:
        """The forms that the tensors (inputs, then output) may have together, the preferred one first."""
        return [(Form.IMAGE,) * (len(self.inputs) + 1)]

    def with_forms(self, forms: Mapping[str, Form]) -> Operator:
        """The same operator with its tensors, by name, in these forms."""
        return self._in_forms(forms)

    def _in_forms(self, forms: Mapping[str, Form]) -> Self:
        inputs = tuple(in_form(tensor, forms) for tensor in self.inputs)
        return dataclasses.replace(self, inputs=inputs, output=in_form(self.output, forms))


def in_form(tensor: Tensor, forms: Mapping[str, Form]) -> Tensor:
    """The tensor in the form that the mapping gives its name, if any."""
    form = forms.get(tensor.name, tensor.form)
    return tensor if form == tensor.form else dataclasses.replace(tensor, form=form)


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
class RowProduct(Convolution):
    """Each row of an activation [..., K] times a constant matrix: a 1×1 convolution over the rows."""

    def forms(self, lanes: int) -> Sequence[tuple[Form, ...]]:
        return [(Form.MATRIX, Form.MATRIX)]


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

    def forms(self, lanes: int) -> Sequence[tuple[Form, ...]]:
        if self.per_channel:
            return super().forms(lanes)
        return [(form,) * (len(self.inputs) + 1) for form in Form]

    def with_forms(self, forms: Mapping[str, Form]) -> Operator:
        constant = {self.second.name: forms.get(self.output.name, self.output.form)}
        second = in_form(self.second, forms if self.constant is None else constant)
        return dataclasses.replace(self._in_forms(forms), second=second)


@dataclass(frozen=True)
class TableLookup(Operator):
    """Any function of one value: y = table[q mod 256]. `table` is the output's q for each of the 256 patterns of q."""

    table: npt.NDArray[np.int32]

    def forms(self, lanes: int) -> Sequence[tuple[Form, ...]]:
        return [(form, form) for form in Form]


@dataclass(frozen=True)
class MaxPool(Operator):
    """Maximum over windows, then requantized from the input's to the output's scale; padding never wins."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]
    low: int
    high: int


class SumOrder(Enum):
    """In which order a pooling window's values are added. PARTIAL: four interleaved partial sums over the flattened
    window; COLUMNS: each column over its rows, then the column sums; ROWS: row by row."""

    PARTIAL = "partial"
    COLUMNS = "columns"
    ROWS = "rows"


@dataclass(frozen=True)
class AveragePool(Operator):
    """Mean over windows of dequantized values, quantized; summation order as ONNX Runtime's kernels.

    Padding adds zeros. The sum at row i and column j is divided by row_counts[i] · column_counts[j]. `order` is that of
    the sum.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    row_counts: tuple[int, ...]
    column_counts: tuple[int, ...]
    order: SumOrder
    low: int
    high: int


@dataclass(frozen=True)
class View(Operator):
    """A reshape that moves no byte: the output names the input's storage under another shape."""

    def forms(self, lanes: int) -> Sequence[tuple[Form, ...]]:
        found = [
            (source, target)
            for source, target in itertools.product(Form, Form)
            if same_bytes(_seen(self.inputs[0], source), _seen(self.output, target), lanes)
        ]
        n, c, h, w = _seen(self.inputs[0], Form.IMAGE)
        flattens = _seen(self.output, Form.IMAGE) == (n, c * h * w, 1, 1) and (Form.IMAGE, Form.IMAGE) not in found
        return [*found, (Form.IMAGE, Form.IMAGE)] if flattens else found


def _seen(tensor: Tensor, form: Form) -> tuple[int, int, int, int]:
    return dataclasses.replace(tensor, form=form).view


def same_bytes(a: tuple[int, int, int, int], b: tuple[int, int, int, int], lanes: int) -> bool:
    """Whether two views of one tensor put every element at the same byte of channel blocks of `lanes`."""
    return a == b or _digits(a, lanes) == _digits(b, lanes)


def _digits(view: tuple[int, int, int, int], lanes: int) -> list[tuple[int, int]]:
    """The element's byte as a mixed-radix number in row-major order: (radix, stride) of each digit, joined where they
    continue each other. A partly filled last block is told apart by its radix, which is then no multiple of lanes."""
    n, c, h, w = view
    blocks, plane = -(-c // lanes), h * w * lanes
    channel = [(blocks, plane), (lanes, 1)] if c % lanes == 0 else [(c, -plane if blocks > 1 and h * w > 1 else 1)]
    result: list[tuple[int, int]] = []
    for radix, stride in [(n, blocks * plane), *channel, (h, w * lanes), (w, lanes)]:
        if radix == 1:
            continue
        if result and result[-1][1] == radix * stride:
            result[-1] = (result[-1][0] * radix, stride)
        else:
            result.append((radix, stride))
    return result


@dataclass(frozen=True)
class Movement(Operator):
    """Elements moved: concatenation, slicing, padding, transposition, reshapes, in any combination.

    Elements of the inputs are numbered row-major, one input after the other. `index` int64 [output elements] holds for
    each element of the output the number of the one it is, or −1 − byte where it is a constant. `tables[i]` uint8
    [256] gives the output's byte for each byte of input i (a change of scale), None where they are the same.
    """

    index: npt.NDArray[np.int64]
    tables: tuple[npt.NDArray[np.uint8] | None, ...]

    def forms(self, lanes: int) -> Sequence[tuple[Form, ...]]:
        count = len(self.inputs) + 1
        if count > 4:  # not worth 2^count combinations
            return [(form,) * count for form in Form]
        return sorted(itertools.product(Form, repeat=count), key=lambda forms: len(set(forms)))
