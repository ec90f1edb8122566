"""What rewritten source calls: branches, loops, calls, items and numbers that may or may not depend on data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from weft.frontend.torch import indexing, numbers
from weft.frontend.torch.branches import branch
from weft.frontend.torch.calls import Calls
from weft.frontend.torch.location import refuse
from weft.frontend.torch.loops import After, LeavingBody, for_loop, plain, while_loop
from weft.frontend.torch.merging import ABSENT, Unusable, is_data
from weft.frontend.torch.numbers import DataRange
from weft.frontend.torch.recorded_loop import Test
from weft.frontend.torch.recorder import Recorder


class Runtime:
    """One recording: every construct decides here whether Python can run it or both paths must be recorded."""

    absent = ABSENT

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.calls = Calls(recorder, self)

    def branch(
        self,
        test: Any,
        then: Callable[..., Any],
        other: Callable[..., Any],
        state: tuple[Any, ...],
        names: Sequence[str],
    ) -> Any:
        """An if statement or expression; the paths take the state and give the state, or a return's value."""
        if not is_data(test):
            return then(*state) if test else other(*state)
        return branch(self.recorder, test, then, other, state, names)

    def while_(
        self,
        test: Callable[..., Any],
        body: LeavingBody,
        state: tuple[Any, ...],
        names: Sequence[str],
        cheap: bool,
        after: After | None = None,
    ) -> Any:
        """A while statement; its test may be computed behind a break where it is `cheap`. `after` follows the loop."""
        status, value, now = while_loop(self.recorder, Test(test, cheap), plain(body), state, names)
        return (status, value, now) if after is None else after(status, value, *now)

    def for_(
        self,
        items: Any,
        body: LeavingBody,
        state: tuple[Any, ...],
        names: Sequence[str],
        single: bool,
        after: After | None = None,
    ) -> Any:
        """A for statement. Where one path of the body at most goes on to the next item (`single`), that path holds
        the rest of an unrolled loop, and no decision is taken twice.
        """
        if isinstance(items, torch.Tensor):
            items = items.unbind(0)
        if not isinstance(items, range | DataRange):
            items = list(items)
        return for_loop(self.recorder, items, body, state, names, single, after)

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """A call."""
        return self.calls.call(function, *args, **kwargs)

    def get_item(self, container: Any, key: Any) -> Any:
        """`container[key]`."""
        if isinstance(container, Unusable):
            container.fail()
        return indexing.get_item(self.recorder, container, key)

    def set_item(self, container: Any, key: Any, value: Any) -> Any:
        """`container[key] = value`; gives the container."""
        indexing.set_item(container, key, value)
        return container

    def set_attribute(self, target: Any, name: str, value: Any) -> None:
        """`target.name = value`."""
        if isinstance(target, torch.nn.Module):
            raise refuse(
                f"the module's attribute '{name}' is assigned, which would outlive the call; return the value instead"
            )
        if self.recorder.region.depth:
            raise refuse(f"the attribute '{name}' is assigned inside a data-dependent branch or loop; use a local name")
        setattr(target, name, value)

    def fail(self, error: Any = None) -> None:
        """`raise error`."""
        if self.recorder.region.depth:
            raise refuse("an exception depends on data here; a compiled program cannot raise one")
        raise error

    def assert_(self, test: Callable[[], Any], message: Callable[[], Any]) -> None:
        """`assert test, message`."""
        held = test()
        if is_data(held):
            raise refuse(
                "an assertion depends on data; a compiled program cannot check "
                "it, so take it out or check the inputs before"
            )
        assert held, message()

    def read(self, value: Any) -> Any:
        """A local name's value."""
        if isinstance(value, Unusable):
            value.fail()
        return value

    def unassigned(self, name: str) -> Unusable:
        """The value of a local name before its first assignment."""
        return Unusable(f"'{name}' is read on a path where it is not assigned")

    def not_(self, value: Any) -> Any:
        """`not value`."""
        return numbers.negated(value) if is_data(value) else not value

    def and_(self, left: Any, right: Callable[[], Any], cheap: bool, exact: bool) -> Any:
        """`left and right()`. Where `cheap`, both are computed; where `exact`, the value counts, not its truth
        alone.
        """
        if not is_data(left):
            return right() if left else left
        return numbers.both(self.recorder, left, right, cheap=cheap, exact=exact)

    def or_(self, left: Any, right: Callable[[], Any], cheap: bool, exact: bool) -> Any:
        """`left or right()`."""
        if not is_data(left):
            return left if left else right()
        return numbers.either(self.recorder, left, right, cheap=cheap, exact=exact)

    def choose(self, test: Any, then: Callable[[], Any], other: Callable[[], Any]) -> Any:
        """`then() if test else other()`."""
        return self.branch(test, then, other, (), ())

    def contains(self, container: Any, value: Any) -> Any:
        """`value in container`."""
        return numbers.contains(container, value)

    def same(self, one: Any, other: Any) -> bool:
        """`one is other`."""
        return numbers.same(one, other)

    def text(self, value: Any) -> Any:
        """A value within an f-string."""
        return numbers.text(value)
