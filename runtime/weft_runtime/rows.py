"""Samples as rows of tensors that hold several: taken out, and put together, in memory or by copying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from weft_runtime.errors import SessionError
from weft_runtime.layout import unpack
from weft_runtime.values import DeviceCopy, Value

__all__ = ["Row", "adopt", "rows_array", "sample_array", "sliced", "span", "together"]

Array = npt.NDArray[Any]


@dataclass(eq=False)
class Row:
    """One sample's tensor: row `index` of a value. Where samples are put together anew, their rows move to the result,
    so that what nobody needs is let go."""

    value: Value
    index: int = 0


def sample_array(value: Value, index: int) -> Any:
    """One sample's tensor of a value that the host has."""
    if not value.rows:
        return value.array
    return value.array[index, ...] if value.stacked else value.array[index : index + 1]


def sliced(value: Value, start: int, count: int) -> Value | None:
    """Consecutive rows as a value of their own (with `count` 0: one row, as one sample's tensor), in place; None where
    these do not lie together anywhere."""
    stop = start + max(1, count)
    copies = [found for copy in value.copies if (found := _slice_of(copy, value, start, count)) is not None]
    if not value.on_host:
        return Value(copies=copies, rows=count, stacked=value.stacked) if copies else None
    array = value.array[start:stop] if count else sample_array(value, start)
    return Value(array, True, copies, count, value.stacked)


def span(copy: DeviceCopy, value: Value, indices: Sequence[int]) -> DeviceCopy | None:
    """The least consecutive rows of a device's copy in which these rows are; None where rows do not lie together."""
    low, high = min(indices), max(indices)
    return _slice_of(copy, value, low, high - low + 1)


def _slice_of(copy: DeviceCopy, value: Value, start: int, count: int) -> DeviceCopy | None:
    layout, rows = copy.layout, max(1, count)
    if layout.view[0] != value.rows or not value.rows:
        return None
    size = layout.nbytes // value.rows
    inner = copy.shape[1:]
    shape = (rows, *inner) if count or not value.stacked else inner
    view = (rows, *layout.view[1:])
    return replace(copy, address=copy.address + start * size, layout=replace(layout, view=view), shape=shape)


def rows_array(packed: npt.NDArray[np.uint8], copy: DeviceCopy) -> Array:
    """Bytes that were read from a device's copy, as an array."""
    return unpack(packed, copy.layout, copy.shape, copy.dtype)


def together(samples: Sequence[Any], size: int) -> Value:
    """The tensors of several samples as one value of `size` rows; the last one fills up what is left. Raises
    SessionError where they differ in shape or type."""
    first = samples[0]
    kinds = {(each.shape, each.dtype) if isinstance(each, np.ndarray) else None for each in samples}
    if len(kinds) > 1 or None in kinds:
        raise SessionError("samples that should run together have tensors of different shapes or types")
    padded = [*samples, *[samples[-1]] * (size - len(samples))]
    stacked = not (first.ndim and first.shape[0] == 1)
    return Value(np.stack(padded) if stacked else np.concatenate(padded), True, [], size, stacked)


def adopt(value: Value, size: int, stacked: bool) -> Value:
    """What a sub-network for several samples has made. Raises SessionError where it does not hold so many."""
    shapes = [copy.shape for copy in value.copies]
    if value.on_host:
        shapes.append(np.shape(value.array) if isinstance(value.array, np.ndarray) else ())
    if any(not shape or shape[0] != size for shape in shapes):
        raise SessionError(f"a sub-network for {size} samples gives another number of them")
    value.rows, value.stacked = size, stacked
    return value
