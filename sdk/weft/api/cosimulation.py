"""`weft cosim`: simulator and RTL in lockstep, on models, artifacts or random programs."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from weft.api.arrays import random_arrays
from weft.api.preparation import PrepareOptions, Source, open_program
from weft.api.progress import Progress, quiet
from weft.api.targets import resolve_machine
from weft.backends import DEFAULT_TARGET, Target
from weft.lowering import Driver
from weft_runtime.backend import device_backend
from weft_runtime.devices import Device, MemoryDevice
from weft_runtime.executable import Executable, Processor
from weft_runtime.npu import is_npu, machine_of
from weft_runtime.session import Session
from weft_sim import cosim, cosim_fuzz, rtl
from weft_sim.isa.program import disassemble
from weft_sim.machine import MachineConfig
from weft_sim.result import RunOptions, RunResult

__all__ = ["CosimReport", "cosim_model", "cosim_random"]

NO_SHAPES: Mapping[str, int] = {}
NO_PINS: Mapping[str, str] = {}
WAVES_BEFORE, WAVES_AFTER = 200, 50
"""Cycles around the first difference that go into the waveform."""


@dataclass(frozen=True)
class CosimReport:
    """Totals over all programs (launches); `first_mismatch` is the first difference in words, or None."""

    target: str
    programs: int
    instructions: int
    cycles_sim: int
    cycles_rtl: int
    mismatches: int
    first_mismatch: str | None
    waves: str | None = None
    seed: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return dict(self.__dict__)


@dataclass
class _Lockstep:
    """Runs each launch on both sides, keeps the totals, and leaves a waveform of the first difference."""

    waves: Path | None
    comparisons: list[cosim.Comparison] = field(default_factory=list)
    first: str | None = None
    wrote: Path | None = None

    def run(
        self,
        config: MachineConfig,
        dram: npt.NDArray[np.uint8],
        program_address: int,
        instruction_count: int,
        registers: Sequence[int],
        options: RunOptions,
    ) -> RunResult:
        """One launch; `dram` ends as the simulator leaves it."""
        before = dram.copy()
        found = cosim.compare(config, dram, program_address, instruction_count, registers, options)
        self.comparisons.append(found)
        if found.first is not None and self.first is None:
            self.first = str(found.first)
            if self.waves is not None:
                at = max(0, found.first.cycle)
                window = rtl.Waves(self.waves, max(0, at - WAVES_BEFORE), at + WAVES_AFTER)
                rtl.run_with_waves(config, before, program_address, instruction_count, registers, window, options)
                self.wrote = self.waves
        return found.simulator

    def open(self, processor: Processor, dram_bytes: int, options: RunOptions) -> Device:
        """A device whose launches are compared; a backend that is not Weft's own runs on its default device."""
        if not is_npu(processor):
            found = device_backend(processor.backend)
            return found.open_device(found.device_names[0], processor, dram_bytes, options)
        return _LockstepDevice(machine_of(processor), dram_bytes, options, self.run)


class _LockstepDevice(MemoryDevice):
    """The simulator with the RTL beside it."""

    name = "cosim"


def cosim_model(
    source: Source | Executable,
    inputs: Mapping[str, Any] | None = None,
    *,
    target: Target | None = None,
    calibration: Mapping[str, Any] | None = None,
    shapes: Mapping[str, int] = NO_SHAPES,
    host: str | None = None,
    pins: Mapping[str, str] = NO_PINS,
    driver: Driver = "auto",
    seed: int = 0,
    stall_seed: int = 0,
    waves: Path | None = None,
    progress: Progress = quiet,
) -> CosimReport:
    """Runs a model or artifact with every launch on both, comparing each instruction's cycles, all counters and memory.

    `host` and `pins` say what runs where, `driver` who decides, as for `weft.compile`. `stall_seed` ≠ 0 gives
    both the same random DRAM stalls. At the first difference a waveform of the surroundings goes to `waves`. Raises
    RtlError if the RTL's model cannot be built, and WeftError for what `weft run` refuses.
    """
    options = PrepareOptions(calibration, inputs, seed, shapes, host, pins, driver=driver)
    program = open_program(source, target, options, progress)
    arrays = random_arrays(program.bound_inputs, program.batch, 1, seed, shapes) if inputs is None else inputs
    lockstep = _Lockstep(waves)
    with Session(program, lockstep.open, RunOptions(stall_seed=stall_seed)) as session:
        session.run(arrays, lambda done, total: progress("cosim", done, total))
    found = lockstep.comparisons
    return CosimReport(
        target=program.target,
        programs=len(found),
        instructions=sum(each.simulator.instructions for each in found),
        cycles_sim=sum(each.simulator.cycles for each in found),
        cycles_rtl=sum(each.rtl.cycles for each in found),
        mismatches=sum(each.first is not None for each in found),
        first_mismatch=lockstep.first,
        waves=None if lockstep.wrote is None else str(lockstep.wrote),
    )


def cosim_random(count: int, seed: int, target: Target | None = None, progress: Progress = quiet) -> CosimReport:
    """Runs `count` random programs, seeds `seed` and following, on golden model, simulator and RTL; failures shrink.

    Reproducible: a program depends on its seed alone. Raises RtlError if the RTL's model cannot be built.
    """
    config = resolve_machine(target or DEFAULT_TARGET)
    say = functools.partial(_advance, progress, count)
    report = cosim_fuzz.fuzz(config, count, seed, say=say)
    first = None
    if report.failures:
        failure = report.failures[0]
        program = failure.case.program
        listing = disassemble(program.instructions).replace("\n", "; ")
        first = f"seed {failure.case.seed}: {failure.difference}; shrunk program: {listing}"
    return CosimReport(
        target=config.name,
        programs=report.programs,
        instructions=report.instructions,
        cycles_sim=report.cycles_simulator,
        cycles_rtl=report.cycles_rtl,
        mismatches=len(report.failures),
        first_mismatch=first,
        seed=seed,
    )


def _advance(progress: Progress, count: int, line: str) -> None:
    done = line.split(" ", 1)[0]
    progress("cosim", int(done) if done.isdigit() else 0, count)
