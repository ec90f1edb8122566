"""How long-running calls tell how far they are."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "quiet"]


class Progress(Protocol):
    """Called with what is being done, and how many of how many parts are done (0 of 0 where that is
    unknown)."""

    def __call__(self, stage: str, done: int, total: int) -> None: ...


def quiet(stage: str, done: int, total: int) -> None:
    """Tells nobody."""
