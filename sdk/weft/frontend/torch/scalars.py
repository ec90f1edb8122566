"""Numbers that depend on data: what `item()` gives, with Python's arithmetic, computed by scalar tensors."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.utils import _pytree as pytree

from weft.frontend.torch.location import refuse

NUMBER_DTYPES = {bool: torch.bool, int: torch.int64, float: torch.float64}
KINDS = {dtype: kind for kind, dtype in NUMBER_DTYPES.items()}
RANKS = {bool: 0, int: 1, float: 2}


class Scalar:
    """A Python bool, int or float whose value depends on data. `tensor` holds it: shape (), bool, int64 or float64.

    Integers are 64 bits wide, where Python's have no bound.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    @property
    def kind(self) -> type:
        """The Python type that eager execution has here."""
        return KINDS[self.tensor.dtype]

    def to(self, kind: type) -> Scalar:
        """As another Python type; a float's fraction is cut off, as by int()."""
        if kind is self.kind:
            return self
        if kind is bool:
            return Scalar(self.tensor != 0)
        return Scalar(self.tensor.to(NUMBER_DTYPES[kind]))

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        leaves = pytree.tree_leaves((args, kwargs))
        dtypes = [leaf.dtype for leaf in leaves if isinstance(leaf, torch.Tensor)]
        args, kwargs = pytree.tree_map_only(Scalar, lambda scalar: scalar.beside(dtypes), (args, kwargs or {}))
        return func(*args, **kwargs)

    def beside(self, dtypes: list[torch.dtype]) -> torch.Tensor:
        """The value as a tensor that changes no result's dtype where a Python number of this kind would change none."""
        if not dtypes:
            return self.tensor
        dtype = dtypes[0]
        for other in dtypes[1:]:
            dtype = torch.promote_types(dtype, other)
        if dtype.is_floating_point or self.kind is bool:
            return self.tensor.to(dtype) if self.kind is not bool else self.tensor
        if self.kind is float:
            return self.tensor.to(torch.get_default_dtype())
        return self.tensor if dtype is torch.bool else self.tensor.to(dtype)

    def __bool__(self) -> bool:
        raise self._read()

    def __int__(self) -> int:
        raise self._read()

    def __float__(self) -> float:
        raise self._read()

    def __index__(self) -> int:
        raise self._read()

    def __str__(self) -> str:
        raise self._read()

    def __format__(self, specification: str) -> str:
        raise self._read()

    def _read(self) -> Exception:
        return refuse(
            "Python needs the value of a number that depends on data here, "
            "which would fix one path or shape for all inputs"
        )

    def __add__(self, other: Any) -> Any:
        return arithmetic(torch.add, operator.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return arithmetic(torch.add, operator.add, other, self)

    def __sub__(self, other: Any) -> Any:
        return arithmetic(torch.sub, operator.sub, self, other)

    def __rsub__(self, other: Any) -> Any:
        return arithmetic(torch.sub, operator.sub, other, self)

    def __mul__(self, other: Any) -> Any:
        return arithmetic(torch.mul, operator.mul, self, other)

    def __rmul__(self, other: Any) -> Any:
        return arithmetic(torch.mul, operator.mul, other, self)

    def __truediv__(self, other: Any) -> Any:
        return arithmetic(torch.div, operator.truediv, self, other, least=float)

    def __rtruediv__(self, other: Any) -> Any:
        return arithmetic(torch.div, operator.truediv, other, self, least=float)

    def __floordiv__(self, other: Any) -> Any:
        return arithmetic(torch.floor_divide, operator.floordiv, self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return arithmetic(torch.floor_divide, operator.floordiv, other, self)

    def __mod__(self, other: Any) -> Any:
        return arithmetic(torch.remainder, operator.mod, self, other)

    def __rmod__(self, other: Any) -> Any:
        return arithmetic(torch.remainder, operator.mod, other, self)

    def __neg__(self) -> Any:
        return Scalar(-self.to(int).tensor if self.kind is bool else -self.tensor)

    def __abs__(self) -> Any:
        return Scalar(abs(self.to(int).tensor if self.kind is bool else self.tensor))

    def __lt__(self, other: Any) -> Any:
        return comparison(torch.lt, operator.lt, self, other)

    def __le__(self, other: Any) -> Any:
        return comparison(torch.le, operator.le, self, other)

    def __gt__(self, other: Any) -> Any:
        return comparison(torch.gt, operator.gt, self, other)

    def __ge__(self, other: Any) -> Any:
        return comparison(torch.ge, operator.ge, self, other)

    def __eq__(self, other: Any) -> Any:
        return comparison(torch.eq, operator.eq, self, other)

    def __ne__(self, other: Any) -> Any:
        return comparison(torch.ne, operator.ne, self, other)

    def __and__(self, other: Any) -> Any:
        return self._bits(torch.logical_and, operator.and_, other)

    def __or__(self, other: Any) -> Any:
        return self._bits(torch.logical_or, operator.or_, other)

    def __xor__(self, other: Any) -> Any:
        return self._bits(torch.logical_xor, operator.xor, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def _bits(self, function: Callable[..., torch.Tensor], plain: Callable[..., Any], other: Any) -> Any:
        if isinstance(other, torch.Tensor):
            return plain(self.beside([other.dtype]), other)
        value = scalar(other)
        if value is None:
            return NotImplemented
        if value.kind is not bool or self.kind is not bool:
            raise refuse("bits of integers that depend on data are not supported; use & | ^ on bools")
        return Scalar(function(self.tensor, value.tensor))


def scalar(value: Any) -> Scalar | None:
    """A number as a Scalar; None for what is no number."""
    if isinstance(value, Scalar):
        return value
    if isinstance(value, bool | int | float):
        return Scalar(torch.full((), value, dtype=NUMBER_DTYPES[type(value)]))
    return None


def arithmetic(
    function: Callable[..., torch.Tensor], plain: Callable[..., Any], left: Any, right: Any, least: type = int
) -> Any:
    """`function` on two numbers in Python's types, or on a number and a tensor in PyTorch's."""
    if isinstance(left, torch.Tensor) or isinstance(right, torch.Tensor):
        dtypes = [each.dtype for each in (left, right) if isinstance(each, torch.Tensor)]
        return plain(*(each.beside(dtypes) if isinstance(each, Scalar) else each for each in (left, right)))
    numbers = scalar(left), scalar(right)
    if numbers[0] is None or numbers[1] is None:
        return NotImplemented
    kind = max((numbers[0].kind, numbers[1].kind, least), key=RANKS.__getitem__)
    return Scalar(function(numbers[0].to(kind).tensor, numbers[1].to(kind).tensor))


def comparison(function: Callable[..., torch.Tensor], plain: Callable[..., Any], left: Any, right: Any) -> Any:
    """A comparison of two numbers as a Scalar, of a number and a tensor as a tensor."""
    result = arithmetic(function, plain, left, right)
    if isinstance(result, Scalar):
        return Scalar(result.tensor.to(torch.bool))
    if result is NotImplemented and plain in (operator.eq, operator.ne):
        return plain is operator.ne
    return result


def item_of(tensor: torch.Tensor) -> Scalar:
    """What `tensor.item()` gives: the exact value as a Python number."""
    if tensor.numel() != 1:
        raise refuse(f"item() on a tensor of shape {tuple(tensor.shape)}; it must hold one element")
    if tensor.dtype is torch.bool:
        return Scalar(tensor.reshape(()))
    kind = torch.float64 if tensor.dtype.is_floating_point else torch.int64
    return Scalar(tensor.reshape(()).to(kind))


def fits(value: float, dtype: torch.dtype) -> bool:
    """Whether a Python number is exactly a value of `dtype`, and of a kind that stays within it."""
    if isinstance(value, bool) or dtype is torch.bool:
        return isinstance(value, bool) and dtype is torch.bool
    if not dtype.is_floating_point:
        return isinstance(value, int) and torch.iinfo(dtype).min <= value <= torch.iinfo(dtype).max
    if not math.isfinite(value):
        return True
    with torch.utils._python_dispatch._disable_current_modes():
        return bool(torch.tensor(value, dtype=torch.float64).to(dtype).to(torch.float64) == value)
