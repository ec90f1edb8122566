"""One region in DRAM with random inputs, ready to be launched on any device model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft.errors import WeftError
from weft_runtime.executable import Executable
from weft_runtime.memory import plan_memory
from weft_runtime.npu import machine_of
from weft_sim.machine import MachineConfig
from weft_sim.result import RunOptions, RunResult

__all__ = ["DeviceModel", "Launch", "best", "place_only_region"]

DeviceModel = Callable[[MachineConfig, npt.NDArray[np.uint8], int, int, Sequence[int], RunOptions], RunResult]


@dataclass(frozen=True)
class Launch:
    """A program in `dram` (uint8, modified by every run)."""

    machine: MachineConfig
    dram: npt.NDArray[np.uint8]
    program: int
    instructions: int
    registers: Sequence[int]

    def on(self, device: DeviceModel, options: RunOptions) -> RunResult:
        """Runs it. Raises WeftError if it faults."""
        result = device(self.machine, self.dram, self.program, self.instructions, self.registers, options)
        if result.fault is not None:
            raise WeftError(f"instruction {result.fault.instruction} faults: {result.fault.cause}")
        return result


def place_only_region(executable: Executable) -> Launch:
    """DRAM with program, constants and seeded random bytes elsewhere. Raises WeftError unless there is one region."""
    if len(executable.regions) != 1:
        raise WeftError(f"a model of {len(executable.regions)} regions cannot be launched as one program")
    region, plan = executable.regions[0], plan_memory(executable)
    placed = plan.regions[0]
    dram = np.random.default_rng(0).integers(0, 256, plan.dram_bytes, np.uint8)
    for start, data in ((placed.program, region.instructions), (placed.constants, region.constants)):
        dram[start : start + len(data)] = np.frombuffer(data, np.uint8)
    machine = machine_of(executable.processors[region.processor])
    return Launch(machine, dram, placed.program, len(region.sources), placed.registers)


def best(run: Callable[[], RunResult], repeats: int) -> tuple[RunResult, float]:
    """The result, and the least wall-clock seconds of `repeats` runs after one that is not counted."""
    result, least = run(), float("inf")
    for _ in range(max(1, repeats)):
        start = time.perf_counter()
        result = run()
        least = min(least, time.perf_counter() - start)
    return result, least
