"""Buffers as rings: pieces lie one behind the other, and a new piece displaces the oldest ones."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["Ring"]


class Ring:
    """Contiguous pieces of any sizes in a circular area. What fits stays, so an operand is loaded again only if the
    pieces taken in between fill the area; double and deeper buffering follow from the sizes."""

    def __init__(self) -> None:
        self._position = 0
        self._area = (0, 0)
        self._pieces: list[tuple[int, int, Hashable]] = []

    def cover(self, start: int, end: int) -> None:
        """Sets the area. Pieces from before are forgotten; the place of the next one stays if it lies inside."""
        self._area = (start, end)
        self._pieces.clear()
        if not start <= self._position < end:
            self._position = start

    @property
    def size(self) -> int:
        """Of the area."""
        return self._area[1] - self._area[0]

    def find(self, key: Hashable) -> int | None:
        """The address of the piece with that key, if it is still there."""
        return next((start for start, _, other in self._pieces if other == key), None)

    def take(self, key: Hashable, size: int, unit: int = 1) -> int:
        """The address, a multiple of `unit` from the area's start, of a new piece. Raises ValueError if it is larger
        than the area."""
        first, last = self._area
        size = -(-size // unit) * unit
        start = first + -(-(self._position - first) // unit) * unit
        if start + size > last:
            start = first
        if start + size > last:
            raise ValueError(f"a piece of {size} does not fit an area of {last - first}")
        self._pieces = [piece for piece in self._pieces if piece[1] <= start or piece[0] >= start + size]
        self._pieces.append((start, start + size, key))
        self._position = start + size
        return start
