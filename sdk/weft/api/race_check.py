"""`weft check`: every region's program, placed as a session places it, through the race checker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from weft.api.progress import Progress, quiet
from weft_runtime.executable import Executable, Region
from weft_runtime.memory import RegionPlacement, plan_memory, separate_registers
from weft_runtime.npu import is_npu, machine_of
from weft_sim import races
from weft_sim.errors import InstructionError
from weft_sim.isa import INSTRUCTION_BYTES, Condition, Halt, Instruction, Jump, Register
from weft_sim.isa.control import NO_REGISTER
from weft_sim.isa.program import decode_program
from weft_sim.machine import MachineConfig
from weft_sim.registers import Area, Areas, RegisterValues, bound_registers, registers_after

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

    Of programs that take decisions every stretch from one JUMP to the next is checked, which is all where each JUMP
    waits for everything before it; else every way through, loops with up to two rounds. A register that a program
    changes is taken to stay in the buffer where it begins, or in one of those where it may begin. Raises
    InstructionError naming region and instruction for programs that dispatch would refuse, and for those with more than
    MOST_WAYS ways.
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
            _check_jumping(
                machine, program, registers, dram_bytes, placement.program, _buffers(region, placement, registers)
            )
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


def _buffers(region: Region, placement: RegionPlacement, registers: Sequence[int]) -> list[range]:
    """Areas of device memory in which a program may move a register."""
    buffers = [(registers[each.register], each.layout.nbytes) for each in (*region.inputs, *region.outputs)]
    buffers.append((placement.constants, len(region.constants)))
    areas = region.areas if region.log is None else (*region.areas, region.log)
    buffers += [(placement.workspace + area.offset, area.size) for area in areas]
    return [range(start, start + size) for start, size in buffers if size]


def _areas(program: Sequence[Instruction], registers: Sequence[int], buffers: Sequence[range]) -> dict[int, Area]:
    """For each register that the program changes all buffers in which it may begin; none where that is not known."""
    moved = [each for each in program if isinstance(each, Register) and each.source != each.destination]
    changed = {each.destination for each in program if isinstance(each, Register)}
    found: dict[int, set[range | None]] = {register: set() for register in changed}
    for each in moved:
        if each.source not in changed:
            start = each.offset + (0 if each.source == NO_REGISTER else registers[each.source])
            found[each.destination].add(next((buffer for buffer in buffers if start in buffer), None))
    for _ in changed:  # as many steps as the longest way from register to register has
        for each in moved:
            found[each.destination] |= found.get(each.source, set())
    known = {register: [area for area in areas if area is not None] for register, areas in found.items()}
    return {
        register: areas[0] if len(areas) == 1 else tuple(sorted(areas, key=lambda area: (area.start, area.stop)))
        for register, areas in known.items() if areas and None not in found[register]
    }  # fmt: skip


def _check_jumping(
    machine: MachineConfig, program: Sequence[Instruction], registers: Sequence[int], dram_bytes: int, address: int,
    buffers: Sequence[range],
) -> list[races.Race]:  # fmt: skip
    text = address, len(program)
    areas = _areas(program, registers, buffers)
    written = {each.destination for each in program if isinstance(each, Register)}
    anywhere = tuple(areas.get(number) if number in written else value for number, value in enumerate(registers))
    found: list[races.Race] = []
    jumps = [(index, each) for index, each in enumerate(program) if isinstance(each, Jump)]
    starts = {0, *(index + 1 for index, _ in jumps), *(each.target for _, each in jumps)}
    for start in sorted(start for start in starts if start < len(program)):
        before = bound_registers(registers if start == 0 else anywhere)
        stretch = list(_stretch(program, start, before, areas))
        races_within, settled = races.check_stretch(machine, stretch, dram_bytes, text)
        if not settled and isinstance(stretch[-1][1], Jump):
            return _check_ways(machine, program, registers, dram_bytes, address)
        found += races_within
    return list({(race.first, race.second, race.space): race for race in found}.values())


def _stretch(
    program: Sequence[Instruction], start: int, registers: RegisterValues, areas: Areas
) -> Iterator[races.Step]:
    """Instructions up to the next JUMP or HALT, with the registers that they see."""
    for index in range(start, len(program)):
        yield index, program[index], registers
        if isinstance(program[index], Jump | Halt):
            return
        registers = registers_after(program[index], registers, areas)


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
