"""Calls out of rewritten source: user functions are rewritten too, a few of PyTorch's and Python's get a meaning on
data.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from weft.frontend.torch.choices import Choice
from weft.frontend.torch.location import is_users, refuse
from weft.frontend.torch.merging import Unusable
from weft.frontend.torch.numbers import ON_DATA, takes_data
from weft.frontend.torch.recorder import Recorder
from weft.frontend.torch.rewrite import rewritten
from weft.frontend.torch.scalars import Scalar, item_of

if TYPE_CHECKING:
    from weft.frontend.torch.runtime import Runtime

MAX_CALL_DEPTH = 40
READING = frozenset({
    "tolist", "numpy", "apply_", "map_", "map2_", "data_ptr", "__bool__", "__int__", "__float__", "__index__",
    "__array__", "__dlpack__", "untyped_storage", "storage",
})  # fmt: skip
FORBIDDEN = {eval, exec, compile, locals, globals, vars, setattr, delattr, input, open, id, __import__}


class Calls:
    """How rewritten source calls."""

    def __init__(self, recorder: Recorder, runtime: Runtime) -> None:
        self._recorder = recorder
        self._runtime = runtime
        self._active: dict[Any, int] = {}

    def call(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """`function(*args, **kwargs)`."""
        if isinstance(function, Unusable):
            function.fail()
        if isinstance(function, Choice):
            return function.call(self.call, args, kwargs)
        if isinstance(function, FunctionType):
            return self._function(function, args, kwargs)
        if isinstance(function, MethodType) and isinstance(function.__func__, FunctionType):
            return self._function(function.__func__, (function.__self__, *args), kwargs)
        if isinstance(function, functools.partial):
            return self.call(function.func, *function.args, *args, **{**function.keywords, **kwargs})
        return self._other(function, args, kwargs)

    def _other(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            forbidden = function in FORBIDDEN
            on_data = ON_DATA.get(function)
        except TypeError:
            forbidden, on_data = False, None
        if forbidden:
            raise refuse(
                f"{getattr(function, '__name__', function)}() cannot be taken: what it does is not in the source"
            )
        if on_data is not None and takes_data((*args, *kwargs.values())):
            return on_data(*args, **kwargs)
        owner = getattr(function, "__self__", None)
        if isinstance(owner, torch.Tensor):
            if function.__name__ == "item":
                return item_of(owner)
            if function.__name__ in READING:
                raise refuse(
                    f"{function.__name__}() gives Python the values of a tensor, "
                    "which would fix one path for all inputs"
                )
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            if not any(isinstance(each, Scalar) for each in (*args, *kwargs.values())):
                raise
            raise refuse(
                f"{getattr(function, '__name__', function)}() takes no number that depends on data ({error}); Python "
                "needs the number itself, so sizes and positions must be fixed"
            ) from error

    def _function(self, function: FunctionType, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        special = self._control_flow(function, args, kwargs)
        if special is not None:
            return special()
        wrapped = inspect.unwrap(function) if not is_users(function.__code__.co_filename) else function
        if not isinstance(wrapped, FunctionType) or not is_users(wrapped.__code__.co_filename):
            return function(*args, **kwargs)
        if getattr(wrapped, "weft_rewritten", False):
            return wrapped(*args, **kwargs)
        code = wrapped.__code__
        depth = self._active.get(code, 0)
        if depth >= MAX_CALL_DEPTH:
            raise refuse(
                f"{wrapped.__qualname__} calls itself more than {MAX_CALL_DEPTH} times; recursion that depends on data "
                "cannot be compiled, write a while loop"
            )
        self._active[code] = depth + 1
        try:
            return rewritten(wrapped, self._runtime)(*args, **kwargs)
        finally:
            self._active[code] = depth

    def _control_flow(
        self, function: FunctionType, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Callable[[], Any] | None:
        """PyTorch's own control-flow functions, as if they were statements."""
        if function is torch.cond:
            return lambda: self._cond(*args, **kwargs)
        if function is torch._higher_order_ops.while_loop:
            return lambda: self._while_loop(*args, **kwargs)
        return None

    def _cond(self, pred: Any, true_fn: Any, false_fn: Any, operands: Any = ()) -> Any:
        paths = [functools.partial(self.call, each) for each in (true_fn, false_fn)]
        return self._runtime.branch(pred, paths[0], paths[1], tuple(operands), ())

    def _while_loop(self, cond_fn: Any, body_fn: Any, carried_inputs: Any) -> Any:
        def body(leave: Any, *state: Any) -> Any:
            after = self.call(body_fn, *state)
            return leave(0, None, tuple(after) if isinstance(after, list | tuple) else (after,))

        state = tuple(carried_inputs)
        names = [f"carried_inputs[{index}]" for index in range(len(state))]
        return self._runtime.while_(functools.partial(self.call, cond_fn), body, state, names, cheap=False)[2]


def forward_of(module: nn.Module) -> FunctionType | None:
    """A module's `forward` where it is the user's source."""
    forward = type(module).forward
    if isinstance(forward, FunctionType) and is_users(inspect.unwrap(forward).__code__.co_filename):
        return forward
    return None
