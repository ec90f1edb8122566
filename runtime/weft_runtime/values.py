"""Values of a dynamic program: on the host, in device memory, or both; and the memory that they share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from weft_runtime.executable import Layout, TensorBinding
from weft_runtime.memory import ALIGNMENT, Pool

__all__ = ["DeviceCopy", "Value", "find_room", "rounded"]


@dataclass(frozen=True)
class DeviceCopy:
    """A tensor at an address of one processor's memory."""

    processor: int
    address: int
    layout: Layout
    shape: tuple[int, ...]
    dtype: str

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.address + self.layout.nbytes


@dataclass(eq=False)
class Value:
    """A tensor that a program computes once. `array` is the host's copy, if it has one; `copies` are the devices'.

    Several names may stand for one value, so that handing it on, as a branch's result or as a loop's state, moves
    nothing. `rows` counts the samples that it holds along its leading axis, 0 where it is one sample's tensor as it is;
    `stacked` says that this axis stands in front of the sample's own ones, not in place of a leading 1.
    """

    array: Any = None
    on_host: bool = False
    copies: list[DeviceCopy] = field(default_factory=list)
    rows: int = 0
    stacked: bool = False

    def copy_for(self, processor: int, binding: TensorBinding) -> DeviceCopy | None:
        """The copy that a region on that processor can read in place."""
        for copy in self.copies:
            if (copy.processor, copy.layout, copy.dtype) == (processor, binding.layout, binding.dtype):
                return copy
        return None


def rounded(size: int) -> int:
    """Bytes that a buffer of this size takes: whole multiples of ALIGNMENT, one at least."""
    return max(1, -(-size // ALIGNMENT)) * ALIGNMENT


def find_room(pool: Pool, size: int, held: Iterable[tuple[int, int]]) -> int | None:
    """The lowest address in the pool for so many bytes, beside what is held (address and size of each buffer); None
    where no gap is large enough. A loop's state so alternates between two buffers."""
    cursor = pool.start
    for address, taken in sorted(set(held)):
        if address - cursor >= size:
            return cursor
        cursor = max(cursor, -(-(address + max(1, taken)) // ALIGNMENT) * ALIGNMENT)
    return cursor if cursor + size <= pool.start + pool.size else None
