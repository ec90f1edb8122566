"""A recurrent node written as its steps one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weft.frontend.graph import Graph
from weft.frontend.recurrent.builder import Builder
from weft.frontend.recurrent.cells import CELLS, State
from weft.frontend.recurrent.spec import Direction, Recurrence

# Nodes of one step, without peepholes and clip; for the estimate alone.
NODES = {"LSTM": 13, "GRU": 11, "RNN": 3}


@dataclass(frozen=True)
class _Rows:
    """The batch rows that have the same number of steps."""

    length: int
    indices: tuple[int, ...]


@dataclass(frozen=True)
class _Answer:
    """One direction's results: [steps, 1, batch, hidden] and the final states [1, batch, hidden] (cell: LSTM only)."""

    all_steps: str
    hidden: str
    cell: str


def cost(recurrence: Recurrence) -> int:
    """About how many nodes the unrolled form has."""
    groups = set(recurrence.lengths)
    parts = len(groups) * recurrence.steps  # outputs of the Split that takes the input products apart
    return len(recurrence.directions) * (NODES[recurrence.kind] * sum(groups) + parts)


def unroll(graph: Graph, recurrence: Recurrence) -> None:
    """Replaces the node. x·W of all steps is one product [steps·batch, inputs]·[inputs, gates·hidden] with the biases
    added to it; every step multiplies the state with the same constant. Rows of unequal length run apart."""
    node, build = recurrence.node, Builder(graph, recurrence.node)
    graph.remove(node)
    answers = [_direction(build, recurrence, index) for index in range(len(recurrence.directions))]
    results = (
        (0, [answer.all_steps for answer in answers], 1),
        (1, [answer.hidden for answer in answers], 0),
        (2, [answer.cell for answer in answers], 0),
    )
    for position, parts, axis in results:
        if len(node.output) > position and node.output[position]:
            build.identity(build.concat(parts, axis), node.output[position])


def _direction(build: Builder, recurrence: Recurrence, index: int) -> _Answer:
    groups = [
        _Rows(length, tuple(row for row, each in enumerate(recurrence.lengths) if each == length))
        for length in sorted(set(recurrence.lengths))
    ]
    answers = [_rows(build, recurrence, recurrence.directions[index], index, group) for group in groups]
    order = np.argsort([row for group in groups for row in group.indices], kind="stable").tolist()

    def together(parts: list[str], axis: int) -> str:
        return build.gather(build.concat(parts, axis), axis, order) if parts[0] else ""

    return _Answer(
        together([answer.all_steps for answer in answers], 2),
        together([answer.hidden for answer in answers], 1),
        together([answer.cell for answer in answers], 1),
    )


def _rows(build: Builder, recurrence: Recurrence, direction: Direction, index: int, rows: _Rows) -> _Answer:
    """The rows of one length through all their steps; results behind the last step are zero."""
    batch, hidden = len(rows.indices), recurrence.hidden
    cell = CELLS[recurrence.kind](build, recurrence, direction)
    source = build.gather(recurrence.node.input[0], 1, rows.indices)
    flat = build.reshape(source, (recurrence.steps * batch, recurrence.inputs))
    weights = build.constant("W", np.ascontiguousarray(direction.weights.T))
    products = build.product(flat, weights)
    if cell.bias.any():
        products = build.binary("Add", products, build.constant("B", cell.bias))
    steps = build.split(products, 0, [batch] * recurrence.steps)
    state = State(
        _initial(build, recurrence, recurrence.initial_h, index, rows),
        _initial(build, recurrence, recurrence.initial_c, index, rows),
    )
    made: dict[int, str] = {}
    for step in reversed(range(rows.length)) if direction.reverse else range(rows.length):
        state = cell.step(steps[step], state)
        made[step] = state.hidden or ""
    outputs = [made[step] for step in range(rows.length)]
    if rows.length < recurrence.steps:
        rest = (recurrence.steps - rows.length) * batch
        outputs.append(build.constant("zeros", np.zeros((rest, hidden), np.float32)))
    final = (1, batch, hidden)
    return _Answer(
        build.reshape(build.concat(outputs, 0), (recurrence.steps, 1, batch, hidden)),
        build.reshape(state.hidden or "", final),
        build.reshape(state.cell, final) if state.cell else "",
    )


def _initial(build: Builder, recurrence: Recurrence, name: str, index: int, rows: _Rows) -> str | None:
    if not name:
        return None
    count = len(recurrence.directions)
    if count > 1:
        name = build.gather(name, 0, [index])
    batch = len(rows.indices)
    return build.reshape(build.gather(name, 1, rows.indices), (batch, recurrence.hidden))
