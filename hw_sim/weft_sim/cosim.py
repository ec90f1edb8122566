"""Lockstep co-simulation: one program on the simulator and on the RTL, compared instruction by instruction."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft_sim import rtl, simulator
from weft_sim.isa.architecture import Unit
from weft_sim.machine import MachineConfig
from weft_sim.result import RunOptions, RunResult

__all__ = ["Comparison", "Device", "Difference", "compare", "differences", "memory_differences"]

Device = Callable[[MachineConfig, npt.NDArray[np.uint8], int, int, Sequence[int], RunOptions], RunResult]
"""`simulator.run`, `rtl.run` or another of their signature."""


@dataclass(frozen=True)
class Difference:
    """One thing in which the two differ. `cycle` is the earlier side's where time is what differs, else −1;
    `instruction` is its index in the program, or −1."""

    what: str
    simulator: str
    rtl: str
    cycle: int = -1
    unit: str = ""
    instruction: int = -1

    def __str__(self) -> str:
        where = f"instruction {self.instruction} ({self.unit}): " if self.instruction >= 0 else ""
        when = f" at cycle {self.cycle}" if self.cycle >= 0 else ""
        return f"{where}{self.what}{when}: simulator {self.simulator}, RTL {self.rtl}"


@dataclass(frozen=True)
class Comparison:
    """Both results, and the first difference (None: they are equal in every cycle, counter and byte)."""

    simulator: RunResult
    rtl: RunResult
    first: Difference | None


def compare(
    config: MachineConfig,
    dram: npt.NDArray[np.uint8],
    program_address: int,
    instruction_count: int,
    registers: Sequence[int],
    options: RunOptions = RunOptions(),
    device: Device = rtl.run,
) -> Comparison:
    """Runs the program on the simulator (which modifies `dram` in place) and on `device` (on a copy), and compares.

    Raises what the two runs raise: RtlError when the RTL's model cannot be built, ValueError for an impossible launch.
    """
    other = dram.copy()
    ours = simulator.run(config, dram, program_address, instruction_count, registers, options)
    theirs = device(config, other, program_address, instruction_count, registers, options)
    found = differences(ours, theirs)
    # Stopped in the middle, the two have got equally far in time but not in data: the simulator computes it apart.
    if ours.cycles < options.cycle_limit:
        found = itertools.chain(found, memory_differences(ours, dram, theirs, other))
    return Comparison(ours, theirs, next(found, None))


def differences(ours: RunResult, theirs: RunResult) -> Iterator[Difference]:
    """Differences in time, one of each kind, the events' first: events, status, counters."""
    yield from _events(ours, theirs)
    yield from _scalars(ours, theirs)
    for name, unit in ours.units.items():
        other = theirs.units[name]
        if unit != other:
            yield Difference("counters", repr(unit), repr(other), unit=name)


def memory_differences(
    ours: RunResult, our_dram: npt.NDArray[np.uint8], theirs: RunResult, their_dram: npt.NDArray[np.uint8]
) -> Iterator[Difference]:
    """Differences in data: mailboxes, DRAM."""
    if ours.mailboxes != theirs.mailboxes:
        yield Difference("mailboxes", str(ours.mailboxes), str(theirs.mailboxes))
    wrong = np.flatnonzero(our_dram != their_dram)
    if len(wrong):
        address = int(wrong[0])
        what = f"byte {address} of DRAM ({len(wrong)} differ)"
        yield Difference(what, f"{our_dram[address]:#04x}", f"{their_dram[address]:#04x}")


def _events(ours: RunResult, theirs: RunResult) -> Iterator[Difference]:
    """The difference of the earliest cycle, then a difference of length."""
    count = min(len(ours.events), len(theirs.events))
    a, b = ours.events[:count], theirs.events[:count]
    found = []
    for field in ("index", "unit", "issue", "start", "end"):
        for number in np.flatnonzero(a[field] != b[field])[:1].tolist():
            cycle = int(min(a[number]["issue"], b[number]["issue"]))
            if field in ("issue", "start", "end"):
                cycle = int(min(a[number][field], b[number][field]))
            found.append((cycle, number, field))
    if found:
        cycle, number, field = min(found)
        unit = Unit(int(a[number]["unit"])).name.lower()
        yield Difference(field, str(a[number][field]), str(b[number][field]), cycle, unit, int(a[number]["index"]))
    if len(ours.events) != len(theirs.events):
        yield Difference("number of instructions executed", str(len(ours.events)), str(len(theirs.events)))


def _scalars(ours: RunResult, theirs: RunResult) -> Iterator[Difference]:
    def cause(result: RunResult) -> str:
        return "none" if result.fault is None else f"{result.fault.cause} at instruction {result.fault.instruction}"

    pairs = [
        ("fault", cause(ours), cause(theirs)),
        ("cycles", ours.cycles, theirs.cycles),
        ("instructions", ours.instructions, theirs.instructions),
        ("bytes read", ours.read_bytes, theirs.read_bytes),
        ("bytes written", ours.write_bytes, theirs.write_bytes),
    ]
    for what, one, other in pairs:
        if one != other:
            yield Difference(what, str(one), str(other))
