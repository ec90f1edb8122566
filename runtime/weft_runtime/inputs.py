"""Model inputs: checked against the signatures, and cut into samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from weft_runtime.errors import InputError
from weft_runtime.executable import TensorSignature

__all__ = ["CONTAINERS", "UNKNOWN_SHAPE", "check_inputs", "samples_of", "split_samples", "take_samples"]

Array = npt.NDArray[Any]

UNKNOWN_SHAPE = ("...",)
"""Shape of an input whose rank the model leaves open: any array fits, and all samples share it."""

CONTAINERS = frozenset({"sequence", "optional", "map"})
"""What stands for the data type of values that are no tensors: lists, arrays or None, and dictionaries. Only the host
takes and gives them, they have UNKNOWN_SHAPE, and all samples share them."""


def check_inputs(inputs: Mapping[str, npt.ArrayLike], signatures: tuple[TensorSignature, ...]) -> dict[str, Array]:
    """The inputs as arrays in the signatures' order.

    Raises InputError naming the input that is unknown, missing, or of the wrong data type or shape. The
    leading axis may be any multiple of the model's; `samples_of` checks that.
    """
    known = [signature.name for signature in signatures]
    for name in inputs:
        if name not in known:
            raise InputError(f"the model has no input {name!r}; its inputs are {', '.join(map(repr, known)) or 'none'}")
    for name in known:
        if name not in inputs:
            raise InputError(f"input {name!r} is missing; the model's inputs are {', '.join(map(repr, known))}")
    return {signature.name: _check_one(inputs[signature.name], signature) for signature in signatures}


def samples_of(arrays: Mapping[str, Array], signatures: tuple[TensorSignature, ...], batch: int) -> int:
    """How many samples the arrays hold: their leading extents ÷ the model's (a symbolic one counts as
    `batch`).

    Inputs without axes are shared by all samples. Raises InputError where the extents do not divide or
    disagree.
    """
    counts = {}
    for signature in signatures:
        if not _is_split(signature):
            continue
        leading = len(arrays[signature.name])
        unit = _unit(signature, batch)
        if leading == unit == 0:
            continue
        if not leading or not unit or leading % unit:
            raise InputError(
                f"input {signature.name!r}: its leading axis of {leading} "
                f"must be a positive multiple of the model's {unit}"
            )
        counts[signature.name] = leading // unit
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name!r} has {count}" for name, count in counts.items())
        raise InputError(f"the inputs hold different numbers of samples: {found}")
    return next(iter(counts.values()), 1)


def split_samples(
    arrays: Mapping[str, Array], signatures: tuple[TensorSignature, ...], batch: int
) -> Iterator[dict[str, Array]]:
    """The inputs of one sample after the other, each with the model's own leading extent."""
    for sample in range(samples_of(arrays, signatures, batch)):
        yield take_samples(arrays, signatures, batch, sample, sample + 1)


def take_samples(
    arrays: Mapping[str, Array], signatures: tuple[TensorSignature, ...], batch: int, start: int, stop: int
) -> dict[str, Array]:
    """Samples `start` to `stop` (exclusive) of every input; inputs that all samples share come whole."""
    return {
        each.name: arrays[each.name][start * _unit(each, batch) : stop * _unit(each, batch)]
        if _is_split(each)
        else arrays[each.name]
        for each in signatures
    }


def _is_split(signature: TensorSignature) -> bool:
    """Whether samples follow each other along the leading axis: not for scalars, nor where no rank is
    known."""
    return bool(signature.shape) and signature.shape != UNKNOWN_SHAPE


def _unit(signature: TensorSignature, batch: int) -> int:
    leading = signature.shape[0]
    return batch if isinstance(leading, str) else leading


def _admits(expected: int | str, found: int) -> bool:
    return isinstance(expected, str) or expected == found


def _check_one(value: Any, signature: TensorSignature) -> Any:
    if signature.dtype in CONTAINERS:
        return _check_container(value, signature)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"input {signature.name!r} is no array: {error}") from error
    if array.dtype.kind == "U" and signature.dtype == "object":
        array = array.astype(object)
    if array.dtype.name != signature.dtype:
        raise InputError(
            f"input {signature.name!r} must be {signature.dtype}, not {array.dtype.name}; convert it first"
        )
    expected = signature.shape
    fits = expected == UNKNOWN_SHAPE or (
        array.ndim == len(expected) and all(map(_admits, expected[1:], array.shape[1:]))
    )
    if not fits:
        shown = ", ".join(str(extent) for extent in expected)
        raise InputError(f"input {signature.name!r} must have shape [{shown}], not {list(array.shape)}")
    # ONNX Runtime and the packing both want native byte order and C order.
    return np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape)


def _check_container(value: Any, signature: TensorSignature) -> Any:
    """Lists are copied, so that nobody else's later change shows; ONNX Runtime checks what is in them."""
    kind = {"sequence": (list, tuple), "map": (dict,), "optional": (list, tuple, np.ndarray, np.generic, type(None))}
    if not isinstance(value, kind[signature.dtype]):
        raise InputError(f"input {signature.name!r} must be a {signature.dtype}, not {type(value).__name__}")
    return list(value) if isinstance(value, tuple | list) else value
