"""Accelerators behind one interface: Weft's own processor and those of other packages."""

from __future__ import annotations

from weft.backends.interface import Accelerator, Backend, EmittedRegion, RegionRequest
from weft.backends.npu import NpuAccelerator
from weft.backends.registry import DEFAULT_TARGET, Target, backend, backends, known_targets, resolve_target
from weft.backends.storage import RegionStorage, plan_storage
from weft_runtime.backend import register_backend

__all__ = [
    "DEFAULT_TARGET",
    "Accelerator",
    "Backend",
    "EmittedRegion",
    "NpuAccelerator",
    "RegionRequest",
    "RegionStorage",
    "Target",
    "backend",
    "backends",
    "known_targets",
    "plan_storage",
    "register_backend",
    "resolve_target",
]
