"""The structured control-flow form of a model whose path depends on its input: plain frozen data.

Sub-networks without any control flow are launched by statements in nested blocks. Every value has one name in the whole
program and is assigned by one statement; a block sees the values of the blocks around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from weft_runtime.steps import Step, TensorSignature

__all__ = [
    "MAX_BATCH",
    "MAX_DEPTH",
    "MAX_STATEMENTS",
    "Batching",
    "Block",
    "Branch",
    "ControlFlow",
    "Launch",
    "Loop",
    "Network",
    "NetworkBatch",
    "ReadScalar",
    "Statement",
    "blocks_within",
    "read_by",
    "statements_within",
    "written_by",
]

MAX_DEPTH = 16
"""Most blocks within each other."""

MAX_STATEMENTS = 1 << 16
"""Most statements of a program."""


MAX_BATCH = 256
"""Most samples that a sub-network is compiled for."""


@dataclass(frozen=True)
class Network:
    """A sub-network: steps that run one after the other. `inputs` and `outputs` are its own tensor names; every launch
    says, by position, which values of the program they are. `macs` counts its multiply-accumulates."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    steps: tuple[Step, ...]
    macs: int


@dataclass(frozen=True)
class Launch:
    """Runs a sub-network, on the accelerators or the host as its steps say."""

    network: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class ReadScalar:
    """The host reads a value of one element: a decision or a number of iterations."""

    value: str
    scalar: str


@dataclass(frozen=True)
class Branch:
    """One of two blocks runs; its results get the names in `results`."""

    name: str
    condition: str
    then: Block
    otherwise: Block
    results: tuple[str, ...]


@dataclass(frozen=True)
class Loop:
    """ONNX's Loop: the body runs while both `count` (a scalar) and the condition allow it; an empty name is no limit.

    `initial` holds the state before the first iteration, `parameters` its names in the body. The body's results are the
    next state, and then one slice for each of `stacked`: its name outside, and data type and shape of a slice.
    `index` and `going` name the iteration's number and the condition in the body, with ranks `index_rank` and
    `going_rank` (0 or 1). `condition` is the scalar before the first iteration, `proceed` the one that the body reads.
    `results` are the last state's names outside.
    """

    name: str
    count: str
    condition: str
    proceed: str
    index: str
    going: str
    index_rank: int
    going_rank: int
    initial: tuple[str, ...]
    parameters: tuple[str, ...]
    results: tuple[str, ...]
    stacked: tuple[TensorSignature, ...]
    body: Block


Statement = Launch | ReadScalar | Branch | Loop


@dataclass(frozen=True)
class Block:
    """Statements in order, and the values that the block returns."""

    statements: tuple[Statement, ...]
    results: tuple[str, ...]


@dataclass(frozen=True)
class NetworkBatch:
    """Sub-network `network` compiled for `size` samples at once: sub-network `variant`, estimated to take so many
    nanoseconds. Its inputs and outputs have the samples in place of a leading extent of 1, or else as an axis in front;
    `stacked` says for each output whether it is in front."""

    network: int
    size: int
    variant: int
    nanoseconds: int
    stacked: tuple[bool, ...]


@dataclass(frozen=True)
class Batching:
    """How up to `most` samples run together. `singles` are the estimated nanoseconds of each sub-network for one sample
    (those that launches name come first), `alone` says of a sub-network (its number) why it runs sample by sample."""

    most: int
    singles: tuple[int, ...]
    sizes: tuple[NetworkBatch, ...]
    alone: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class ControlFlow:
    """A program: its sub-networks, and the outermost block, which returns the model's outputs in order. `batching` is
    None where samples run one after the other."""

    networks: tuple[Network, ...]
    body: Block
    batching: Batching | None = None


def blocks_within(statement: Statement) -> tuple[Block, ...]:
    """The blocks directly inside a statement."""
    match statement:
        case Branch():
            return (statement.then, statement.otherwise)
        case Loop():
            return (statement.body,)
    return ()


def statements_within(block: Block) -> Iterator[Statement]:
    """All statements of a block and of the blocks inside it, in order."""
    for statement in block.statements:
        yield statement
        for inner in blocks_within(statement):
            yield from statements_within(inner)


def read_by(statement: Statement) -> tuple[str, ...]:
    """What a statement itself reads: values and scalars, without what its blocks read."""
    match statement:
        case Launch():
            return statement.inputs
        case ReadScalar():
            return (statement.value,)
        case Branch():
            return (statement.condition,)
        case Loop():
            return tuple(filter(None, (statement.count, statement.condition, *statement.initial)))


def written_by(statement: Statement) -> tuple[str, ...]:
    """What a statement assigns in its own block."""
    match statement:
        case Launch():
            return statement.outputs
        case ReadScalar():
            return (statement.scalar,)
        case Branch():
            return statement.results
        case Loop():
            return (*statement.results, *(each.name for each in statement.stacked))
