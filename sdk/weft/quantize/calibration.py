"""Calibration data: samples in the model's own shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from weft.errors import QuantizationError
from weft.frontend.graph import Array
from weft.frontend.load import load
from weft.frontend.model import Model
from weft.frontend.normalize import NO_SHAPES, normalize
from weft_runtime.executable import TensorSignature

Samples = Mapping[str, npt.NDArray[np.generic]]
RANDOM_SAMPLES = 8
# What passes after the first one work on.
KEPT_SAMPLES = 64
KEPT_BYTES = 64 * 2**20


class CalibrationData:
    """Calibration data, read once: `head` gives the first 64 samples (fewer, but one at least, where these take
    64 MiB), `stream` all of them one by one."""

    def __init__(self, model: Model, calibration: Samples | Iterable[Samples]) -> None:
        self._model = model
        self._calibration = calibration
        self._samples = split_samples(model, calibration)
        self._kept: list[dict[str, Array]] = []
        self._bytes = 0

    @property
    def total(self) -> int:
        """The number of samples, 0 where only reading them all would tell."""
        if not isinstance(self._calibration, Mapping):
            return 0
        counts = (_rows(value, self._calibration.get(value.name)) for value in self._model.inputs)
        return next((count for count in counts if count is not None), 1)

    def head(self) -> tuple[dict[str, Array], ...]:
        """The first samples, read ahead if need be. Raises QuantizationError as `stream` does."""
        while not self._is_full and (sample := next(self._samples, None)) is not None:
            self._keep(sample)
        if not self._kept:
            raise QuantizationError("the calibration data hold no sample; give at least one")
        return tuple(self._kept)

    def stream(self) -> Iterator[dict[str, Array]]:
        """Every sample once. Raises QuantizationError for data that do not fit, that hold NaN, or for none."""
        yield from self.head()
        for sample in self._samples:
            _check_numbers(sample)
            yield sample

    @property
    def _is_full(self) -> bool:
        return len(self._kept) >= KEPT_SAMPLES or self._bytes >= KEPT_BYTES

    def _keep(self, sample: dict[str, Array]) -> None:
        _check_numbers(sample)
        self._kept.append(sample)
        self._bytes += sum(values.nbytes for values in sample.values())


def random_calibration(
    model: Model, seed: int = 0, samples: int = RANDOM_SAMPLES, shapes: Mapping[str, int] = NO_SHAPES
) -> dict[str, Array]:
    """Seeded random inputs, `samples` of them along each leading axis: float standard normal, 8-bit integers
    over their whole range, other integers and booleans 0 or 1. Symbolic extents that `shapes` does not bind
    are 1.
    """
    generator = np.random.default_rng(seed)
    arrays: dict[str, Array] = {}
    for value in normalize(load(model), shapes).inputs:
        extents = [extent if isinstance(extent, int) else 1 for extent in value.shape]
        if extents:
            extents[0] *= samples
        arrays[value.name] = _random(generator, np.dtype(value.dtype), extents)
    return arrays


def split_samples(model: Model, calibration: Samples | Iterable[Samples]) -> Iterator[dict[str, Array]]:
    """Feeds for one run of `model` each, from arrays that hold k times the model's batch along the leading
    axis.

    Inputs of rank 0 are repeated for each sample. Raises QuantizationError for missing and unknown inputs,
    types that do not convert, and extents that do not fit.
    """
    for arrays in (calibration,) if isinstance(calibration, Mapping) else calibration:
        _check_names(model, arrays)
        counts = {value.name: _count(value, np.asarray(arrays[value.name])) for value in model.inputs}
        split = {name: count for name, count in counts.items() if count is not None}
        if len(set(split.values())) > 1:
            stated = ", ".join(f"'{name}': {count}" for name, count in split.items())
            raise QuantizationError(f"calibration inputs hold different numbers of samples ({stated})")
        for index in range(next(iter(split.values()), 1)):
            yield {value.name: _sample(value, np.asarray(arrays[value.name]), index) for value in model.inputs}


def _check_numbers(sample: Samples) -> None:
    for name, values in sample.items():
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise QuantizationError(f"calibration input '{name}' holds nan; give data without")


def _rows(value: TensorSignature, array: npt.NDArray[np.generic] | None) -> int | None:
    """How many samples an array seems to hold, before it is checked."""
    batch, extents = _batch(value), np.shape(array) if array is not None else ()
    return extents[0] // max(batch, 1) or 1 if batch is not None and extents else None


def _check_names(model: Model, arrays: Samples) -> None:
    wanted = [value.name for value in model.inputs]
    missing = [name for name in wanted if name not in arrays]
    unknown = [name for name in arrays if name not in wanted]
    if missing:
        raise QuantizationError(
            f"calibration lacks the model's input '{missing[0]}'; it has: {', '.join(arrays) or 'none'}"
        )
    if unknown:
        raise QuantizationError(f"calibration has '{unknown[0]}', which is no input; inputs are: {', '.join(wanted)}")


def _batch(value: TensorSignature) -> int | None:
    """Rows per sample, or None for inputs without a leading axis."""
    if not value.shape or value.shape == ("...",):
        return None
    return value.shape[0] if isinstance(value.shape[0], int) else 1


def _count(value: TensorSignature, array: Array) -> int | None:
    """How many samples an array holds; None where it is one value for all."""
    batch = _batch(value)
    fits = array.ndim == len(value.shape) and all(
        isinstance(wanted, str) or wanted == extent
        for wanted, extent in zip(value.shape[1:], array.shape[1:], strict=False)
    )
    if batch is None:
        fits = value.shape == ("...",) or array.ndim == 0
    if not fits or (batch is not None and not _divides(batch, array.shape[0])):
        raise QuantizationError(
            f"calibration input '{value.name}' has the shape {list(array.shape)}; "
            f"the model wants {list(value.shape)}, the leading axis times the number of samples"
        )
    dtype = np.dtype(value.dtype)
    if not (np.can_cast(array.dtype, dtype, "same_kind") or (array.dtype.kind in "iub" and dtype.kind == "f")):
        raise QuantizationError(f"calibration input '{value.name}' is {array.dtype}; the model wants {value.dtype}")
    return None if batch is None else array.shape[0] // max(batch, 1) or 1


def _divides(batch: int, rows: int) -> bool:
    """Whether so many rows are one or more samples of a model with this batch, which may itself be empty."""
    return rows == 0 if batch == 0 else rows > 0 and rows % batch == 0


def _sample(value: TensorSignature, array: Array, index: int) -> Array:
    batch = _batch(value)
    rows = array if batch is None else array[index * batch : (index + 1) * batch]
    return np.ascontiguousarray(rows).reshape(rows.shape).astype(value.dtype, copy=False)


def _random(generator: np.random.Generator, dtype: np.dtype[Any], extents: list[int]) -> Array:
    if dtype.kind == "f":
        return np.asarray(generator.standard_normal(extents)).astype(dtype)
    if dtype in (np.int8, np.uint8):
        limits = np.iinfo(dtype)
        return np.asarray(generator.integers(limits.min, limits.max, extents, dtype, endpoint=True))
    if dtype.kind in "iub":
        return np.asarray(generator.integers(0, 2, extents)).astype(dtype)
    raise QuantizationError(f"no random inputs can be made of type {dtype}; give calibration data")
