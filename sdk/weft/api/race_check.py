"""`weft check`: every region's program, placed as a session places it, through the race checker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from weft.api.progress import Progress, quiet
from weft_runtime.executable import Executable, Region
from weft_runtime.memory import RegionPlacement, plan_memory, separate_registers
from weft_runtime.npu import is_npu, machine_of
from weft_sim import races
from weft_sim.errors import InstructionError
from weft_sim.isa import INSTRUCTION_BYTES, Condition, Halt, Instruction, Jump, Register
from weft_sim.isa.program import decode_program
from weft_sim.machine import MachineConfig

__all__ = ["CheckReport", "check"]

MOST_WAYS = 1024


@dataclass(frozen=True)
class CheckReport:
    """What was checked, and one line per finding, naming region, instructions and ONNX nodes."""

    target: str
    regions: int
    instructions: int
    findings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {**asdict(self), "findings": list(self.findings)}


def check(executable: Executable, progress: Progress = quiet) -> CheckReport:
    """Prove for each region of Weft's own processors that any two conflicting accesses are ordered by tokens,
    whatever the timing.

    Of programs that take decisions every way through is checked, loops with up to two rounds. Raises InstructionError
    naming region and instruction for programs that dispatch would refuse, and for those with more than MOST_WAYS ways.
    """
    plan = plan_memory(executable)
    findings: list[str] = []
    checked: list[Region] = []
    for done, (region, placement) in enumerate(zip(executable.regions, plan.regions, strict=True)):
        progress("check", done, len(executable.regions))
        processor = executable.processors[region.processor]
        if is_npu(processor):
            registers = separate_registers(region, placement, plan.pools[region.processor])
            size = plan.processor_bytes[region.processor]
            findings += _check_region(machine_of(processor), region, placement, registers, size)
            checked.append(region)
    count = sum(len(region.instructions) // INSTRUCTION_BYTES for region in checked)
    return CheckReport(executable.target, len(checked), count, tuple(findings))


def _check_region(
    machine: MachineConfig, region: Region, placement: RegionPlacement, registers: Sequence[int], dram_bytes: int
) -> list[str]:
    try:
        program = decode_program(region.instructions)
        found = (
            _check_ways(machine, program, registers, dram_bytes, placement.program)
            if any(isinstance(each, Jump) for each in program)
            else races.check(machine, program, registers, dram_bytes, placement.program)
        )
    except InstructionError as error:
        raise InstructionError(f"region {region.name!r}: {error}") from error
    names = region.sources
    return [
        f"region {region.name!r}: {race.words} (nodes {names[race.first]!r} and {names[race.second]!r})"
        for race in found
    ]


def _check_ways(
    machine: MachineConfig, program: Sequence[Instruction], registers: Sequence[int], dram_bytes: int, address: int
) -> list[races.Race]:
    found: dict[tuple[int, int, int], races.Race] = {}
    for way in _ways(program):
        steps = [(index, program[index], registers) for index in way]
        for race in races.check_execution(machine, steps, dram_bytes, (address, len(program))):
            found.setdefault((race.first, race.second, race.space), race)
    return list(found.values())


def _ways(program: Sequence[Instruction]) -> list[list[int]]:
    """Every order in which the program may execute, as indices of instructions."""
    finished: list[list[int]] = []
    open_ways: list[tuple[list[int], int]] = [([], 0)]
    while open_ways:
        way, index = open_ways.pop()
        while index < len(program):
            instruction = program[index]
            way.append(index)
            if isinstance(instruction, Register):
                raise InstructionError(f"instruction {index} is a REGISTER: check what a run executes")
            if isinstance(instruction, Halt):
                break
            if isinstance(instruction, Jump):
                if instruction.condition != Condition.ALWAYS:
                    open_ways.append((list(way), index + 1))
                if instruction.target <= index and (instruction.condition == Condition.ALWAYS or way.count(index) > 1):
                    break  # a JUMP waits for all before it, so a second round shows what any further one would
                index = instruction.target
                continue
            index += 1
        finished.append(way)
        if len(finished) + len(open_ways) > MOST_WAYS:
            raise InstructionError(f"the program has more than {MOST_WAYS} ways: check what a run executes")
    return finished
