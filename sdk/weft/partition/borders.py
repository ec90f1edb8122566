"""Where the values at a graph's border are made and read, beyond it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from weft.partition.regions import HOST

__all__ = ["ALL_ON_HOST", "Borders"]

HOST_ALONE = frozenset({HOST})


@dataclass(frozen=True)
class Borders:
    """By name: where each of the graph's inputs comes from, and who reads its outputs: HOST, or accelerators by their
    index. What is not named comes from the host and goes there, as a whole model's inputs and outputs do. A value that
    a sub-network takes from another one's region stays in device memory."""

    made: Mapping[str, int] = field(default_factory=dict)
    read: Mapping[str, frozenset[int]] = field(default_factory=dict)

    def maker(self, name: str) -> int:
        """Where an input comes from."""
        return self.made.get(name, HOST)

    def readers(self, name: str) -> frozenset[int]:
        """Who reads an output."""
        return self.read.get(name, HOST_ALONE)


ALL_ON_HOST = Borders()
