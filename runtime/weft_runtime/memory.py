"""Where an executable's parts lie in device memory: planned once, before the device is opened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from weft_runtime.errors import ExecutableError
from weft_runtime.executable import (
    REGISTER_CONSTANTS,
    REGISTER_COUNT,
    REGISTER_IO,
    REGISTER_WORKSPACE,
    Executable,
    Region,
)

__all__ = ["ALIGNMENT", "MAX_DEVICE_BYTES", "DeviceMemoryPlan", "RegionPlacement", "plan_memory"]

ALIGNMENT = 4096
"""Every part starts on this boundary, so that no burst of one part crosses into another."""

MAX_DEVICE_BYTES = (1 << 32) - ALIGNMENT
"""Largest device memory that the runtime will ask for: addresses have 32 bits."""


@dataclass(frozen=True)
class RegionPlacement:
    """Device addresses of one region's program, constants and input/output areas (one for each request that can be
    at the device at once), and of the shared workspace."""

    program: int
    constants: int
    workspace: int
    areas: tuple[int, ...]

    @property
    def io(self) -> int:
        """The first input/output area."""
        return self.areas[0]

    @property
    def registers(self) -> tuple[int, ...]:
        """The base registers to launch the region with on its first area; those without a meaning are 0."""
        return self.registers_of(0)

    def registers_of(self, buffer: int) -> tuple[int, ...]:
        """The same for another input/output area."""
        values = [0] * REGISTER_COUNT
        values[REGISTER_CONSTANTS] = self.constants
        values[REGISTER_WORKSPACE] = self.workspace
        values[REGISTER_IO] = self.areas[buffer]
        return tuple(values)


@dataclass(frozen=True)
class DeviceMemoryPlan:
    """Placement of every region of the executable, in order, and the memory that each processor needs, in bytes.

    Every processor has its own memory. Programs, constants and input/output areas are each region's own; the
    workspace is one area, as large as the largest region's, because regions run one after another and none may
    rely on what it left there.
    """

    regions: tuple[RegionPlacement, ...]
    processor_bytes: tuple[int, ...]

    @property
    def dram_bytes(self) -> int:
        """Of all processors together."""
        return sum(self.processor_bytes)


def plan_memory(executable: Executable, buffers: int = 1) -> DeviceMemoryPlan:
    """Place programs, then constants, then the workspace, then `buffers` input/output areas for each region, each
    aligned to ALIGNMENT.

    Raises ExecutableError if what one processor needs exceeds MAX_DEVICE_BYTES.
    """
    placements: dict[int, RegionPlacement] = {}
    sizes = []
    for index, processor in enumerate(executable.processors):
        own = [number for number, region in enumerate(executable.regions) if region.processor == index]
        placed, size = _plan(processor.name, [executable.regions[number] for number in own], buffers)
        placements.update(zip(own, placed, strict=True))
        sizes.append(size)
    return DeviceMemoryPlan(tuple(placements[number] for number in sorted(placements)), tuple(sizes))


def _plan(name: str, regions: list[Region], buffers: int) -> tuple[list[RegionPlacement], int]:
    if not regions:
        return [], 0
    workspace_bytes = max(region.workspace_bytes for region in regions)
    programs, cursor = _place((len(region.instructions) for region in regions), 0)
    constants, cursor = _place((len(region.constants) for region in regions), cursor)
    (workspace,), cursor = _place((workspace_bytes,), cursor)
    areas, cursor = _place((region.io_bytes for region in regions for _ in range(buffers)), cursor)
    if cursor > MAX_DEVICE_BYTES:
        raise ExecutableError(f"{name} needs {cursor} bytes of device memory, more than {MAX_DEVICE_BYTES}")
    placements = [
        RegionPlacement(program, constant, workspace, tuple(areas[index * buffers : (index + 1) * buffers]))
        for index, (program, constant) in enumerate(zip(programs, constants, strict=True))
    ]
    return placements, max(cursor, ALIGNMENT)


def _place(sizes: Iterable[int], cursor: int) -> tuple[list[int], int]:
    addresses = []
    for size in sizes:
        addresses.append(cursor)
        cursor += -(-size // ALIGNMENT) * ALIGNMENT
    return addresses, cursor
