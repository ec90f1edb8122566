"""The assignment problem: units to run, tensors between them, and what every choice costs.

The cost of an assignment is the sum over all units of what they cost where they run, plus, for every tensor, what it
costs to make it available on each other processor that reads it: once for a tensor and a destination, however many
readers it has there. Costs are whole numbers (the compiler's unit is the nanosecond), so optimal means optimal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weft.errors import CompileError

__all__ = ["Assignment", "Problem", "Tensor", "Unit"]

MOST_COST = 1 << 44
"""Largest cost of one choice: 4.9 hours in nanoseconds."""

MOST_TOTAL = 1 << 50
"""What all costs of a problem must stay below in sum, so that thousands of them add up within 64 bits."""


@dataclass(frozen=True)
class Unit:
    """What runs as one. `costs` holds a cost for each processor of the problem, None where it cannot run."""

    name: str
    costs: tuple[int | None, ...]


@dataclass(frozen=True)
class Tensor:
    """A value of unit `producer` that the units `readers` read, both given by their index in the problem.

    `moves[p][q]` is the cost of having it on processor q where p made it, None where that is impossible; the diagonal
    is 0.
    """

    name: str
    producer: int
    readers: tuple[int, ...]
    moves: tuple[tuple[int | None, ...], ...]


@dataclass(frozen=True)
class Problem:
    """Raises CompileError if a cost is negative or too large, an index is out of range, or a shape is wrong."""

    processors: tuple[str, ...]
    units: tuple[Unit, ...]
    tensors: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        count = len(self.processors)
        if count < 1 or len(set(self.processors)) != count:
            raise CompileError("an assignment needs processors with names of their own")
        for unit in self.units:
            if len(unit.costs) != count:
                raise CompileError(f"unit {unit.name!r} needs {count} costs, one for each processor")
            _check(unit.name, unit.costs)
        for tensor in self.tensors:
            if any(not 0 <= index < len(self.units) for index in (tensor.producer, *tensor.readers)):
                raise CompileError(f"tensor {tensor.name!r} refers to a unit that does not exist")
            if len(tensor.moves) != count or any(len(row) != count for row in tensor.moves):
                raise CompileError(f"tensor {tensor.name!r} needs {count} × {count} costs")
            if any(tensor.moves[each][each] != 0 for each in range(count)):
                raise CompileError(f"tensor {tensor.name!r}: having it where it is made must cost 0")
            for row in tensor.moves:
                _check(tensor.name, row)
        if self.total >= MOST_TOTAL:
            raise CompileError("the costs of the assignment problem add up to 2^50 or more; use a coarser unit")

    @property
    def total(self) -> int:
        """The sum of all costs that the problem mentions: more than any possible assignment costs."""
        costs = [cost for unit in self.units for cost in unit.costs]
        costs += [cost for tensor in self.tensors for row in tensor.moves for cost in row]
        return sum(cost for cost in costs if cost is not None)

    def cost(self, choice: Sequence[int]) -> int | None:
        """What an assignment (a processor's index for each unit) costs; None if it is not possible."""
        parts = [unit.costs[place] for unit, place in zip(self.units, choice, strict=True)]
        for tensor in self.tensors:
            source = choice[tensor.producer]
            parts += [tensor.moves[source][place] for place in {choice[reader] for reader in tensor.readers}]
        return None if any(part is None for part in parts) else sum(part for part in parts if part is not None)

    def pinned(self, pins: Mapping[int, int]) -> Problem:
        """The same problem with each unit of `pins` only on the processor given there (both by index)."""
        units = tuple(
            unit
            if (place := pins.get(index)) is None
            else dataclasses.replace(
                unit, costs=tuple(cost if each == place else None for each, cost in enumerate(unit.costs))
            )
            for index, unit in enumerate(self.units)
        )
        return dataclasses.replace(self, units=units)


@dataclass(frozen=True)
class Assignment:
    """A processor's index for each unit, and the cost in the problem's own terms.

    `optimal` is False only where the integer program reached its limit of work before it had a proof.
    """

    choice: tuple[int, ...]
    cost: int
    optimal: bool = True


def _check(name: str, costs: Sequence[int | None]) -> None:
    for cost in costs:
        if cost is not None and not 0 <= cost <= MOST_COST:
            raise CompileError(f"{name!r} has the cost {cost}; costs are whole numbers from 0 to {MOST_COST}")
