"""The race checker: proves that a program's answer does not depend on time, or names the accesses for which
it may.

Two accesses conflict when they touch a common unit of DRAM, scratchpad, accumulators, tables or mailboxes and
one of them writes. They must be ordered: the earlier instruction has retired before the later one issues, by
what tokens guarantee (`weft_sim.ordering`). Within one unit the hardware keeps order (docs/machine.md): LOAD
writes, STORE reads and writes, and the MXU reads and writes accumulators in program order, none of them reads
what it writes otherwise, and the VPU runs one instruction at a time. What is left inside a unit is one VECTOR
whose results overwrite operands of its own later steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from weft_sim.accesses import AccessLog, accesses
from weft_sim.errors import InstructionError
from weft_sim.footprint import Footprint, common_address, overlap
from weft_sim.hazards import own_operand_overwritten
from weft_sim.isa.architecture import INSTRUCTION_BYTES, Space, Unit
from weft_sim.isa.control import Halt, Jump
from weft_sim.isa.instruction import Instruction
from weft_sim.isa.tokens import TokenLedger
from weft_sim.machine import MachineConfig
from weft_sim.ordering import Clock, Ordering
from weft_sim.registers import RegisterValue, bound_registers, registers_after
from weft_sim.uninitialized import UninitializedRead, uninitialized_reads

__all__ = ["Race", "UninitializedRead", "check", "check_execution", "check_stretch", "uninitialized_reads"]

Step = tuple[int, Instruction, Sequence[RegisterValue]]
"""Program index, instruction, and the base registers that it sees."""


@dataclass(frozen=True)
class Race:
    """Two accesses that conflict and that no token orders: program indices of the earlier and the later
    instruction (equal: one VECTOR against itself), the space, one address in it (in units of `Space`), and
    all of it in words."""

    first: int
    second: int
    space: Space
    address: int
    words: str


def check(
    config: MachineConfig,
    instructions: Sequence[Instruction],
    registers: Sequence[int],
    dram_bytes: int,
    program_address: int | None = None,
) -> list[Race]:
    """Every race of a program without jumps, up to its HALT; at most one for each instruction, other unit and
    space.

    A register that depends on a mailbox may hold anything, so accesses through it meet every other access to
    DRAM. With `program_address` the program's own bytes count too: FETCH may have read them at any time, so
    no STORE may change them. Raises InstructionError naming the instruction for a JUMP (see
    `check_execution`) and for whatever dispatch would refuse.
    """
    steps = list(_straight(config, instructions, registers, dram_bytes))
    text = None if program_address is None else (program_address, len(instructions))
    return _Checker(config, dram_bytes, text).run(steps)


def check_execution(
    config: MachineConfig,
    executed: Iterable[Step],
    dram_bytes: int,
    program: tuple[int, int] | None = None,
) -> list[Race]:
    """Every race of the instructions in the order in which a run executed them (`GoldenMachine.executed`).

    Each step comes with the registers before it. `program`: address and instruction count of the program in
    DRAM, as in `check`. A race is reported once for each pair of program indices and space. Raises
    InstructionError where dispatch would refuse.
    """
    races: dict[tuple[int, int, Space], Race] = {}
    for race in _Checker(config, dram_bytes, program).run(_validated(config, executed, dram_bytes)):
        races.setdefault((race.first, race.second, race.space), race)
    return list(races.values())


def check_stretch(
    config: MachineConfig, executed: Iterable[Step], dram_bytes: int, program: tuple[int, int] | None = None
) -> tuple[list[Race], bool]:
    """Races of instructions up to a JUMP, as `check_execution` finds them, begun where everything has retired and no
    token is left; and whether it is so behind them, too. Programs whose stretches from any JUMP to the next all end so
    have no other races, whichever ways they go. Raises as `check_execution`."""
    checker = _Checker(config, dram_bytes, program)
    races = checker.run(_validated(config, executed, dram_bytes))
    return races, checker.is_settled()


def _straight(
    config: MachineConfig, instructions: Sequence[Instruction], registers: Sequence[int], dram_bytes: int
) -> Iterator[Step]:
    bound = bound_registers(registers)
    ledger = TokenLedger()
    for index, instruction in enumerate(instructions):
        if isinstance(instruction, Jump):
            raise InstructionError(f"instruction {index} is a JUMP: check what a run executes, with check_execution")
        _refuse(config, ledger, (index, instruction, bound), dram_bytes)
        yield index, instruction, bound
        if isinstance(instruction, Halt):
            return
        bound = registers_after(instruction, bound)


def _validated(config: MachineConfig, executed: Iterable[Step], dram_bytes: int) -> Iterator[Step]:
    ledger = TokenLedger()
    for step in executed:
        _refuse(config, ledger, step, dram_bytes)
        yield step


def _refuse(config: MachineConfig, ledger: TokenLedger, step: Step, dram_bytes: int) -> None:
    index, instruction, registers = step
    register = getattr(instruction, "register", None)
    unknown = isinstance(register, int) and register < len(registers) and registers[register] is None
    known = [_lowest(value) for value in registers]
    fault = instruction.validate(config, known, 1 << 33 if unknown else dram_bytes)
    if unknown and fault is not None and fault.cause.name == "DRAM_RANGE":
        fault = None
    fault = fault or ledger.dispatch(instruction)
    if fault is not None:
        words = f"{fault.cause.name.lower()}: {fault.detail}"
        raise InstructionError(f"instruction {index} ({instruction.MNEMONIC}): {words}")


def _lowest(value: RegisterValue) -> int:
    match value:
        case int():
            return value
        case range():
            return value.start
    return min((area.start for area in value or ()), default=0)


class _Checker:
    """One pass over executed instructions, with their real tokens."""

    def __init__(self, config: MachineConfig, dram_bytes: int, program: tuple[int, int] | None) -> None:
        self.config = config
        self.dram_bytes = dram_bytes
        self.text: Footprint | None = None
        if program is not None and program[1]:
            size = program[1] * INSTRUCTION_BYTES
            self.text = Footprint(program[0], program[0] + size - 1, size, ())
        self.order = Ordering()
        self.log = AccessLog()
        self.tokens: dict[tuple[Unit, Unit], deque[int]] = {}
        self.races: list[Race] = []

    def run(self, steps: Iterable[Step]) -> list[Race]:
        """All races, in order of the second instruction."""
        for index, instruction, registers in steps:
            unit = instruction.UNIT
            clock = self.order.begin(unit)
            self._take_tokens(unit, instruction.wait, clock)
            found = accesses(self.config, instruction, registers, self.dram_bytes)
            for space, write, area in found:
                self._meet(unit, index, instruction, (space, write, area), clock)
            self._check_own(index, instruction)
            position = self.order.finish(unit, clock, index)
            self.log.add(unit, position, found)
            for target in Unit:
                if instruction.signal >> target & 1:
                    self.tokens.setdefault((unit, target), deque()).append(position)
        return self.races

    def is_settled(self) -> bool:
        """Whether FETCH's last instruction knows that everything has retired, and every token was taken."""
        known = self.order.clocks[Unit.FETCH][-1:]
        counts = [len(indices) for indices in self.order.indices]
        knows_all = all(clock[unit] >= counts[unit] for clock in known for unit in Unit if unit != Unit.FETCH)
        return bool(known) and knows_all and not any(self.tokens.values())

    def _take_tokens(self, unit: Unit, wait: int, clock: Clock) -> None:
        for source in Unit:
            if wait >> source & 1:
                self.order.take(clock, source, self.tokens[source, unit].popleft())

    def _meet(
        self,
        unit: Unit,
        index: int,
        instruction: Instruction,
        access: tuple[Space, bool, Footprint],
        clock: Clock,
    ) -> None:
        space, write, area = access
        for other, position, met in self.log.conflicts(unit, access, clock):
            first = self.order.indices[other][position]
            verb = "writes" if write else "reads"
            words = (
                f"instruction {index} ({instruction.MNEMONIC}) {verb} {space.name.lower()} that instruction "
                f"{first} of {other.name} uses; no token orders them"
            )
            self.races.append(Race(first, index, space, common_address(met, area), words))
        if self.text is not None and write and space == Space.DRAM and overlap(self.text, area):
            words = f"instruction {index} ({instruction.MNEMONIC}) overwrites the program"
            self.races.append(Race(index, index, space, common_address(self.text, area), words))

    def _check_own(self, index: int, instruction: Instruction) -> None:
        found = own_operand_overwritten(self.config, instruction)
        if found is not None:
            name, space, address = found
            words = f"instruction {index} (VECTOR) may overwrite its operand {name} before a later step reads it"
            self.races.append(Race(index, index, space, address, words))
