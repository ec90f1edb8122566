"""Random programs in lockstep on simulator and RTL, and the shrinking of those that fail."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from weft_sim import golden, rtl
from weft_sim.cosim import Comparison, Device, Difference, compare, differences
from weft_sim.isa import INSTRUCTION_BYTES, FaultCause, Halt, Instruction, decode
from weft_sim.machine import MachineConfig
from weft_sim.random_program import RandomProgram, generate
from weft_sim.result import RunOptions

__all__ = ["FuzzCase", "FuzzFailure", "FuzzReport", "fuzz", "fuzz_case", "run_case", "shrink"]

_FAULTS = tuple(cause for cause in FaultCause if cause not in (FaultCause.NONE, FaultCause.CYCLE_LIMIT))
CYCLE_LIMIT = 5_000_000


@dataclass(frozen=True)
class FuzzCase:
    """One random program with the memory timing that it runs against. Latency and rate of DRAM are no parameters of the
    RTL, so that all cases of a configuration share one model."""

    config: MachineConfig
    program: RandomProgram
    options: RunOptions
    seed: int


@dataclass(frozen=True)
class FuzzFailure:
    """A case on which the two differ, after shrinking."""

    case: FuzzCase
    difference: Difference


@dataclass(frozen=True)
class FuzzReport:
    """Totals of a fuzzing run."""

    programs: int
    instructions: int
    cycles_simulator: int
    cycles_rtl: int
    failures: tuple[FuzzFailure, ...]


def fuzz_case(config: MachineConfig, seed: int) -> FuzzCase:
    """The case of that seed: a program of 1 to 60 instructions; one in six with a fault; in two of three, random stalls,
    and in half, another latency or rate of DRAM."""
    rng = np.random.default_rng((seed, 0x636F73696D))
    length = int(rng.integers(1, 61))
    fault = _FAULTS[int(rng.integers(len(_FAULTS)))] if rng.random() < 1 / 6 else None
    stall_seed = int(rng.integers(1, 1 << 32)) if rng.random() < 2 / 3 else 0
    if rng.random() < 0.5:
        numerator, denominator = sorted(int(value) for value in rng.integers(1, 8, 2))
        config = dataclasses.replace(
            config,
            dram_latency=int(rng.integers(1, 200)),
            dram_rate_numerator=numerator,
            dram_rate_denominator=denominator,
        )
    program = generate(config, seed, length, fault)
    return FuzzCase(config, program, RunOptions(stall_seed=stall_seed, cycle_limit=CYCLE_LIMIT), seed)


def run_case(case: FuzzCase, device: Device = rtl.run) -> Comparison:
    """The case on the golden model (bytes), simulator and RTL; the simulator's disagreement with the golden model is the
    first difference where there is one."""
    program = case.program
    memory = program.dram.copy()
    launch = (program.program_address, program.instruction_count, program.registers)
    found = compare(case.config, memory, *launch, case.options, device)
    if found.first is not None:
        return found
    expected = program.dram.copy()
    reference = golden.run(case.config, expected, *launch)
    stand_in = dataclasses.replace(
        reference, cycles=found.simulator.cycles, units=found.simulator.units, events=found.simulator.events,
        read_bytes=found.simulator.read_bytes, write_bytes=found.simulator.write_bytes,
    )  # fmt: skip
    wrong = next(differences(stand_in, expected, found.simulator, memory), None)
    if wrong is None:
        return found
    wrong = dataclasses.replace(wrong, what=f"{wrong.what} (golden model instead of simulator)")
    return Comparison(found.simulator, found.rtl, wrong)


def fuzz(
    config: MachineConfig,
    count: int,
    seed: int,
    device: Device = rtl.run,
    say: Callable[[str], None] | None = None,
    most_failures: int = 1,
) -> FuzzReport:
    """Runs cases seed, seed + 1, …; stops early after `most_failures`. Reproducible: a case depends on its seed alone."""
    instructions = cycles = cycles_rtl = programs = 0
    failures: list[FuzzFailure] = []
    for case_seed in range(seed, seed + count):
        case = fuzz_case(config, case_seed)
        result = run_case(case, device)
        programs += 1
        instructions += result.simulator.instructions
        cycles += result.simulator.cycles
        cycles_rtl += result.rtl.cycles
        if result.first is not None:
            failures.append(shrink(case, result.first, device))
            if say is not None:
                say(f"seed {case_seed}: {failures[-1].difference}")
            if len(failures) >= most_failures:
                break
        elif say is not None and programs % 100 == 0:
            say(f"{programs} programs, {instructions} instructions, {cycles} cycles, no difference")
    return FuzzReport(programs, instructions, cycles, cycles_rtl, tuple(failures))


def shrink(case: FuzzCase, difference: Difference, device: Device = rtl.run) -> FuzzFailure:
    """A smaller case that still differs: the program is cut off as early as possible, then instructions lose their loops.

    Both keep a program valid and free of races: a prefix orders what it orders, and a step of a loop touches less than
    the loop.
    """
    smallest = FuzzFailure(case, difference)

    def attempt(changed: RandomProgram) -> bool:
        nonlocal smallest
        trial = dataclasses.replace(case, program=changed)
        found = run_case(trial, device).first
        if found is not None:
            smallest = FuzzFailure(trial, found)
        return found is not None

    low, high = 0, case.program.instruction_count - 1
    while low < high:
        middle = (low + high) // 2
        if attempt(_cut(case.program, middle)):
            high = middle
        else:
            low = middle + 1
    for index in range(smallest.case.program.instruction_count):
        for simpler in _simpler(_instruction(smallest.case.program, index)):
            if attempt(_with(smallest.case.program, index, simpler)):
                break
    return smallest


def _instruction(program: RandomProgram, index: int) -> Instruction | None:
    start = program.program_address + index * INSTRUCTION_BYTES
    found = decode(program.dram[start : start + INSTRUCTION_BYTES].tobytes())
    return found if isinstance(found, Instruction) else None


def _with(program: RandomProgram, index: int, instruction: Instruction) -> RandomProgram:
    dram = program.dram.copy()
    start = program.program_address + index * INSTRUCTION_BYTES
    dram[start : start + INSTRUCTION_BYTES] = np.frombuffer(instruction.encode(), np.uint8)
    return dataclasses.replace(program, dram=dram)


def _cut(program: RandomProgram, length: int) -> RandomProgram:
    return dataclasses.replace(_with(program, length, Halt()), instruction_count=length + 1)


def _simpler(instruction: Instruction | None) -> Iterator[Instruction]:
    """The instruction with all its loops run once, then with one of them."""
    if instruction is None or not instruction.loop_counts():
        return
    loops = [f.name for f in instruction.FIELDS if "count_" in f.name or f.name == "run_bytes"]
    long = [name for name in loops if getattr(instruction, name) > 1]
    if len(long) > 1:
        yield instruction.replace(**dict.fromkeys(long, 1))
    for name in long:
        yield instruction.replace(**{name: 1})
