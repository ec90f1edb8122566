"""Arrays in `.npz` files, and random model inputs where none are given."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weft.report.errors import ReportError
from weft_runtime.errors import InputError
from weft_runtime.executable import TensorSignature
from weft_runtime.inputs import UNKNOWN_SHAPE, check_inputs, samples_of, take_samples

__all__ = ["Arrays", "first_samples", "load_arrays", "random_arrays", "save_arrays"]

Arrays = dict[str, npt.NDArray[Any]]

NO_SHAPES: Mapping[str, int] = {}

UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def load_arrays(path: str | os.PathLike[str]) -> Arrays:
    """The arrays of an `.npz` file by name. Pickled objects are refused. Raises InputError naming the
    file."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise InputError(f"{path}: a single array; give an .npz file with one array per model input, by name")
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except UNREADABLE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise InputError(f"{path}: cannot read the arrays: {reason[:200]}") from error


def save_arrays(path: str | os.PathLike[str], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write an `.npz` file, any names allowed; strings become fixed-width. Raises ReportError naming the
    file."""
    try:
        with zipfile.ZipFile(path, "w") as archive:
            for name, array in arrays.items():
                plain = array.astype(str) if array.dtype == object else array
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.asanyarray(plain), allow_pickle=False)
    except OSError as error:
        raise ReportError(f"{path}: cannot write the outputs: {error.strerror or error}") from error


def first_samples(
    arrays: Mapping[str, Any], signatures: Sequence[TensorSignature], batch: int, count: int | None
) -> Arrays:
    """The first `count` samples, or all. Raises InputError for arrays that do not fit, or hold fewer
    samples."""
    inputs = tuple(signatures)
    checked = check_inputs(arrays, inputs)
    held = samples_of(checked, inputs, batch)
    if count is not None and held < count:
        raise InputError(f"the inputs hold {held} samples, fewer than the {count} asked for")
    return take_samples(checked, inputs, batch, 0, held if count is None else count)


def random_arrays(
    signatures: Sequence[TensorSignature],
    batch: int,
    samples: int,
    seed: int,
    shapes: Mapping[str, int] = NO_SHAPES,
) -> Arrays:
    """Seeded random inputs for `samples` samples: standard normal floats, 8-bit integers over their whole
    range, wider ones 0 or 1 (they are mostly indices, lengths and flags), strings empty.

    A symbolic leading extent is the batch, wherever it stands; `shapes` gives others. Raises InputError where
    one is left open.
    """
    generator = np.random.default_rng(seed)
    leading = {each.shape[0] for each in signatures if each.shape} - set(UNKNOWN_SHAPE)
    sizes = {**shapes, **{extent: batch for extent in leading if isinstance(extent, str)}}
    return {each.name: _random_array(generator, each, sizes, samples) for each in signatures}


def _random_array(
    generator: np.random.Generator, signature: TensorSignature, sizes: Mapping[str, int], samples: int
) -> npt.NDArray[Any]:
    free = [extent for extent in signature.shape if isinstance(extent, str) and extent not in sizes]
    if free:
        if free[0] == UNKNOWN_SHAPE[0]:
            raise InputError(f"input {signature.name!r} has no shape: give inputs in an .npz file")
        raise InputError(
            f"input {signature.name!r} leaves its extent {free[0]!r} open: give inputs in an .npz file, "
            f"or the extent (--shape {free[0]}=SIZE)"
        )
    shape = [sizes[extent] if isinstance(extent, str) else extent for extent in signature.shape]
    if shape:
        shape[0] *= samples
    if signature.dtype == "object":
        return np.full(shape, "", object)
    dtype = np.dtype(signature.dtype)
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low, high = (limits.min, limits.max + 1) if dtype.itemsize == 1 else (0, 2)
        return generator.integers(low, high, shape).astype(dtype)
    return np.asarray(generator.standard_normal(shape).astype(dtype))
