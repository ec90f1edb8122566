"""Python's built-in functions on numbers that depend on data."""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from weft.frontend.torch.branches import branch, predicate
from weft.frontend.torch.location import refuse
from weft.frontend.torch.merging import is_data
from weft.frontend.torch.recorder import Recorder
from weft.frontend.torch.scalars import RANKS, Scalar, item_of, scalar


@dataclass(frozen=True)
class DataRange:
    """A range whose bounds depend on data: `count` numbers from `start` on; the step is known."""

    start: Any
    step: Any
    count: Any


def truth(value: Any) -> Scalar:
    """bool(value) of what depends on data."""
    return Scalar(predicate(value))


def truth_value(value: Any) -> Any:
    """bool(value) of anything."""
    return truth(value) if is_data(value) else bool(value)


def negated(value: Any) -> Scalar:
    """`not value`."""
    return Scalar(torch.logical_not(predicate(value)))


def both(recorder: Recorder, left: Any, right: Callable[[], Any], cheap: bool, exact: bool) -> Any:
    """`left and right()` where `left` depends on data."""
    condition = truth(left)
    if not cheap:
        path = _checked(left, right, exact)
        return branch(recorder, condition, path, lambda: _plain(left, exact), (), ())
    other = _checked(left, right, exact)()
    return _combined(torch.logical_and, left, other, condition, exact)


def either(recorder: Recorder, left: Any, right: Callable[[], Any], cheap: bool, exact: bool) -> Any:
    """`left or right()` where `left` depends on data."""
    condition = truth(left)
    if not cheap:
        path = _checked(left, right, exact)
        return branch(recorder, condition, lambda: _plain(left, exact), path, (), ())
    other = _checked(left, right, exact)()
    return _combined(torch.logical_or, left, other, condition, exact)


def _plain(left: Any, exact: bool) -> Any:
    return left if exact else truth(left)


def _checked(left: Any, right: Callable[[], Any], exact: bool) -> Callable[[], Any]:
    """The right side; as a truth value where no more is asked, refused where Python would give one side's own value."""

    def evaluated() -> Any:
        value = right()
        if not exact:
            return truth_value(value)
        for side in (left, value):
            tensor = side.tensor if isinstance(side, Scalar) else side
            if not isinstance(side, bool) and not (isinstance(tensor, torch.Tensor) and tensor.dtype is torch.bool):
                raise refuse(
                    "'and' or 'or' gives one of two values, chosen by data; only "
                    "truth values can be combined so, use an if"
                )
        return value

    return evaluated


def _combined(function: Callable[..., torch.Tensor], left: Any, other: Any, condition: Scalar, exact: bool) -> Any:
    if exact and isinstance(left, torch.Tensor) and isinstance(other, torch.Tensor) and left.shape == other.shape:
        return function(left, other)
    if exact and not all(isinstance(each, Scalar | bool) or each.dim() == 0 for each in (left, other)):
        raise refuse("'and' or 'or' gives one of two values of different shapes, chosen by data; use an if")
    value = truth(other) if is_data(other) else Scalar(torch.full((), bool(other), dtype=torch.bool))
    return Scalar(function(condition.tensor, value.tensor))


def same(one: Any, other: Any) -> bool:
    """`one is other`; refused where a branch's copy could be what Python has as the same object."""
    if one is not other and is_data(one) and is_data(other):
        raise refuse("'is' between two values that depend on data; which objects are the same may depend on the path")
    return one is other


def contains(container: Any, value: Any) -> Any:
    """`value in container`, by comparison with each element where any depends on data."""
    if isinstance(container, torch.Tensor):
        return Scalar((container == value).any())
    if isinstance(container, dict):
        container = list(container)
    if not isinstance(container, list | tuple | set | range):
        return value in container
    if not is_data(value) and not any(is_data(each) for each in container):
        return value in container
    found = Scalar(torch.full((), False, dtype=torch.bool))
    for each in container:
        equal = value == each
        if is_data(equal):
            found = Scalar(torch.logical_or(found.tensor, predicate(equal)))
        elif equal:
            return True
    return found


def _number(value: Any, kind: type) -> Any:
    number = item_of(value) if isinstance(value, torch.Tensor) else value
    return number.to(kind)


def _absolute(value: Any) -> Any:
    return abs(value)


def _extreme(name: str, values: tuple[Any, ...], key: Any) -> Any:
    """min or max: the first of equal ones, as in Python, which equal numbers cannot tell apart."""
    if key is not None:
        raise refuse(f"{name}() with a key depends on data; write an if")
    items = list(values[0]) if len(values) == 1 else list(values)
    if any(isinstance(each, torch.Tensor) and each.dim() > 0 for each in items):
        raise refuse(f"{name}() of tensors with more than one element; use torch.{name}imum")
    numbers = [scalar(item_of(each) if isinstance(each, torch.Tensor) else each) for each in items]
    if any(each is None for each in numbers):
        raise refuse(f"{name}() of what is no number depends on data")
    kind = max((each.kind for each in numbers if each is not None), key=RANKS.__getitem__)
    kind = int if kind is bool else kind
    function = torch.minimum if name == "min" else torch.maximum
    return Scalar(functools.reduce(function, [each.to(kind).tensor for each in numbers if each is not None]))


def _range(*bounds: Any) -> DataRange:
    exact = [item_of(each) if isinstance(each, torch.Tensor) else each for each in bounds]
    start, stop, step = (0, exact[0], 1) if len(exact) == 1 else (*exact, 1)[:3]
    if is_data(step):
        raise refuse("the step of this range depends on data; only its bounds may")
    count = (stop - start + (step - 1)) // step if step > 0 else (start - stop + (-step - 1)) // -step
    return DataRange(start, step, count)


def _sum(values: Any, start: Any = 0) -> Any:
    return functools.reduce(lambda one, other: one + other, values, start)


def _round(value: Any, digits: Any = None) -> Any:
    if digits is not None:
        raise refuse("round() to digits depends on data; use torch.round")
    number = item_of(value) if isinstance(value, torch.Tensor) else value
    return Scalar(torch.round(number.tensor).to(torch.int64)) if number.kind is float else number


def _isinstance(value: Any, kinds: Any) -> bool:
    return issubclass(value.kind, kinds) if isinstance(value, Scalar) else isinstance(value, kinds)


def _type(value: Any) -> Any:
    return value.kind if isinstance(value, Scalar) else type(value)


def text(value: Any) -> Any:
    """A value that becomes text; refused where it depends on data."""
    if is_data(value):
        raise refuse("the text of a value that depends on data; a compiled program has no text")
    return value


def _any(values: Any) -> Any:
    return Scalar(functools.reduce(torch.logical_or, [_truth_tensor(each) for each in values]))


def _all(values: Any) -> Any:
    return Scalar(functools.reduce(torch.logical_and, [_truth_tensor(each) for each in values]))


def _truth_tensor(value: Any) -> torch.Tensor:
    return predicate(value) if is_data(value) else torch.full((), bool(value), dtype=torch.bool)


def _tensor(values: Any, dtype: torch.dtype | None = None) -> torch.Tensor:
    """torch.tensor of numbers, some of which depend on data."""
    if isinstance(values, list | tuple):
        parts = [_tensor(each) for each in values]
        common = functools.reduce(torch.promote_types, [part.dtype for part in parts])
        stacked = torch.stack([part.to(common) for part in parts])
        return stacked if dtype is None else stacked.to(dtype)
    if isinstance(values, torch.Tensor):
        made = values.clone()
    elif isinstance(values, Scalar):
        made = values.tensor.to(torch.get_default_dtype()) if values.kind is float else values.tensor.clone()
    else:
        made = torch.tensor(values)
    return made if dtype is None else made.to(dtype)


def _full(size: Any, fill_value: Any, dtype: torch.dtype | None = None) -> torch.Tensor:
    return _tensor(fill_value, dtype).expand(size).clone()


# What a built-in function becomes where one of its arguments depends on data.
ON_DATA: Mapping[Any, Callable[..., Any]] = {
    builtins.bool: lambda value: truth(value),
    builtins.int: lambda value: _number(value, int),
    builtins.float: lambda value: _number(value, float),
    builtins.abs: _absolute,
    builtins.min: lambda *values, key=None, default=None: _extreme("min", values, key),
    builtins.max: lambda *values, key=None, default=None: _extreme("max", values, key),
    builtins.range: _range,
    builtins.round: _round,
    builtins.isinstance: _isinstance,
    builtins.type: _type,
    builtins.str: text,
    builtins.repr: text,
    builtins.format: text,
    builtins.print: lambda *values, **options: None,
    builtins.any: _any,
    builtins.all: _all,
    torch.tensor: _tensor,
    torch.full: _full,
}


def takes_data(args: Iterable[Any]) -> bool:
    """Whether a built-in function's arguments depend on data, directly or as elements of a list or tuple."""
    return any(
        is_data(each) or (isinstance(each, list | tuple) and any(is_data(inner) for inner in each)) for each in args
    )
