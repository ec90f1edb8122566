"""The accelerator: instruction set, golden model and cycle-level simulator."""

from __future__ import annotations

from weft_sim.errors import DeviceFault, InstructionError, MachineError, WeftError
from weft_sim.machine import PRESETS, MachineConfig, machine
from weft_sim.result import Fault, RunOptions, RunResult, UnitCounters

__all__ = [
    "PRESETS",
    "DeviceFault",
    "Fault",
    "InstructionError",
    "MachineConfig",
    "MachineError",
    "RunOptions",
    "RunResult",
    "UnitCounters",
    "WeftError",
    "machine",
]
