"""Backends and targets by name."""

from __future__ import annotations

from collections.abc import Sequence

from weft.backends.interface import Accelerator, Backend
from weft.backends.npu import BACKEND as NPU
from weft.backends.npu import NpuAccelerator
from weft_runtime.backend import backend_names, device_backend
from weft_runtime.errors import BackendError
from weft_sim.errors import MachineError
from weft_sim.machine import MachineConfig

__all__ = ["DEFAULT_TARGET", "Target", "backend", "backends", "known_targets", "resolve_target"]

DEFAULT_TARGET = "weft-16"

Target = str | MachineConfig | Accelerator | Sequence[str | MachineConfig | Accelerator]
"""A target's name, several names with commas between, the path of a `.json` file with the fields of MachineConfig, a
configuration, an accelerator, or a sequence of these."""


def backend(name: str) -> Backend:
    """The backend of that name. Raises BackendError if it is not installed or can only run programs."""
    found = device_backend(name)
    if not isinstance(found, Backend):
        raise BackendError(f"backend {name!r} can run programs, but not compile them")
    return found


def backends() -> tuple[Backend, ...]:
    """All that are registered or installed. Raises BackendError for one that cannot be loaded."""
    return tuple(backend(name) for name in backend_names())


def known_targets() -> dict[str, Backend]:
    """Every target's name and backend; where two backends have the same name, the one registered first has it."""
    found: dict[str, Backend] = {}
    for each in backends():
        for target in each.targets:
            found.setdefault(target, each)
    return found


def resolve_target(target: Target) -> tuple[Accelerator, ...]:
    """The accelerators that a target means, at least one. Raises MachineError for unknown names, impossible
    configurations, and processors of the same name."""
    parts: Sequence[str | MachineConfig | Accelerator]
    if isinstance(target, str):
        parts = [part.strip() for part in target.split(",")]
    else:
        parts = [target] if isinstance(target, MachineConfig | Accelerator) else list(target)
    found = tuple(_resolve(part) for part in parts)
    names = [each.processor.name for each in found]
    if not found or len(set(names)) < len(names):
        raise MachineError(
            f"a target is one accelerator or several of different names, not {', '.join(names) or 'none'}"
        )
    return found


def _resolve(part: str | MachineConfig | Accelerator) -> Accelerator:
    if isinstance(part, Accelerator):
        return part
    if isinstance(part, MachineConfig):
        return NpuAccelerator(part)
    if part.endswith(".json"):
        return NPU.accelerator(part)
    known = known_targets()
    if part not in known:
        raise MachineError(f"unknown target {part!r}; known targets: {', '.join(known)}")
    return known[part].accelerator(part)
