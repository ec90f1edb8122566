"""Memory over time, read off the instructions that ran: which node's data lay where in DRAM and scratchpad, when."""

from __future__ import annotations

from dataclasses import dataclass

from weft.report.accesses import Executed, executed
from weft_runtime.executable import REGISTER_COUNT, REGISTER_IO, REGISTER_WORKSPACE
from weft_runtime.npu import is_npu, machine_of
from weft_runtime.profile import RegionProfile
from weft_sim.footprint import footprint
from weft_sim.isa import Load, Space, Store
from weft_sim.machine import MachineConfig

__all__ = ["MOST_INSTRUCTIONS", "ROWS", "MemoryMap", "Tenant", "memory_map"]

MOST_INSTRUCTIONS = 60_000
ROWS = 64
"""Equal parts of the scratchpad that the map tells apart."""

MOST_RUNS = 20_000
MOST_SEARCHED = 256
AREAS = {REGISTER_WORKSPACE: "workspace", REGISTER_IO: "input and output"}


@dataclass
class Tenant:
    """Bytes `low` to `high` (exclusive) of an area that hold one node's results, from the first cycle of writing to the
    last of reading. Inputs, which the host wrote, have no node."""

    area: str
    node: str
    low: int
    high: int
    first: int
    last: int


@dataclass(frozen=True)
class MemoryMap:
    """DRAM tenants by area, and runs (row, first cycle, last cycle, node) of the scratchpad in which a row holds data
    that was written and will be read. `seen` of `instructions` executed instructions were looked at."""

    tenants: tuple[Tenant, ...]
    area_bytes: dict[str, int]
    runs: tuple[tuple[int, int, int, str], ...]
    scratchpad_bytes: int
    seen: int
    instructions: int


def memory_map(profile: RegionProfile) -> MemoryMap:
    """The map of one region's launch; empty for processors of other backends and devices without events."""
    sizes = {"workspace": profile.region.workspace_bytes, "input and output": profile.region.io_bytes}
    total = len(profile.result.events)
    if not is_npu(profile.processor):
        return MemoryMap((), sizes, (), 0, 0, total)
    machine = machine_of(profile.processor)
    dram, scratchpad = _Dram(machine), _Scratchpad(machine)
    seen = 0
    for each in executed(profile, MOST_INSTRUCTIONS):
        dram.note(each)
        scratchpad.note(each)
        seen += 1
    tenants = tuple(sorted(dram.tenants(), key=lambda tenant: (tenant.area, tenant.first, tenant.low)))
    return MemoryMap(tenants, sizes, tuple(scratchpad.ended()), machine.scratchpad_bytes, seen, total)


class _Dram:
    """Tenants found from LOADs and STOREs: a node's stores make one, loads prolong the newest that they touch."""

    def __init__(self, machine: MachineConfig) -> None:
        self._machine = machine
        self._written: dict[tuple[str, str], Tenant] = {}
        self._given: dict[tuple[int, int], Tenant] = {}

    def note(self, each: Executed) -> None:
        instruction = each.instruction
        if not isinstance(instruction, Load | Store) or instruction.register not in AREAS:
            return
        stream = next(s for s in instruction.streams(self._machine, (0,) * REGISTER_COUNT) if s.space == Space.DRAM)
        found, area = footprint(stream), AREAS[instruction.register]
        if isinstance(instruction, Store):
            self._store(each, area, found.low, found.high + 1)
        else:
            self._load(each, area, found.low, found.high + 1)

    def _store(self, each: Executed, area: str, low: int, high: int) -> None:
        known = self._written.get((area, each.node))
        if known is None:
            self._written[area, each.node] = Tenant(area, each.node, low, high, each.start, each.end)
            return
        known.low, known.high = min(known.low, low), max(known.high, high)
        known.last = max(known.last, each.end)

    def _load(self, each: Executed, area: str, low: int, high: int) -> None:
        for tenant in list(reversed(self._written.values()))[:MOST_SEARCHED]:
            if tenant.area == area and tenant.low < high and low < tenant.high and tenant.first <= each.end:
                tenant.last = max(tenant.last, each.end)
                return
        self._given_by_host(each, area, low, high)

    def _given_by_host(self, each: Executed, area: str, low: int, high: int) -> None:
        for tenant in self._given.values():
            if tenant.area == area and tenant.low <= high and low <= tenant.high:
                tenant.low, tenant.high = min(tenant.low, low), max(tenant.high, high)
                tenant.last = max(tenant.last, each.end)
                return
        self._given[low, high] = Tenant(area, "", low, high, 0, each.end)

    def tenants(self) -> list[Tenant]:
        return [*self._given.values(), *self._written.values()]


class _Scratchpad:
    """For each row, since when it holds whose data, and when that was last used."""

    def __init__(self, machine: MachineConfig) -> None:
        self._machine = machine
        self._row_bytes = max(1, machine.scratchpad_bytes // ROWS)
        self._held: list[tuple[str, int, int] | None] = [None] * ROWS
        self._runs: list[tuple[int, int, int, str]] = []

    def note(self, each: Executed) -> None:
        for stream in each.instruction.streams(self._machine, (0,) * REGISTER_COUNT):
            if stream.space != Space.SCRATCHPAD:
                continue
            found = footprint(stream)
            last = min(ROWS - 1, found.high // self._row_bytes)
            for row in range(found.low // self._row_bytes, last + 1):
                self._write(row, each) if stream.write else self._read(row, each)

    def ended(self) -> list[tuple[int, int, int, str]]:
        for row in range(ROWS):
            self._end(row)
        return self._runs[:MOST_RUNS]

    def _write(self, row: int, each: Executed) -> None:
        held = self._held[row]
        if held is not None and held[0] == each.node:
            self._held[row] = (held[0], held[1], max(held[2], each.end))
            return
        self._end(row)
        self._held[row] = (each.node, each.start, each.end)

    def _read(self, row: int, each: Executed) -> None:
        held = self._held[row]
        if held is not None:
            self._held[row] = (held[0], held[1], max(held[2], each.end))

    def _end(self, row: int) -> None:
        held = self._held[row]
        if held is not None and held[2] > held[1]:
            self._runs.append((row, held[1], held[2], held[0]))
        self._held[row] = None
