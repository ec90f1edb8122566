"""One step of each recurrent operator on matrices [batch, hidden], by ONNX's equations.

A state that is zero is None: products with it are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from weft.frontend.recurrent.activations import Activation
from weft.frontend.recurrent.builder import Builder
from weft.frontend.recurrent.spec import Direction, Recurrence


@dataclass(frozen=True)
class State:
    """Names of the hidden and (LSTM only) the cell state; None is zero."""

    hidden: str | None
    cell: str | None = None


Step = Callable[[str, State], State]
"""From the step's input products [batch, gates·hidden] and the state before to the state behind."""


@dataclass(frozen=True)
class Cell:
    """What the input products add (`bias` [gates·hidden]), and how a step goes on from them."""

    bias: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    step: Step


def lstm_cell(build: Builder, recurrence: Recurrence, direction: Direction) -> Cell:
    """i, o, f = F(x·W + h·R + b + P∘c); c' = f∘c + i∘G(…); h' = o∘H(c'). Gates are stored in the order i, o, f, c."""
    size = recurrence.hidden
    weights = build.constant("R", np.ascontiguousarray(direction.recurrent.T))
    gate, candidate, output = direction.activations
    peepholes = None
    if direction.peepholes is not None:
        peepholes = [build.constant("P", each) for each in direction.peepholes.reshape(3, size)]

    def open_gates(sums: str, cell: str | None) -> tuple[str, str, str]:
        """i and f opened, o still to be opened with the new cell where there are peepholes."""
        if peepholes is None:
            opened = _bounded(build, recurrence, gate, sums)
            entering, leaving, forgetting = build.split(opened, 1, [size] * 3)
            return entering, leaving, forgetting
        entering, leaving, forgetting = build.split(sums, 1, [size] * 3)
        entering = _bounded(build, recurrence, gate, _peep(build, entering, peepholes[0], cell))
        forgetting = _bounded(build, recurrence, gate, _peep(build, forgetting, peepholes[2], cell))
        return entering, leaving, forgetting

    def step(products: str, state: State) -> State:
        sums = _plus(build, products, state.hidden, weights)
        gates, proposal = build.split(sums, 1, [3 * size, size])
        entering, leaving, forgetting = open_gates(gates, state.cell)
        if recurrence.input_forget:
            forgetting = build.binary("Sub", build.scalar(1.0), entering)
        cell = build.binary("Mul", entering, _bounded(build, recurrence, candidate, proposal))
        if state.cell is not None:
            cell = build.binary("Add", build.binary("Mul", forgetting, state.cell), cell)
        if peepholes is not None:
            leaving = _bounded(build, recurrence, gate, _peep(build, leaving, peepholes[1], cell))
        return State(build.binary("Mul", leaving, output.apply(build, cell)), cell)

    return Cell(direction.input_bias + direction.recurrent_bias, step)


def gru_cell(build: Builder, recurrence: Recurrence, direction: Direction) -> Cell:
    """z, r = F(x·W + h·R + b); n = G(x·Wn + r∘(h·Rn + bRn) + bWn), or with (r∘h)·Rn where the reset comes first;
    h' = n + z∘(h − n). Gates are stored in the order z, r, n."""
    size = recurrence.hidden
    gate, candidate = direction.activations
    if recurrence.linear_before_reset:
        late = direction.recurrent_bias[2 * size :]
        offset = build.constant("Rb", late) if late.any() else None
        recurrent = [build.constant("R", np.ascontiguousarray(direction.recurrent.T))]
        early = np.concatenate([direction.recurrent_bias[: 2 * size], np.zeros(size, np.float32)])
    else:
        offset, early = None, direction.recurrent_bias
        both = np.ascontiguousarray(direction.recurrent[: 2 * size].T)
        last = np.ascontiguousarray(direction.recurrent[2 * size :].T)
        recurrent = [build.constant("R", both), build.constant("Rn", last)]

    def reset_first(products: str, hidden: str | None) -> tuple[str, str]:
        """z, and the candidate's sum where the reset gate stands before the product."""
        sums, proposal = build.split(products, 1, [2 * size, size])
        opened = _bounded(build, recurrence, gate, _plus(build, sums, hidden, recurrent[0]))
        update, reset = build.split(opened, 1, [size, size])
        if hidden is not None:
            proposal = _plus(build, proposal, build.binary("Mul", reset, hidden), recurrent[1])
        return update, proposal

    def reset_behind(products: str, hidden: str | None) -> tuple[str, str]:
        """z, and the candidate's sum where the reset gate stands behind the product."""
        sums, proposal = build.split(products, 1, [2 * size, size])
        late = offset
        if hidden is not None:
            gates, late = build.split(build.product(hidden, recurrent[0]), 1, [2 * size, size])
            sums = build.binary("Add", sums, gates)
            late = late if offset is None else build.binary("Add", late, offset)
        update, reset = build.split(_bounded(build, recurrence, gate, sums), 1, [size, size])
        if late is not None:
            proposal = build.binary("Add", proposal, build.binary("Mul", reset, late))
        return update, proposal

    def step(products: str, state: State) -> State:
        form = reset_behind if recurrence.linear_before_reset else reset_first
        update, proposal = form(products, state.hidden)
        fresh = _bounded(build, recurrence, candidate, proposal)
        if state.hidden is None:
            return State(build.binary("Sub", fresh, build.binary("Mul", update, fresh)))
        kept = build.binary("Mul", update, build.binary("Sub", state.hidden, fresh))
        return State(build.binary("Add", fresh, kept))

    return Cell(direction.input_bias + early, step)


def rnn_cell(build: Builder, recurrence: Recurrence, direction: Direction) -> Cell:
    """h' = F(x·W + h·R + b)."""
    weights = build.constant("R", np.ascontiguousarray(direction.recurrent.T))
    (function,) = direction.activations

    def step(products: str, state: State) -> State:
        return State(_bounded(build, recurrence, function, _plus(build, products, state.hidden, weights)))

    return Cell(direction.input_bias + direction.recurrent_bias, step)


CELLS = {"LSTM": lstm_cell, "GRU": gru_cell, "RNN": rnn_cell}


def _plus(build: Builder, sums: str, hidden: str | None, weights: str) -> str:
    return sums if hidden is None else build.binary("Add", sums, build.product(hidden, weights))


def _peep(build: Builder, sums: str, weights: str, cell: str | None) -> str:
    return sums if cell is None else build.binary("Add", sums, build.binary("Mul", cell, weights))


def _bounded(build: Builder, recurrence: Recurrence, function: Activation, value: str) -> str:
    limited = value if recurrence.clip is None else build.clip(value, recurrence.clip)
    return function.apply(build, limited)
