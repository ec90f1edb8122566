"""Concatenations of whole channel blocks that cost nothing: the parts are written where they belong in the result."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from weft.codegen.storage import blocked_layout
from weft.ir.operators import Movement, Operator, View

__all__ = ["Place", "joined_parts", "place_parts"]


@dataclass(frozen=True)
class Place:
    """A tensor inside another one's storage: bytes from the beginning of `whole`."""

    whole: str
    offset: int


def joined_parts(operator: Operator, lanes: int) -> tuple[tuple[str, int], ...]:
    """Name and byte offset of each part of a concatenation whose result is its parts' bytes one after the other: one
    image, and whole channel blocks in every part but the last. Empty for every other operator."""
    if not isinstance(operator, Movement) or any(table is not None for table in operator.tables):
        return ()
    if not np.array_equal(operator.index, np.arange(sum(math.prod(each.shape) for each in operator.inputs))):
        return ()
    images, channels, *plane = operator.output.view
    views = [each.view for each in operator.inputs]
    if images != 1 or any(view[0] != 1 or list(view[2:]) != plane for view in views):
        return ()
    if sum(view[1] for view in views) != channels or any(view[1] % lanes for view in views[:-1]):
        return ()
    parts, offset = [], 0
    for tensor in operator.inputs:
        parts.append((tensor.name, offset))
        offset += blocked_layout(tensor.view, lanes).nbytes
    return tuple(parts)


def place_parts(
    operators: Sequence[Operator], joins: Mapping[str, Sequence[tuple[str, int]]], fixed: Collection[str]
) -> Mapping[str, Place]:
    """Where parts of concatenations lie in the results, all parts of one or none. `joins`: the `joined_parts` of each
    result; `fixed` tensors have a place already.

    The last concatenation comes first: of several that share parts (dense blocks), the largest takes them, and an
    earlier one whose parts then lie side by side is a piece of it.
    """
    makers = {each.output.name: each for each in operators if not isinstance(each, View)}
    places: dict[str, Place] = {}
    for operator in reversed(operators):
        name = operator.output.name
        parts = joins.get(name, ())
        if not parts:
            continue
        if all(part in places for part, _ in parts):
            first = places[parts[0][0]]
            together = all(places[part] == Place(first.whole, first.offset + offset) for part, offset in parts)
            if together and name not in fixed and name not in places:
                places[name] = first
        elif all(part in makers and part not in fixed and part not in places for part, _ in parts):
            whole = places.get(name, Place(name, 0))
            places.update({part: Place(whole.whole, whole.offset + offset) for part, offset in parts})
    return places
