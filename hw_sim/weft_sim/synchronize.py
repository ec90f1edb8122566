"""Tokens for programs written in program order: the compiler's last step."""

from __future__ import annotations

from collections.abc import Sequence

from weft_sim.accesses import Access, AccessLog, AccessTable
from weft_sim.errors import InstructionError
from weft_sim.isa.architecture import TOKEN_LIMIT, Unit
from weft_sim.isa.control import Jump, Register
from weft_sim.isa.instruction import Instruction
from weft_sim.machine import MachineConfig
from weft_sim.ordering import Clock, Ordering
from weft_sim.registers import NO_AREAS, Areas, RegisterValues, bound_registers, registers_after

__all__ = ["ANY_DRAM", "synchronize"]

ANY_DRAM = 1 << 32
"""Bytes that a DRAM address can reach."""


def synchronize(
    config: MachineConfig,
    instructions: Sequence[Instruction],
    registers: Sequence[int | None],
    table: AccessTable | None = None,
    areas: Areas = NO_AREAS,
) -> list[Instruction]:
    """The same instructions with the tokens that make every run give the result of executing them one by one
    in order.

    Every pair of conflicting accesses (one of them a write) by different units is ordered, to DRAM,
    scratchpad, accumulators and mailboxes; areas are compared exactly, so rectangles of one tensor that only
    interleave cost nothing. For each instruction and each other unit, only the latest conflicting instruction
    matters, since units retire in order; it gets a token unless the instruction knows that it has retired
    (`Ordering`): through an earlier token, through the other tokens of the same instruction, or because FETCH
    waited for it.

    One channel for each ordered pair of units is enough, and counting is enough to tell its tokens apart: let
    the pairs (p₁, j₁), (p₂, j₂), … be those decided for signaller unit u and waiter unit v, in the order of
    j. When pair k is decided, j_k knows what j_{k−1} knew, because both are of unit v, and j_{k−1} knew that
    all of u up to p_{k−1} had retired; a pair is decided only for a p_k not known to have retired, so p_k >
    p_{k−1}. Both sequences rise, so the k-th signal in program order is p_k's and the k-th wait is j_k's, and
    no instruction signals a channel twice. At most TOKEN_LIMIT tokens of a channel stay open: a pair that
    would exceed it replaces the one before it, moving that wait to the later signal (p_k is dispatched before
    the oldest open wait, so before j_{k−1}, and still rises).

    A JUMP waits for everything before it. The program may jump only to index 0 or right behind another JUMP,
    where all is retired whichever way it got there. A register that depends on a mailbox, or that the program
    writes before it jumps, may address any byte of DRAM; of those in `areas`, any byte of the area that is given.

    What one VECTOR does to its own operands is not this function's concern (`races.check` reports it). Wait
    and signal bits that instructions already have are refused. Values of `registers` are those that the host
    binds at launch (None: unknown); a `table` of ANY_DRAM bytes may know accesses already. Raises
    InstructionError naming the instruction.
    """
    _check_input(instructions)
    found = AccessTable(config, ANY_DRAM) if table is None else table
    return _Synchronizer(instructions, found, areas).run(registers)


def _check_input(instructions: Sequence[Instruction]) -> None:
    for index, instruction in enumerate(instructions):
        if instruction.wait or instruction.signal:
            raise InstructionError(f"instruction {index} ({instruction.MNEMONIC}) has tokens already")
        if not isinstance(instruction, Jump) or instruction.target == 0:
            continue
        behind = instruction.target - 1
        if behind >= len(instructions) or not isinstance(instructions[behind], Jump):
            raise InstructionError(
                f"instruction {index} (JUMP): target {instruction.target} must be 0 or follow a JUMP, where "
                "all units have caught up; put a JUMP to it in front of it"
            )


class _Synchronizer:
    """One pass over the program."""

    def __init__(self, instructions: Sequence[Instruction], table: AccessTable, areas: Areas) -> None:
        self.instructions = instructions
        self.table = table
        self.areas = areas
        self.waits = [0] * len(instructions)
        self.signals = [0] * len(instructions)
        self.written = {item.destination for item in instructions if isinstance(item, Register)}
        self.order = Ordering()
        self.log = AccessLog()
        self.pairs: dict[tuple[Unit, Unit], list[tuple[int, int]]] = {}
        """For each channel (signalling, waiting unit) the pairs of program indices so far."""

    def run(self, registers: Sequence[int | None]) -> list[Instruction]:
        """The instructions with their tokens."""
        bound = self._forget(bound_registers(registers)) if self._targets_start() else bound_registers(registers)
        for index, instruction in enumerate(self.instructions):
            unit = instruction.UNIT
            clock = self.order.begin(unit)
            found = self.table.of(instruction, bound)
            if isinstance(instruction, Jump):
                wanted = {other: len(self.order.indices[other]) - 1 for other in Unit if other != unit}
                self._wait(index, unit, clock, {u: p for u, p in wanted.items() if p >= clock[u]})
            else:
                self._wait(index, unit, clock, self._dependencies(unit, clock, found))
            self.log.add(unit, self.order.finish(unit, clock, index), found)
            if isinstance(instruction, Jump):
                bound = self._forget(bound)
            else:
                bound = registers_after(instruction, bound, self.areas)
        self._book()
        return [
            instruction.with_tokens(wait, signal)
            for instruction, wait, signal in zip(self.instructions, self.waits, self.signals, strict=True)
        ]

    def _targets_start(self) -> bool:
        return any(isinstance(instruction, Jump) and instruction.target == 0 for instruction in self.instructions)

    def _forget(self, bound: RegisterValues) -> RegisterValues:
        """Behind a JUMP or at its target, a register that the program writes may hold what any path left in
        it."""
        return tuple(self.areas.get(number) if number in self.written else value for number, value in enumerate(bound))

    def _dependencies(self, unit: Unit, clock: Clock, found: Sequence[Access]) -> dict[Unit, int]:
        """For each other unit the position of the latest instruction that must have retired and may not
        have."""
        wanted: dict[Unit, int] = {}
        known = list(clock)
        for access in found:
            for other, position, _ in self.log.conflicts(unit, access, known):
                wanted[other] = max(wanted.get(other, -1), position)
                known[other] = wanted[other] + 1  # earlier ones no longer matter
        return wanted

    def _wait(self, index: int, unit: Unit, clock: Clock, wanted: dict[Unit, int]) -> None:
        """Adds the tokens that are not implied by one another, and what they teach the instruction."""
        clocks = {other: self.order.clocks[other][position] for other, position in wanted.items()}
        for other, position in wanted.items():
            if any(clocks[third][other] > position for third in wanted if third != other):
                continue
            self._pair(other, unit, self.order.indices[other][position], index)
        for other, position in wanted.items():
            self.order.take(clock, other, position)

    def _pair(self, source: Unit, unit: Unit, signal: int, wait: int) -> None:
        pairs = self.pairs.setdefault((source, unit), [])
        if len(pairs) >= TOKEN_LIMIT and pairs[-TOKEN_LIMIT][1] > signal:
            pairs[-1] = (signal, pairs[-1][1])
        else:
            pairs.append((signal, wait))

    def _book(self) -> None:
        for (source, unit), pairs in self.pairs.items():
            for signal, wait in pairs:
                self.signals[signal] |= 1 << unit
                self.waits[wait] |= 1 << source
