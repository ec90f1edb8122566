"""Element-by-element comparison of outputs, with differences in steps of the output's scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

__all__ = ["Difference", "compare", "output_scale"]

Array = npt.NDArray[Any]

MOVES = frozenset({"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"})
"""Operators that only move elements, so that a per-tensor scale is still theirs behind them."""


@dataclass(frozen=True)
class Difference:
    """Elements compared, how many differ in any bit, and the largest difference in steps (infinite if only
    one of the two is finite)."""

    elements: int
    mismatches: int
    steps: float


def compare(expected: Array, actual: Array, scale: float | None) -> Difference:
    """Compare two arrays of equal dtype and shape bit by bit; NaNs count as equal to each other.

    The step is 1 for integers and truth values, `scale` for floats where it is given, and otherwise one unit
    in the last place. Raises ValueError for unequal dtypes or shapes.
    """
    if expected.dtype != actual.dtype or expected.shape != actual.shape:
        raise ValueError(
            f"{actual.dtype} {list(actual.shape)} cannot be compared with {expected.dtype} {list(expected.shape)}"
        )
    if expected.dtype.kind == "f":
        return _compare_floats(expected, actual, scale)
    different = expected != actual
    count = int(np.count_nonzero(different))
    if not count or expected.dtype.kind not in "iu":
        return Difference(expected.size, count, float(count > 0))
    return Difference(expected.size, count, float(_distance(expected, actual).max()))


def _compare_floats(expected: Array, actual: Array, scale: float | None) -> Difference:
    integer = np.dtype(f"i{expected.dtype.itemsize}")
    bits, other = np.ascontiguousarray(expected).view(integer), np.ascontiguousarray(actual).view(integer)
    different = (bits != other) & ~(np.isnan(expected) & np.isnan(actual))
    count = int(np.count_nonzero(different))
    if not count:
        return Difference(expected.size, 0, 0.0)
    first, second = expected[different], actual[different]
    if not (np.isfinite(first) & np.isfinite(second)).all():
        return Difference(expected.size, count, float("inf"))
    if scale is not None:
        gap = np.abs(first.astype(np.float64) - second.astype(np.float64))
        return Difference(expected.size, count, float(gap.max() / scale))
    return Difference(expected.size, count, float(_distance(_ordered(first), _ordered(second)).max()))


def _ordered(values: Array) -> Array:
    """Integers that order as the floats do, consecutive floats one apart (both zeros are 0)."""
    integer = np.dtype(f"i{values.dtype.itemsize}")
    bits = np.ascontiguousarray(values).view(integer)
    return np.asarray(np.where(bits < 0, np.iinfo(integer).min - bits, bits))


def _distance(first: Array, second: Array) -> Array:
    """|first − second| of integers, unsigned, so that it cannot overflow."""
    unsigned = np.dtype(f"u{first.dtype.itemsize}")
    high, low = np.maximum(first, second), np.minimum(first, second)
    return np.asarray(np.ascontiguousarray(high).view(unsigned) - np.ascontiguousarray(low).view(unsigned))


def output_scale(model: onnx.ModelProto, output: str) -> float | None:
    """The scale of a float output that comes from DequantizeLinear (the smallest, where it has one per
    channel).

    None where the output comes from elsewhere or the scale is not a constant.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    name = output
    while name in producers and producers[name].op_type in MOVES:
        name = producers[name].input[0]
    node = producers.get(name)
    if node is None or node.op_type != "DequantizeLinear":
        return None
    scale = _constant(model, producers, node.input[1])
    if scale is None or not scale.size or not scale.min() > 0:
        return None
    return float(scale.min())


def _constant(model: onnx.ModelProto, producers: dict[str, onnx.NodeProto], name: str) -> Array | None:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            return numpy_helper.to_array(tensor)
    node = producers.get(name)
    if node is None or node.op_type != "Constant":
        return None
    for attribute in node.attribute:
        if attribute.name == "value":
            return numpy_helper.to_array(attribute.t)
        if attribute.name == "value_float":
            return np.array(attribute.f, np.float32)
    return None
