"""The unit of overlap: one tile's loads, products, vector passes and stores, and their order in the program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from weft_sim.isa import Instruction

__all__ = ["Iteration", "interleave"]


@dataclass
class Iteration:
    """Instructions of one tile by stage, in sequential meaning: constants, loads, products, vectors, stores.

    `reads` and `writes` name the tensors that `loads` and `stores` touch in DRAM; `source` is the ONNX node.
    """

    source: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    constants: list[Instruction] = field(default_factory=list)
    loads: list[Instruction] = field(default_factory=list)
    products: list[Instruction] = field(default_factory=list)
    vectors: list[Instruction] = field(default_factory=list)
    stores: list[Instruction] = field(default_factory=list)


def interleave(iterations: Sequence[Iteration]) -> list[tuple[Instruction, str]]:
    """One program order in which queues of finite depth never hold back the overlap (software pipelining).

    Before the loads of tile j come the products of tile j − 1 and the vector passes and stores of tile j − 2: so the
    MXU's next work is dispatched before loads that wait for its present work to free their buffer. Where the loads of
    a tile read a tensor whose stores are still to come, everything before is emitted first.
    """
    order: list[tuple[Instruction, str]] = []
    multiplied = finished = 0

    def emit(iteration: Iteration, *stages: list[Instruction]) -> None:
        order.extend((instruction, iteration.source) for stage in stages for instruction in stage)

    def advance(products_before: int, results_before: int) -> None:
        nonlocal multiplied, finished
        while multiplied < products_before:
            emit(iterations[multiplied], iterations[multiplied].products)
            multiplied += 1
        while finished < results_before:
            emit(iterations[finished], iterations[finished].vectors, iterations[finished].stores)
            finished += 1

    for index, iteration in enumerate(iterations):
        advance(index, index - 1)
        emit(iteration, iteration.constants)
        pending = {name for other in iterations[finished:index] for name in other.writes}
        if pending.intersection(iteration.reads):
            advance(index, index)
        emit(iteration, iteration.loads)
    advance(len(iterations), len(iterations))
    return order
