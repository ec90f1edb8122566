"""One of several modules, functions or values, chosen by a number that depends on data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from weft.frontend.torch.branches import branch
from weft.frontend.torch.location import refuse
from weft.frontend.torch.recorder import Recorder


class Choice:
    """`items[index]` of things that can be called; the call becomes a branch for each."""

    def __init__(self, recorder: Recorder, items: Sequence[Any], index: torch.Tensor) -> None:
        self._recorder = recorder
        self._items = items
        self._index = index

    def call(self, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls the chosen item by `call(item, *args, **kwargs)`."""
        return self._among(0, len(self._items), lambda item: call(item, *args, **kwargs))

    def value(self) -> Any:
        """The chosen item itself."""
        return self._among(0, len(self._items), lambda item: item)

    def _among(self, start: int, stop: int, use: Any) -> Any:
        """Halves the items, so that a choice of n takes log n decisions."""
        if stop - start == 1:
            return use(self._items[start])
        middle = (start + stop) // 2
        return branch(
            self._recorder,
            self._index < middle,
            lambda: self._among(start, middle, use),
            lambda: self._among(middle, stop, use),
            (),
            (),
        )

    def __getattr__(self, name: str) -> Any:
        raise refuse(f"attribute '{name}' of an element chosen by data; call the element, or write an if for each")
