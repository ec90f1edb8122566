"""Targets by name, or from a file with a machine configuration of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from weft_sim.errors import MachineError
from weft_sim.machine import PRESETS, MachineConfig, machine

__all__ = ["DEFAULT_TARGET", "Target", "list_targets", "resolve_target"]

DEFAULT_TARGET = "weft-16"

Target = str | MachineConfig
"""A preset's name, the path of a `.json` file with the fields of MachineConfig, or a configuration."""

MAX_FILE_BYTES = 1 << 20


def resolve_target(target: Target) -> MachineConfig:
    """The machine that a target means. Raises MachineError for unknown names and impossible
    configurations."""
    if isinstance(target, MachineConfig):
        return target
    if not target.endswith(".json"):
        return machine(target)
    try:
        path = Path(target)
        if path.stat().st_size > MAX_FILE_BYTES:
            raise MachineError(f"{target}: too large for a machine configuration")
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise MachineError(f"{target}: cannot read the machine configuration: {reason}") from error
    if not isinstance(values, dict):
        raise MachineError(f"{target}: a machine configuration is a JSON object with the fields of MachineConfig")
    try:
        return MachineConfig.from_dict(values)
    except MachineError as error:
        raise MachineError(f"{target}: {error}") from error


def list_targets() -> list[dict[str, Any]]:
    """Every preset's fields, with its peak rates, as plain JSON values."""
    return [
        {
            **config.to_dict(),
            "macs_per_cycle": config.macs_per_cycle,
            "dram_bytes_per_cycle": config.dram_bytes_per_cycle,
            "hash": config.hash(),
        }
        for config in PRESETS.values()
    ]
