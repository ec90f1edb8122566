"""Finds Python containers from outside that a data-dependent path changes."""

from __future__ import annotations

import copy
import sys
from types import FrameType, TracebackType
from typing import Any

from weft.frontend.torch.location import is_users, refuse
from weft.frontend.torch.recorder import Recorder

MAX_DEPTH = 3


class Guard:
    """Raises SourceError behind a path that changed a list, dict or set which it did not make.

    Looked at: the local names of all running functions of the user's source, and the attributes of the recorded
    module's parts, three containers deep.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._before: list[tuple[Any, tuple[Any, ...], Any]] = []

    def __enter__(self) -> Guard:
        seen: set[int] = set()
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if is_users(frame.f_code.co_filename):
                for value in list(frame.f_locals.values()):
                    self._look(value, seen, MAX_DEPTH)
            frame = frame.f_back
        for module in self._recorder.modules:
            for value in module.__dict__.values():
                self._look(value, seen, MAX_DEPTH)
        return self

    def _look(self, value: Any, seen: set[int], depth: int) -> None:
        if not isinstance(value, list | dict | set | tuple) or id(value) in seen or depth == 0:
            return
        seen.add(id(value))
        if not isinstance(value, tuple):
            self._before.append((value, _content(value), copy.copy(value)))
        for each in value.values() if isinstance(value, dict) else value:
            self._look(each, seen, depth - 1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.check()

    def unchanged(self) -> bool:
        """Whether all containers hold what they held."""
        return all(_content(value) == before for value, before, _ in self._before)

    def restore(self) -> None:
        """Puts back what every container held."""
        for value, before, saved in self._before:
            if _content(value) != before:
                value.clear()
                value.extend(saved) if isinstance(value, list) else value.update(saved)

    def check(self) -> None:
        """Raises SourceError where a container holds something else now."""
        if not self.unchanged():
            raise refuse(
                "a list, dict or set from outside is changed inside a "
                "data-dependent branch or loop (a list, a set or an "
                "attribute that this function does not assign by name); return the value instead"
            )


def _content(value: Any) -> tuple[Any, ...]:
    if isinstance(value, dict):
        return tuple((_identity(key), _identity(each)) for key, each in value.items())
    return tuple(_identity(each) for each in value)


def _identity(value: Any) -> Any:
    return (type(value), value) if isinstance(value, bool | int | float | str) else id(value)
