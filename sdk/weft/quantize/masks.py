"""Attention masks: what a Softmax reads, and what is added to it to switch values off.

A value far below the greatest of its row has no share in a Softmax, however far below it is. So what a Softmax reads
needs no range below that, and quantization saturates masked values there. Without this, -10000 in a mask would take
the range that the scores need, and minus infinity has no range at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from weft.frontend.graph import Array, Graph, integer, is_standard
from weft.quantize.plan import is_bias_add
from weft.quantize.ranges import Observation

__all__ = ["Masks", "endless_additions", "find_masks", "mask_floors", "with_floors"]

# Below this no mask is told from another one.
LEAST_MASK = -1e6
# What a row's masked values may have together: half a step of eight bits.
SHARE = 1 / 512


@dataclass(frozen=True)
class Masks:
    """`axes`: tensors that a Softmax alone reads, with its axis. `sums`: by tensor or constant that is only added to
    make such a tensor, the other operand and the result of each addition."""

    axes: Mapping[str, int]
    sums: Mapping[str, tuple[tuple[str, str], ...]]

    def trimmed(self, name: str, value: Array) -> Array:
        """What a tensor holds, without what is too low to matter."""
        if name not in self.axes and name not in self.sums:
            return value
        least = _reach(value, self.axes[name]) if name in self.axes else LEAST_MASK
        return np.asarray(np.maximum(value, np.asarray(least, value.dtype)))


def find_masks(graph: Graph) -> Masks:
    """The tensors of a normalized float graph whose low values do not matter."""
    axes: dict[str, int] = {}
    sums: dict[str, list[tuple[str, str]]] = {}
    for node in graph.nodes:
        if not is_standard(node, "Softmax") or graph.only_consumer(node.input[0]) is not node:
            continue
        axes[node.input[0]] = integer(node, "axis", -1)
        added = graph.producer(node.input[0])
        if added is not None and is_standard(added, "Add") and is_bias_add(graph, added) is None:
            for index in (0, 1):
                sums.setdefault(added.input[index], []).append((added.input[1 - index], added.output[0]))
    alone = {name: tuple(found) for name, found in sums.items() if _reads(graph, name) == len(found)}
    return Masks(axes, alone)


def _reads(graph: Graph, name: str) -> int:
    """How many nodes read a tensor; the user counts as one."""
    return len(graph.consumers(name)) + (name in graph.output_names)


def _reach(value: Array, axis: int) -> float:
    """The least value of a Softmax's input that can have a share in its result; minus infinity where all can."""
    if value.size == 0:
        return -math.inf
    greatest = value.max(axis=axis)
    finite = greatest[np.isfinite(greatest)]
    if finite.size == 0:
        return -math.inf
    return float(finite.min()) - math.log(max(value.shape[axis], 1) / SHARE)


def mask_floors(graph: Graph, masks: Masks, observed: Mapping[str, Observation]) -> dict[str, float]:
    """By operand of such an addition, the least value that it need have: with anything less, whatever it is added to,
    the sum has no share."""
    floors = {}
    for name, sums in masks.sums.items():
        found = [
            observed[result].extremes[0] - high
            for other, result in sums
            if result in observed and (high := _high(graph, other, observed)) is not None
        ]
        if len(found) == len(sums):
            floors[name] = min(0.0, *found)
    return floors


def endless_additions(graph: Graph, masks: Masks, floors: Mapping[str, float]) -> frozenset[str]:
    """Names of additions of a constant infinity in front of a Softmax that no floor makes storable."""
    found = set()
    for tensor in masks.axes:
        node = graph.producer(tensor)
        constants = [] if node is None else [(name, graph.constant(name)) for name in node.input]
        endless = [name for name, value in constants if value is not None and not np.all(np.isfinite(value))]
        if node is not None and any(name not in floors for name in endless):
            found.add(node.name)
    return frozenset(found)


def _high(graph: Graph, name: str, observed: Mapping[str, Observation]) -> float | None:
    constant = graph.constant(name)
    if constant is not None:
        return float(constant.max(initial=0.0))
    return observed[name].extremes[1] if name in observed else None


def with_floors(observed: Mapping[str, Observation], floors: Mapping[str, float]) -> dict[str, Observation]:
    """The observations without what lies below the floors."""
    found = dict(observed)
    for name, floor in floors.items():
        if name in found and found[name].extremes[0] < floor:
            found[name] = Observation((floor, max(floor, found[name].extremes[1])), None)
    return found
