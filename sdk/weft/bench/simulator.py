"""`weft bench simulator`: how fast the simulator runs, on the convolutions of ResNet-18."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from weft.bench.networks import resnet18_convolutions
from weft.compiler import compile as compile_model
from weft.errors import WeftError
from weft.frontend import Model
from weft_runtime.executable import Executable
from weft_runtime.memory import plan_memory
from weft_sim import simulator
from weft_sim.result import RunOptions, RunResult

__all__ = ["run"]

KIB = 1024


def run(target: str = "weft-16", repeats: str = "3", size: str = "224") -> dict[str, Any]:
    """Full and timing-only mode on one thread, best of `repeats`; speeds in simulated cycles per second.

    `extra_memory_bytes` is what the process grew by while simulating, beyond the simulated DRAM.
    """
    executable = compile_model(Model(resnet18_convolutions(int(size)), name="resnet18 convolutions"), target)
    dram, launch = _loaded(executable)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
    full, full_seconds = _best(lambda: launch(RunOptions()), int(repeats))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
    timing, timing_seconds = _best(lambda: launch(RunOptions(timing_only=True)), int(repeats))
    if full.fault or timing.fault or full.cycles != timing.cycles:
        raise WeftError(
            f"the two modes disagree: {full.cycles} and {timing.cycles} cycles, {full.fault or timing.fault}"
        )
    return {
        "target": target,
        "cycles": full.cycles,
        "instructions": full.instructions,
        "full_seconds": full_seconds,
        "full_cycles_per_second": full.cycles / full_seconds,
        "timing_seconds": timing_seconds,
        "timing_cycles_per_second": timing.cycles / timing_seconds,
        "utilization": executable.macs / (full.cycles * executable.machine.macs_per_cycle),
        "dram_bytes": len(dram),
        "extra_memory_bytes": max(0, after - before),
    }


def _loaded(executable: Executable) -> tuple[npt.NDArray[np.uint8], Callable[[RunOptions], RunResult]]:
    """DRAM with program, constants and random inputs of the only region, and a function that launches it."""
    (region,) = executable.regions
    plan = plan_memory(executable)
    (placed,) = plan.regions
    dram = np.random.default_rng(0).integers(0, 256, plan.dram_bytes, np.uint8)
    dram[placed.program : placed.program + len(region.instructions)] = np.frombuffer(region.instructions, np.uint8)
    dram[placed.constants : placed.constants + len(region.constants)] = np.frombuffer(region.constants, np.uint8)

    def launch(options: RunOptions) -> RunResult:
        return simulator.run(executable.machine, dram, placed.program, len(region.sources), placed.registers, options)

    return dram, launch


def _best(launch: Callable[[], RunResult], repeats: int) -> tuple[RunResult, float]:
    best, result = float("inf"), launch()
    for _ in range(max(1, repeats)):
        start = time.perf_counter()
        result = launch()
        best = min(best, time.perf_counter() - start)
    return result, best
