"""Where an executable's parts lie in device memory: planned once, before the device is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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

__all__ = [
    "ALIGNMENT",
    "MAX_DEVICE_BYTES",
    "DeviceMemoryPlan",
    "Pool",
    "RegionPlacement",
    "plan_memory",
    "separate_registers",
]

ALIGNMENT = 4096
"""Every part starts on this boundary, so that no burst of one part crosses into another."""

MAX_DEVICE_BYTES = (1 << 32) - ALIGNMENT
"""Largest device memory that the runtime will ask for: addresses have 32 bits."""

Placing = Callable[[list[bytes], int], tuple[list[int], int]]


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
class Pool:
    """Memory of one processor for the values that live between the regions of a dynamic program, in bytes: those of one
    request, and as much again behind it for each further one that can be at the device at once."""

    start: int
    size: int

    def of(self, buffer: int) -> Pool:
        """The part of that request."""
        return Pool(self.start + buffer * self.size, self.size)


@dataclass(frozen=True)
class DeviceMemoryPlan:
    """Placement of every region of the executable, in order, and the memory that each processor needs, in bytes.

    Every processor has its own memory. Programs, constants and input/output areas are each region's own; the
    workspace is one area, as large as the largest region's, because regions run one after another and none may
    rely on what it left there. `pools` has one entry for each processor, empty where the program is not dynamic;
    there, equal programs and equal constants lie in memory once.
    """

    regions: tuple[RegionPlacement, ...]
    processor_bytes: tuple[int, ...]
    pools: tuple[Pool, ...] = ()

    @property
    def dram_bytes(self) -> int:
        """Of all processors together."""
        return sum(self.processor_bytes)


def plan_memory(executable: Executable, buffers: int = 1) -> DeviceMemoryPlan:
    """Place programs, then constants, then the workspace, then `buffers` input/output areas for each region, then the
    pool, each aligned to ALIGNMENT.

    Raises ExecutableError if what one processor needs exceeds MAX_DEVICE_BYTES.
    """
    placements: dict[int, RegionPlacement] = {}
    sizes, pools = [], []
    place = _place if executable.control is None else _place_once
    for index, processor in enumerate(executable.processors):
        own = [number for number, region in enumerate(executable.regions) if region.processor == index]
        regions = [executable.regions[number] for number in own]
        placed, size = _plan(processor.name, regions, buffers, place)
        placements.update(zip(own, placed, strict=True))
        pool = Pool(size, 0 if executable.control is None else _pool_bytes(processor.name, regions, size, buffers))
        pools.append(pool)
        sizes.append(size + pool.size * buffers)
    regions_placed = tuple(placements[number] for number in sorted(placements))
    return DeviceMemoryPlan(regions_placed, tuple(sizes), tuple(pools))


def separate_registers(region: Region, placement: RegionPlacement, pool: Pool) -> tuple[int, ...]:
    """Registers for one launch by itself: each tensor that has a register of its own at the next place in the pool."""
    values, cursor = list(placement.registers), pool.start
    for binding in (*region.inputs, *region.outputs):
        if binding.register > REGISTER_IO and not values[binding.register]:
            values[binding.register] = cursor
            cursor += max(1, -(-binding.layout.nbytes // ALIGNMENT)) * ALIGNMENT
    return tuple(values)


def _pool_bytes(name: str, regions: list[Region], used: int, buffers: int) -> int:
    """Room for two of every tensor that enters or leaves a region, where there is so much, for each request; what is
    beyond goes to the host for a while. One launch must fit."""
    needs = [
        sum(max(1, -(-each.layout.nbytes // ALIGNMENT)) * ALIGNMENT for each in (*region.inputs, *region.outputs))
        for region in regions
    ]
    size = min(2 * sum(needs), (MAX_DEVICE_BYTES - used) // buffers // ALIGNMENT * ALIGNMENT)
    if size < max(needs, default=0):
        raise ExecutableError(f"{name}: a region's tensors need {max(needs)} bytes of device memory, {size} are left")
    return size


def _plan(name: str, regions: list[Region], buffers: int, place: Placing) -> tuple[list[RegionPlacement], int]:
    if not regions:
        return [], 0
    workspace_bytes = max(region.workspace_bytes for region in regions)
    programs, cursor = place([region.instructions for region in regions], 0)
    constants, cursor = place([region.constants for region in regions], cursor)
    (workspace,), cursor = _place_sizes((workspace_bytes,), cursor)
    areas, cursor = _place_sizes((region.io_bytes for region in regions for _ in range(buffers)), cursor)
    if cursor > MAX_DEVICE_BYTES:
        raise ExecutableError(f"{name} needs {cursor} bytes of device memory, more than {MAX_DEVICE_BYTES}")
    placements = [
        RegionPlacement(program, constant, workspace, tuple(areas[index * buffers : (index + 1) * buffers]))
        for index, (program, constant) in enumerate(zip(programs, constants, strict=True))
    ]
    return placements, max(cursor, ALIGNMENT)


def _place_once(contents: list[bytes], cursor: int) -> tuple[list[int], int]:
    """As `_place`, with equal contents at one address."""
    distinct = list(dict.fromkeys(contents))
    addresses, cursor = _place(distinct, cursor)
    known = dict(zip(distinct, addresses, strict=True))
    return [known[content] for content in contents], cursor


def _place(contents: list[bytes], cursor: int) -> tuple[list[int], int]:
    return _place_sizes((len(content) for content in contents), cursor)


def _place_sizes(sizes: Iterable[int], cursor: int) -> tuple[list[int], int]:
    addresses = []
    for size in sizes:
        addresses.append(cursor)
        cursor += -(-size // ALIGNMENT) * ALIGNMENT
    return addresses, cursor
