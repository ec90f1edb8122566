"""`weft bench lockstep`: all of ResNet-18 on simulator and RTL, compared in every cycle, counter and byte."""

from __future__ import annotations

from typing import Any

from weft.bench.launch import place_only_region
from weft.bench.networks import resnet18
from weft.compiler import compile as compile_model
from weft.frontend import Model
from weft_sim import cosim
from weft_sim.result import RunOptions

__all__ = ["run"]


def run(target: str = "weft-16", size: str = "224", stall_seed: str = "0") -> dict[str, Any]:
    """The whole network with seeded random weights on a random image; `stall_seed` ≠ 0 adds random DRAM stalls.

    Raises RtlError where the RTL's model cannot be built.
    """
    executable = compile_model(Model(resnet18(int(size)), name="resnet18"), target)
    launch = place_only_region(executable)
    options = RunOptions(stall_seed=int(stall_seed))
    found = cosim.compare(launch.machine, launch.dram, launch.program, launch.instructions, launch.registers, options)
    return {
        "target": target,
        "instructions": found.simulator.instructions,
        "cycles_sim": found.simulator.cycles,
        "cycles_rtl": found.rtl.cycles,
        "dram_bytes": len(launch.dram),
        "mismatches": int(found.first is not None),
        "first_mismatch": None if found.first is None else str(found.first),
    }
