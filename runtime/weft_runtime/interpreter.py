"""Runs a program in control-flow form: the statements here, values and launches by whoever holds them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from weft_runtime.control import Block, Branch, Launch, Loop, ReadScalar
from weft_runtime.errors import SessionError
from weft_runtime.liveness import Expiry, expiry
from weft_runtime.steps import TensorSignature

__all__ = [
    "MAX_ITERATIONS",
    "Call",
    "Collect",
    "Course",
    "Decision",
    "Interpreter",
    "Machine",
    "Number",
    "Read",
    "Steps",
    "Wish",
]

MAX_ITERATIONS = 1 << 20
"""Iterations of one Loop after which a run is given up: a condition that never falls must not hang a session."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Decision:
    """What was decided at an If or Loop: `outcome` is "then" or "else", or how often the body ran."""

    name: str
    outcome: str


@dataclass(frozen=True)
class Call(Generic[Value]):
    """A sub-network to launch; the answer is its outputs. `place` says where in the program this is: of two places, the
    one that comes first in order of execution is the smaller."""

    network: int
    inputs: Sequence[Value]
    place: tuple[int, ...]


@dataclass(frozen=True)
class Read(Generic[Value]):
    """The value `name` of one element, for the host; the answer is a number, or 0 or 1."""

    value: Value
    name: str


@dataclass(frozen=True)
class Number:
    """An int64 or bool value with so many axes (0 or 1); the answer is the value."""

    number: int | bool
    rank: int


@dataclass(frozen=True)
class Collect(Generic[Value]):
    """Slices along a new leading axis; `each` is the signature of one, for the case that there is none. The answer is
    the value."""

    slices: Sequence[Value]
    each: TensorSignature


Wish = Call[Any] | Read[Any] | Number | Collect[Any]
"""What a course needs from whoever holds the values."""

Steps = Generator[Wish, Any, None]
"""Part of a course."""


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


class Course(Generic[Value]):
    """The course of one sample through a program, as a generator of wishes, so that several can be on their way at
    once. `values` are those that the program may still need."""

    def __init__(self, body: Block, dying: Expiry | None = None) -> None:
        self._body = body
        self._expiry: Expiry = expiry(body) if dying is None else dying
        self.values: dict[str, Value] = {}
        self._scalars: dict[str, int] = {}
        self._slices: list[list[Value]] = []
        self._place: list[int] = []
        self._decide: Callable[[Decision], None] = lambda decision: None

    def another(self) -> Course[Value]:
        """A course of another sample through the same program."""
        return Course(self._body, self._expiry)

    @property
    def held(self) -> list[Value]:
        """Every value that may still be needed."""
        return [*self.values.values(), *(each for slices in self._slices for each in slices)]

    def note(self, decision: Decision) -> None:
        """A decision that the machine took itself during a launch becomes part of the path."""
        self._decide(decision)

    def steps(self, inputs: dict[str, Value]) -> Generator[Wish, Any, tuple[list[Value], tuple[Decision, ...]]]:
        """Wishes until the end; then the results of the outermost block, and the path. Raises SessionError for a Loop
        that does not end."""
        path: list[Decision] = []
        self._decide = path.append
        self.values, self._scalars, self._slices, self._place = dict(inputs), {}, [], []
        yield from self._run_block(self._body)
        results = [self.values[name] for name in self._body.results]
        self.values = {}
        return results, tuple(path)

    def _run_block(self, block: Block) -> Steps:
        self._place.append(0)
        for position, statement in enumerate(block.statements):
            self._place[-1] = position
            match statement:
                case Launch():
                    inputs = [self.values[name] for name in statement.inputs]
                    outputs = yield Call(statement.network, inputs, tuple(self._place))
                    self.values.update(zip(statement.outputs, outputs, strict=True))
                case ReadScalar():
                    self._scalars[statement.scalar] = yield Read(self.values[statement.value], statement.value)
                case Branch():
                    yield from self._run_branch(statement)
                case Loop():
                    yield from self._run_loop(statement)
            for name in self._expiry[id(block), position]:
                self.values.pop(name, None)
        self._place.pop()

    def _run_branch(self, branch: Branch) -> Steps:
        taken = bool(self._scalars[branch.condition])
        self._decide(Decision(branch.name, "then" if taken else "else"))
        block = branch.then if taken else branch.otherwise
        self._place.append(int(taken))
        yield from self._run_block(block)
        self._place.pop()
        results = [self.values[name] for name in block.results]
        self.values.update(zip(branch.results, results, strict=True))

    def _run_loop(self, loop: Loop) -> Steps:
        limit = self._scalars[loop.count] if loop.count else None
        going = bool(self._scalars[loop.condition]) if loop.condition else True
        state = [self.values[name] for name in loop.initial]
        slices: list[list[Value]] = [[] for _ in loop.stacked]
        self._slices.extend(slices)
        self._place.append(0)
        index = 0
        while going and (limit is None or index < limit):
            if index >= MAX_ITERATIONS:
                raise SessionError(
                    f"loop {loop.name!r} has not ended after {MAX_ITERATIONS} iterations; "
                    "check its condition, or give it a largest number of iterations"
                )
            self._place[-1] = index
            self.values.update(zip(loop.parameters, state, strict=True))
            self.values[loop.index] = yield Number(index, loop.index_rank)
            self.values[loop.going] = yield Number(True, loop.going_rank)
            yield from self._run_block(loop.body)
            given = [self.values[name] for name in loop.body.results]
            state = given[: len(state)]
            for collected, each in zip(slices, given[len(state) :], strict=True):
                collected.append(each)
            going = bool(self._scalars[loop.proceed]) if loop.proceed else True
            index += 1
        self._place.pop()
        self._decide(Decision(loop.name, str(index)))
        self.values.update(zip(loop.results, state, strict=True))
        for signature, collected in zip(loop.stacked, slices, strict=True):
            self.values[signature.name] = yield Collect(collected, signature)
        del self._slices[len(self._slices) - len(slices) :]


class Interpreter(Course[Value]):
    """One program on one machine, run any number of times; the machine may look at the `values` while it launches."""

    def __init__(self, body: Block, machine: Machine[Value]) -> None:
        super().__init__(body)
        self._machine = machine

    def run(self, inputs: dict[str, Value]) -> tuple[list[Value], tuple[Decision, ...]]:
        """The results of the outermost block, and the path. Raises SessionError for a Loop that does not end, and what
        the machine raises."""
        steps, answer = self.steps(inputs), None
        while True:
            try:
                wish = steps.send(answer)
            except StopIteration as end:
                results, path = end.value
                return results, path
            answer = self._answer(wish)

    def _answer(self, wish: Wish) -> Any:
        match wish:
            case Call():
                return self._machine.launch(wish.network, wish.inputs)
            case Read():
                try:
                    return self._machine.scalar(wish.value)
                except SessionError as error:
                    raise SessionError(f"{wish.name!r}: {error}") from error
            case Number():
                return self._machine.constant(wish.number, wish.rank)
            case Collect():
                return self._machine.stack(wish.slices, wish.each)
