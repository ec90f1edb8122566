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
from weft_sim.isa import INSTRUCTION_BYTES
from weft_sim.isa.program import decode_program
from weft_sim.machine import MachineConfig

__all__ = ["CheckReport", "check"]


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

    Raises InstructionError naming region and instruction for programs that dispatch would refuse, and for
    programs with jumps, which can only be checked as they run (`weft_sim.races.check_execution`).
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
        found = races.check(machine, program, registers, dram_bytes, placement.program)
    except InstructionError as error:
        raise InstructionError(f"region {region.name!r}: {error}") from error
    names = region.sources
    return [
        f"region {region.name!r}: {race.words} (nodes {names[race.first]!r} and {names[race.second]!r})"
        for race in found
    ]
