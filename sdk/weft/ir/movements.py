"""Chains of operators that move elements, composed into one: inner results need not exist on the accelerator."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from weft.ir.operators import Movement, Operator, Tensor, View

__all__ = ["as_movement", "as_view", "compose", "fuse_movements"]

Bytes = npt.NDArray[np.uint8]


def fuse_movements(operators: Sequence[Operator]) -> list[Operator]:
    """Every Movement that reads what a Movement or View makes reads that one's inputs instead; in topological order.

    Inner movements stay in the list, for readers of another kind; what nobody reads is dropped when regions are
    formed.
    """
    makers: dict[str, Movement] = {}
    result: list[Operator] = []
    for operator in operators:
        if isinstance(operator, View):
            makers[operator.output.name] = compose(as_movement(operator), makers)
            result.append(operator)
        elif isinstance(operator, Movement):
            composed = compose(operator, makers)
            makers[operator.output.name] = composed
            result.append(composed)
        else:
            result.append(operator)
    return result


def as_movement(view: View) -> Movement:
    """The view as a copy of every element, for storage that cannot be read under another shape."""
    index = np.arange(math.prod(view.output.shape), dtype=np.int64)
    return Movement(view.name, view.nodes, view.inputs, view.output, index, (None,))


def compose(operator: Movement, makers: Mapping[str, Movement]) -> Movement:
    """The same movement from the inputs of `makers`, which make some of its own inputs; every input once."""
    if not any(tensor.name in makers for tensor in operator.inputs):
        return _distinct(operator)
    inputs: list[Tensor] = []
    tables: list[Bytes | None] = []
    nodes: dict[str, None] = {}
    numbers: list[npt.NDArray[np.int64]] = []
    size = 0
    for tensor, table in zip(operator.inputs, operator.tables, strict=True):
        maker = makers.get(tensor.name)
        if maker is None:
            inputs.append(tensor)
            tables.append(table)
            numbers.append(np.arange(size, size + math.prod(tensor.shape), dtype=np.int64))
            size += math.prod(tensor.shape)
            continue
        nodes.update(dict.fromkeys(maker.nodes))
        inputs += maker.inputs
        tables += [_chained(first, table) for first in maker.tables]
        constant = -1 - maker.index if table is None else table[np.maximum(-1 - maker.index, 0)].astype(np.int64)
        numbers.append(np.where(maker.index >= 0, maker.index + size, -1 - constant))
        size += sum(math.prod(each.shape) for each in maker.inputs)
    joined = np.concatenate(numbers)
    index = np.where(operator.index >= 0, joined[np.maximum(operator.index, 0)], operator.index)
    nodes.update(dict.fromkeys(operator.nodes))
    return _distinct(
        dataclasses.replace(operator, nodes=tuple(nodes), inputs=tuple(inputs), index=index, tables=tuple(tables))
    )


def _chained(first: Bytes | None, second: Bytes | None) -> Bytes | None:
    if first is None or second is None:
        return second if first is None else first
    both: Bytes = second[first]
    return None if np.array_equal(both, np.arange(256)) else both


def _distinct(operator: Movement) -> Movement:
    """The same without inputs that nothing comes from, and with each input (under one table) once."""
    places: dict[tuple[str, bytes], int] = {}
    kept: list[tuple[Tensor, Bytes | None]] = []
    index = operator.index.copy()
    first = size = 0
    for tensor, table in zip(operator.inputs, operator.tables, strict=True):
        count = math.prod(tensor.shape)
        mine = (operator.index >= first) & (operator.index < first + count)
        if mine.any():
            key = (tensor.name, b"" if table is None else table.tobytes())
            if key not in places:
                places[key] = size
                kept.append((tensor, table))
                size += count
            index[mine] += places[key] - first
        first += count
    inputs, tables = tuple(tensor for tensor, _ in kept), tuple(table for _, table in kept)
    return dataclasses.replace(operator, inputs=inputs, tables=tables, index=index)


def as_view(operator: Operator) -> Operator:
    """A movement that keeps every element in its place as a View, anything else as it is."""
    if not isinstance(operator, Movement) or len(operator.inputs) != 1 or operator.tables[0] is not None:
        return operator
    source, target = operator.inputs[0], operator.output
    if max(len(source.shape), len(target.shape)) > 4 or source.dtype != target.dtype:
        return operator
    same = source.view == target.view and np.array_equal(operator.index, np.arange(operator.index.size))
    return View(operator.name, operator.nodes, (source,), target) if same else operator
