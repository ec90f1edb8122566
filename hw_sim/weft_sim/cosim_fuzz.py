"""Random programs in lockstep on simulator and RTL, and the shrinking of those that fail."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft_sim import golden, rtl
from weft_sim.cosim import Comparison, Device, Difference, compare, memory_differences
from weft_sim.isa import INSTRUCTION_BYTES, FaultCause, Halt, Instruction, decode
from weft_sim.machine import MachineConfig
from weft_sim.random_program import RandomProgram, generate
from weft_sim.result import RunOptions, RunResult

__all__ = ["FuzzCase", "FuzzFailure", "FuzzReport", "fuzz", "fuzz_case", "run_case", "shrink", "with_cycle_limit"]

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
    """The case of that seed: a program of 1 to 60 instructions; one in six with a fault; in two of three,
    random stalls, and in half, another latency or rate of DRAM."""
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


def with_cycle_limit(case: FuzzCase, cycles: int) -> FuzzCase:
    """The case ended after so many cycles: for hardware that may hang."""
    return dataclasses.replace(case, options=dataclasses.replace(case.options, cycle_limit=cycles))


def run_case(case: FuzzCase, device: Device = rtl.run) -> Comparison:
    """The case on the golden model (bytes), simulator and RTL; the simulator's disagreement with the golden model
    is the first difference where there is one."""
    program = case.program
    memory = program.dram.copy()
    launch = (program.program_address, program.instruction_count, program.registers)
    found = compare(case.config, memory, *launch, case.options, device)
    if found.first is not None:
        return found
    expected = program.dram.copy()
    reference = golden.run(case.config, expected, *launch)
    wrong = next(_golden_differences(reference, expected, found.simulator, memory), None)
    if wrong is None:
        return found
    wrong = dataclasses.replace(
        wrong, what=f"{wrong.what} (the golden model as the simulator, the simulator as the RTL)"
    )
    return Comparison(found.simulator, found.rtl, wrong)


def _golden_differences(
    golden_result: RunResult,
    golden_dram: npt.NDArray[np.uint8],
    result: RunResult,
    dram: npt.NDArray[np.uint8],
) -> Iterator[Difference]:
    outcome = tuple((r.fault.cause, r.fault.instruction) if r.fault else None for r in (golden_result, result))
    if outcome[0] != outcome[1]:
        yield Difference("fault", str(outcome[0]), str(outcome[1]))
    if golden_result.instructions != result.instructions:
        yield Difference("instructions", str(golden_result.instructions), str(result.instructions))
    yield from memory_differences(golden_result, golden_dram, result, dram)


def fuzz(
    config: MachineConfig,
    count: int,
    seed: int,
    device: Device = rtl.run,
    say: Callable[[str], None] | None = None,
    most_failures: int = 1,
) -> FuzzReport:
    """Runs cases seed, seed + 1, …, each of which depends on its seed alone; stops early after `most_failures`."""
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
    """A smaller case that still differs: the program is cut off as early as possible, then loops are lost.

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
    instructions = list(program.instructions)
    if index < len(instructions):
        instructions[index] = instruction
    return dataclasses.replace(program, dram=dram, instructions=tuple(instructions))


def _cut(program: RandomProgram, length: int) -> RandomProgram:
    changed = _with(program, length, Halt())
    return dataclasses.replace(changed, instructions=changed.instructions[: length + 1], instruction_count=length + 1)


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
