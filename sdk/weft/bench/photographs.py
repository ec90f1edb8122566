"""Crops of uncompressed photographs, for models without labelled data."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from weft.errors import WeftError

__all__ = ["crops", "read_bitmap"]

HEADER = struct.Struct("<10xI4xiihHI")
SMALLEST_CROP = 0.55


def read_bitmap(path: Path) -> npt.NDArray[np.uint8]:
    """A bitmap of 24 bits in uncompressed rows, bottom up: uint8 [height, width, RGB].

    Raises WeftError for a file that is something else.
    """
    data = path.read_bytes()
    if len(data) < HEADER.size or data[:2] != b"BM":
        raise WeftError(f"{path}: not a bitmap")
    start, width, height, _, bits, packing = HEADER.unpack_from(data)
    row = -(-width * 3 // 4) * 4
    if bits != 24 or packing != 0 or width < 1 or height < 1 or start + row * height > len(data):
        raise WeftError(f"{path}: not a bitmap of 24 bits in uncompressed rows, bottom up")
    rows = np.frombuffer(data, np.uint8, row * height, start).reshape(height, row)[::-1, : 3 * width]
    return rows.reshape(height, width, 3)[:, :, ::-1]


def crops(image: npt.NDArray[np.uint8], size: int, count: int) -> npt.NDArray[np.uint8]:
    """Square crops from the whole width or height down to about half of it, in the middle and in the corners by
    turns, brought to `size` by nearest neighbours: uint8 [count, size, size, RGB]."""
    height, width, _ = image.shape
    places = ((0.5, 0.5), (0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0))
    found = []
    for index in range(count):
        side = int(min(height, width) * (1.0 - (1.0 - SMALLEST_CROP) * index / max(count - 1, 1)))
        down, right = places[index % len(places)]
        rows = int((height - side) * down) + ((np.arange(size) + 0.5) * side / size).astype(int)
        columns = int((width - side) * right) + ((np.arange(size) + 0.5) * side / size).astype(int)
        found.append(image[rows][:, columns])
    return np.stack(found)
