"""The loop fields of a MATMUL from task mappings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from weft.schedule.mapping import TaskMapping, lower

__all__ = ["INNER", "OUTER", "Operands", "matmul_loops"]

OUTER, INNER = 4, 3
"""Loops of a MATMUL: over weight tiles, and over input vectors."""


@dataclass(frozen=True)
class Operands:
    """Strides along each dimension of a mapping's tasks: input and weights in vectors, accumulators in rows."""

    input: tuple[int, ...]
    weight: tuple[int, ...]
    accumulator: tuple[int, ...]


@lru_cache(maxsize=1024)
def matmul_loops(
    outer: TaskMapping, strides: Operands, inner: TaskMapping, inner_strides: Operands
) -> Mapping[str, int]:
    """The counts and strides that walk `inner` for each task of `outer`, in the instruction's last loops.

    The array's lanes are the spatial level inside of both. Inner tasks stay with one weight tile: they have no strides
    in the weights. Raises ValueError for more digits than the instruction has loops.
    """
    fields: dict[str, int] = {}
    walk = lower(outer, [strides.input, strides.weight, strides.accumulator])
    vectors = lower(inner, [inner_strides.input, inner_strides.accumulator])
    for kind, nest, loops, names in (
        ("outer", walk, OUTER, ("input", "weight", "accumulator")),
        ("inner", vectors, INNER, ("input", "accumulator")),
    ):
        first = loops - len(nest.loops)
        if first < 0:
            raise ValueError(f"{len(nest.loops)} {kind} loops, of which a MATMUL has {loops}")
        for index, loop in enumerate(nest.loops, first):
            fields[f"{kind}_count_{index}"] = loop.count
            fields |= {f"{kind}_{name}_stride_{index}": s for name, s in zip(names, loop.strides, strict=True)}
    return MappingProxyType(fields)
