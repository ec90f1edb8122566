"""Conversion between logical tensors and their blocked, padded form in device DRAM."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weft_runtime.errors import LayoutError
from weft_runtime.executable import Layout

__all__ = ["DEVICE_DTYPES", "blank", "pack", "pack_into", "unpack"]

DEVICE_DTYPES = ("int8", "uint8")
"""Element types that tensors at a region's boundary may have."""

Bytes = npt.NDArray[np.uint8]


def blank(layout: Layout) -> Bytes:
    """A packed buffer, uint8 [layout.nbytes], that holds `fill` everywhere."""
    return np.full(layout.nbytes, layout.fill, np.uint8)


def pack(array: npt.NDArray[Any], layout: Layout) -> Bytes:
    """Lay out an int8 or uint8 array of `layout.elements` elements (any shape, row-major) as uint8
    [layout.nbytes].

    Raises LayoutError if the element count or the data type does not fit.
    """
    buffer = blank(layout)
    pack_into(buffer, array, layout)
    return buffer


def pack_into(buffer: Bytes, array: npt.NDArray[Any], layout: Layout) -> None:
    """As `pack`, into a buffer from `blank(layout)`: writes only the tensor's own bytes, so a buffer can be
    reused."""
    logical = _as_bytes(array, layout)
    packed = _interior(buffer, layout)
    samples, channels, height, width = layout.view
    full = channels // layout.block
    if full:
        whole = logical[:, : full * layout.block].reshape(samples, full, layout.block, height, width)
        packed[:, :full] = whole.transpose(0, 1, 3, 4, 2)
    rest = channels - full * layout.block
    if rest:
        packed[:, full, :, :, :rest] = logical[:, full * layout.block :].transpose(0, 2, 3, 1)


def unpack(buffer: Bytes, layout: Layout, shape: Sequence[int], dtype: str) -> npt.NDArray[Any]:
    """The inverse of `pack`: a fresh array of `shape` and `dtype` ("int8" or "uint8") from uint8
    [layout.nbytes].

    Bytes outside the tensor are ignored. Raises LayoutError if buffer, shape or data type does not fit.
    """
    if dtype not in DEVICE_DTYPES:
        raise LayoutError(f"data type {dtype!r} cannot cross to the device; it must be int8 or uint8")
    if math.prod(shape) != layout.elements:
        raise LayoutError(f"shape {tuple(shape)} does not have the elements of layout view {layout.view}")
    packed = _interior(buffer, layout)
    samples, channels, height, width = layout.view
    logical = np.empty((samples, channels, height, width), np.uint8)
    full = channels // layout.block
    if full:
        whole = logical[:, : full * layout.block].reshape(samples, full, layout.block, height, width)
        whole[...] = packed[:, :full].transpose(0, 1, 4, 2, 3)
    rest = channels - full * layout.block
    if rest:
        logical[:, full * layout.block :] = packed[:, full, :, :, :rest].transpose(0, 3, 1, 2)
    return logical.view(dtype).reshape(shape)


def _as_bytes(array: npt.NDArray[Any], layout: Layout) -> Bytes:
    if array.dtype.name not in DEVICE_DTYPES:
        raise LayoutError(f"data type {array.dtype} cannot cross to the device; it must be int8 or uint8")
    if array.size != layout.elements:
        raise LayoutError(f"array of shape {array.shape} does not have the elements of layout view {layout.view}")
    return np.ascontiguousarray(array).view(np.uint8).reshape(layout.view)


def _interior(buffer: Bytes, layout: Layout) -> Bytes:
    """View of the tensor's own rows and columns: [n, channel blocks, h, w, block]."""
    if buffer.dtype != np.uint8 or buffer.ndim != 1 or buffer.size != layout.nbytes:
        raise LayoutError(f"packed buffer must be uint8 [{layout.nbytes}], not {buffer.dtype} {list(buffer.shape)}")
    top, left, _, _ = layout.pads
    height, width = layout.view[2:]
    return buffer.reshape(layout.packed_shape)[:, :, top : top + height, left : left + width]
