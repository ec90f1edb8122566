"""What can be compiled for."""

from __future__ import annotations

from typing import Any

from weft.backends import Target, backends, resolve_target
from weft_runtime.npu import is_npu, machine_of
from weft_sim.errors import MachineError
from weft_sim.machine import MachineConfig

__all__ = ["list_targets", "resolve_machine"]


def resolve_machine(target: Target) -> MachineConfig:
    """The machine that a target means. Raises MachineError unless it is one of Weft's own."""
    found = resolve_target(target)
    if len(found) != 1 or not is_npu(found[0].processor):
        names = ", ".join(each.processor.name for each in found)
        raise MachineError(f"{names}: not one of Weft's own machines, which this needs")
    return machine_of(found[0].processor)


def list_targets() -> list[dict[str, Any]]:
    """Every target with its backend and peak; Weft's own with all their parameters, as plain JSON values."""
    result: list[dict[str, Any]] = []
    for backend in backends():
        for name in backend.targets:
            processor = backend.accelerator(name).processor
            entry = {
                "name": name,
                "backend": backend.name,
                "macs_per_cycle": processor.macs_per_cycle,
                "clock_mhz": processor.clock_mhz,
            }
            result.append(entry | (_parameters(machine_of(processor)) if is_npu(processor) else {}))
    return result


def _parameters(config: MachineConfig) -> dict[str, Any]:
    return {**config.to_dict(), "dram_bytes_per_cycle": config.dram_bytes_per_cycle, "hash": config.hash()}
