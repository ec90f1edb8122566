"""Values of different paths made one: which leaves are tensors, which are known, and which cannot be merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch.utils import _pytree as pytree

from weft.frontend.torch.location import refuse
from weft.frontend.torch.scalars import NUMBER_DTYPES, RANKS, Scalar, fits


class Unusable:
    """Stands for a value that does not exist on every path; any use of it is an error that says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.origin = refuse(reason)

    def fail(self) -> NoReturn:
        """Raises SourceError at the user's line that reads the value."""
        raise refuse(self.reason)

    def fail_at_origin(self) -> NoReturn:
        """Raises SourceError at the user's line behind which the value does not exist."""
        raise self.origin

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        for leaf in pytree.tree_leaves((args, kwargs)):
            if isinstance(leaf, Unusable):
                leaf.fail()

    def __bool__(self) -> bool:
        self.fail()


class Absent:
    """The value of a return that was not reached; nothing reads it."""


ABSENT = Absent()


@dataclass(frozen=True)
class Slot:
    """A merged leaf that control flow hands on as a tensor: `number` if Python has a number there."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    number: bool

    def tensor(self, leaf: Any) -> torch.Tensor:
        """One path's leaf as this slot's tensor, recorded in the current region."""
        if isinstance(leaf, Absent):
            return torch.zeros(self.shape, dtype=self.dtype)
        if isinstance(leaf, Scalar):
            return leaf.tensor.to(self.dtype)
        if isinstance(leaf, torch.Tensor):
            return leaf
        return torch.full((), leaf, dtype=self.dtype)

    def leaf(self, tensor: torch.Tensor) -> Any:
        """What Python sees of this slot's tensor."""
        return Scalar(tensor) if self.number else tensor


@dataclass(frozen=True)
class Known:
    """A merged leaf that is the same Python object or number on every path."""

    value: Any


Merged = Slot | Known


def is_data(value: Any) -> bool:
    """Whether a value depends on data."""
    return isinstance(value, torch.Tensor | Scalar)


@dataclass(frozen=True)
class Pair:
    """One leaf of two paths' values: how they merge, and what each path has there."""

    merged: Merged
    one: Any
    other: Any


Subject = str | Sequence[Any]


def merge(one: Any, other: Any, subject: Subject) -> tuple[list[Pair], Any]:
    """How the leaves of two paths' values become one, and the structure around them.

    `subject` names the value in messages, or each of a tuple's elements. What cannot be merged becomes
    Known(Unusable), which fails where it is read.
    """
    return pytree.tree_flatten(_merged_tree(one, other, subject), is_leaf=lambda each: isinstance(each, Pair))


def _merged_tree(one: Any, other: Any, subject: Subject) -> Any:
    if isinstance(one, Absent) and not isinstance(other, Absent):
        return pytree.tree_map(lambda leaf: Pair(merge_leaf(ABSENT, leaf, _text(subject)), ABSENT, leaf), other)
    if isinstance(other, Absent):
        return pytree.tree_map(lambda leaf: Pair(merge_leaf(leaf, ABSENT, _text(subject)), leaf, ABSENT), one)
    if type(one) is type(other) and isinstance(one, list | tuple) and len(one) == len(other):
        subjects = [subject] * len(one) if isinstance(subject, str) or len(subject) != len(one) else subject
        parts = [_merged_tree(*each) for each in zip(one, other, subjects, strict=True)]
        return type(one)(*parts) if hasattr(one, "_fields") else type(one)(parts)
    if type(one) is type(other) and isinstance(one, dict) and list(one) == list(other):
        return type(one)((key, _merged_tree(one[key], other[key], subject)) for key in one)
    return Pair(merge_leaf(one, other, _text(subject)), one, other)


def _text(subject: Subject) -> str:
    return subject if isinstance(subject, str) else "the result"


def merge_leaf(one: Any, other: Any, subject: str) -> Merged:
    """How two paths' leaves become one."""
    if isinstance(one, Unusable) or isinstance(other, Unusable):
        return Known(one if isinstance(one, Unusable) else other)
    if isinstance(one, Absent):
        one, other = other, one
    if isinstance(other, Absent):
        return _alone(one)
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if one.dtype == other.dtype and one.shape == other.shape:
            return Slot(one.dtype, tuple(one.shape), number=False)
    elif _is_number(one) and _is_number(other):
        return _merge_numbers(one, other)
    elif _is_number(one) or _is_number(other):
        number, tensor = (one, other) if _is_number(one) else (other, one)
        if isinstance(tensor, torch.Tensor) and tensor.dim() == 0:
            if isinstance(number, Scalar) and number.tensor.dtype == tensor.dtype:
                return Slot(tensor.dtype, (), number=False)
            if not isinstance(number, Scalar) and fits(number, tensor.dtype):
                return Slot(tensor.dtype, (), number=False)
    elif one is other or (type(one) is type(other) and isinstance(one, str | bytes | torch.dtype) and one == other):
        return Known(one)
    return Known(
        Unusable(f"{subject} is {_kind(one)} on one path and {_kind(other)} on another, and which one depends on data")
    )


def _alone(leaf: Any) -> Merged:
    if isinstance(leaf, torch.Tensor):
        return Slot(leaf.dtype, tuple(leaf.shape), number=False)
    if isinstance(leaf, Scalar):
        return Slot(leaf.tensor.dtype, (), number=True)
    return Known(leaf)


def _merge_numbers(one: Any, other: Any) -> Merged:
    if not isinstance(one, Scalar) and not isinstance(other, Scalar) and type(one) is type(other) and one == other:
        return Known(one)
    kinds = [each.kind if isinstance(each, Scalar) else type(each) for each in (one, other)]
    return Slot(NUMBER_DTYPES[max(kinds, key=RANKS.__getitem__)], (), number=True)


def _is_number(leaf: Any) -> bool:
    return isinstance(leaf, Scalar | bool | int | float)


def _kind(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {list(value.shape)}"
    if isinstance(value, Scalar):
        return f"a number ({value.kind.__name__})"
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, bool | int | float | str) or value is None:
        return repr(value)
    return f"a {type(value).__name__}"
