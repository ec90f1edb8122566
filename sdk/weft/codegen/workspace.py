"""The DRAM memory plan of a region: tensors whose lifetimes do not meet share bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Lifetime", "plan_workspace"]

ALIGNMENT = 64


@dataclass(frozen=True)
class Lifetime:
    """A tensor of `size` bytes, written by operator `first` and last read by operator `last` (indices)."""

    name: str
    size: int
    first: int
    last: int


def plan_workspace(tensors: Sequence[Lifetime]) -> tuple[dict[str, int], int]:
    """Offsets by name, and total bytes: largest first, each at the lowest place free during its lifetime."""
    placed: list[tuple[int, int, Lifetime]] = []
    offsets: dict[str, int] = {}
    for tensor in sorted(tensors, key=lambda item: (-item.size, item.first, item.name)):
        meets = sorted(
            (start, end) for start, end, other in placed if other.first <= tensor.last and tensor.first <= other.last
        )
        offset = 0
        for start, end in meets:
            if offset + tensor.size <= start:
                break
            offset = max(offset, -(-end // ALIGNMENT) * ALIGNMENT)
        offsets[tensor.name] = offset
        placed.append((offset, offset + tensor.size, tensor))
    return offsets, max((end for _, end, _ in placed), default=0)
