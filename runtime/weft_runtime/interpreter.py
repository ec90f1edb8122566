"""Runs a program in control-flow form: the statements here, values and launches by whoever holds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from weft_runtime.control import Block, Branch, Launch, Loop, ReadScalar
from weft_runtime.errors import SessionError
from weft_runtime.liveness import Expiry, expiry
from weft_runtime.steps import TensorSignature

__all__ = ["MAX_ITERATIONS", "Decision", "Interpreter", "Machine"]

MAX_ITERATIONS = 1 << 20
"""Iterations of one Loop after which a run is given up: a condition that never falls must not hang a session."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Decision:
    """What was decided at an If or Loop: `outcome` is "then" or "else", or how often the body ran."""

    name: str
    outcome: str


class Machine(Protocol[Value]):
    """Who holds the values, and launches sub-networks."""

    def launch(self, network: int, inputs: Sequence[Value]) -> Sequence[Value]:
        """A sub-network's outputs."""
        ...

    def scalar(self, value: Value) -> int:
        """A value of one element, read by the host: a number, or 0 or 1."""
        ...

    def constant(self, number: int | bool, rank: int) -> Value:
        """An int64 or bool value with so many axes (0 or 1)."""
        ...

    def stack(self, slices: Sequence[Value], each: TensorSignature) -> Value:
        """Slices along a new leading axis; `each` is the signature of one, for the case that there is none."""
        ...


class Interpreter(Generic[Value]):
    """One program, run any number of times. `values` are those that the program may still need; the machine may look
    at them while it launches."""

    def __init__(self, body: Block, machine: Machine[Value]) -> None:
        self._body = body
        self._machine = machine
        self._expiry: Expiry = expiry(body)
        self.values: dict[str, Value] = {}
        self._scalars: dict[str, int] = {}
        self._slices: list[list[Value]] = []
        self._decide: Callable[[Decision], None] = lambda decision: None

    @property
    def held(self) -> list[Value]:
        """Every value that may still be needed."""
        return [*self.values.values(), *(each for slices in self._slices for each in slices)]

    def note(self, decision: Decision) -> None:
        """A decision that the machine took itself during a launch becomes part of the path."""
        self._decide(decision)

    def run(self, inputs: dict[str, Value]) -> tuple[list[Value], tuple[Decision, ...]]:
        """The results of the outermost block, and the path. Raises SessionError for a Loop that does not end, and what
        the machine raises."""
        path: list[Decision] = []
        self._decide = path.append
        self.values, self._scalars, self._slices = dict(inputs), {}, []
        self._run_block(self._body)
        results = [self.values[name] for name in self._body.results]
        self.values = {}
        return results, tuple(path)

    def _run_block(self, block: Block) -> None:
        for position, statement in enumerate(block.statements):
            match statement:
                case Launch():
                    inputs = [self.values[name] for name in statement.inputs]
                    outputs = self._machine.launch(statement.network, inputs)
                    self.values.update(zip(statement.outputs, outputs, strict=True))
                case ReadScalar():
                    self._scalars[statement.scalar] = self._read(statement)
                case Branch():
                    self._run_branch(statement)
                case Loop():
                    self._run_loop(statement)
            for name in self._expiry[id(block), position]:
                self.values.pop(name, None)

    def _read(self, statement: ReadScalar) -> int:
        try:
            return self._machine.scalar(self.values[statement.value])
        except SessionError as error:
            raise SessionError(f"{statement.value!r}: {error}") from error

    def _run_branch(self, branch: Branch) -> None:
        taken = bool(self._scalars[branch.condition])
        self._decide(Decision(branch.name, "then" if taken else "else"))
        block = branch.then if taken else branch.otherwise
        self._run_block(block)
        results = [self.values[name] for name in block.results]
        self.values.update(zip(branch.results, results, strict=True))

    def _run_loop(self, loop: Loop) -> None:
        limit = self._scalars[loop.count] if loop.count else None
        going = bool(self._scalars[loop.condition]) if loop.condition else True
        state = [self.values[name] for name in loop.initial]
        slices: list[list[Value]] = [[] for _ in loop.stacked]
        self._slices.extend(slices)
        index = 0
        while going and (limit is None or index < limit):
            if index >= MAX_ITERATIONS:
                raise SessionError(
                    f"loop {loop.name!r} has not ended after {MAX_ITERATIONS} iterations; "
                    "check its condition, or give it a largest number of iterations"
                )
            self.values.update(zip(loop.parameters, state, strict=True))
            self.values[loop.index] = self._machine.constant(index, loop.index_rank)
            self.values[loop.going] = self._machine.constant(True, loop.going_rank)
            self._run_block(loop.body)
            given = [self.values[name] for name in loop.body.results]
            state = given[: len(state)]
            for collected, each in zip(slices, given[len(state) :], strict=True):
                collected.append(each)
            going = bool(self._scalars[loop.proceed]) if loop.proceed else True
            index += 1
        self._decide(Decision(loop.name, str(index)))
        del self._slices[len(self._slices) - len(slices) :]
        self.values.update(zip(loop.results, state, strict=True))
        for signature, collected in zip(loop.stacked, slices, strict=True):
            self.values[signature.name] = self._machine.stack(collected, signature)
