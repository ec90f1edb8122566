"""What a run of a program on any device is given, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from weft_sim.errors import DeviceFault

__all__ = ["EVENT_DTYPE", "Fault", "RunOptions", "RunResult", "UnitCounters"]

EVENT_DTYPE = np.dtype([("index", "<u4"), ("unit", "<u4"), ("issue", "<u8"), ("start", "<u8"), ("end", "<u8")])
"""One executed instruction: its index in the program, its unit (`isa.Unit`), the cycle in which it left its
queue with its tokens taken (issue), of its first useful work (start), and in which it retired (end)."""


@dataclass(frozen=True)
class RunOptions:
    """How to run. `timing_only` computes no data (a program with a jump on a mailbox then needs
    `mailbox_trace`); `single_step` evaluates every cycle by itself instead of skipping ahead (same answer,
    slower); `stall_seed` ≠ 0 adds seeded random DRAM stalls; `cycle_limit` and `instruction_limit` end
    runaway programs."""

    timing_only: bool = False
    single_step: bool = False
    stall_seed: int = 0
    cycle_limit: int = 1 << 40
    instruction_limit: int = 1 << 26
    record_events: bool = True
    mailbox_trace: tuple[int, ...] = ()


@dataclass(frozen=True)
class Fault:
    """Why a program stopped: cause (a name in `isa.FaultCause`), the index of the instruction, and detail in
    words."""

    cause: str
    instruction: int
    detail: str = ""


@dataclass(frozen=True)
class UnitCounters:
    """Cycles in which a unit did useful work, and cycles in which it could not, by cause."""

    busy: int = 0
    stalls: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RunResult:
    """The outcome of one launch. `cycles` runs from the first instruction fetch to the last byte stored (0 on
    the golden model, which has no time); `events` has EVENT_DTYPE, in dispatch order."""

    status: str
    fault: Fault | None
    cycles: int
    instructions: int
    units: Mapping[str, UnitCounters] = field(default_factory=dict)
    read_bytes: int = 0
    write_bytes: int = 0
    events: npt.NDArray[Any] = field(default_factory=lambda: np.zeros(0, EVENT_DTYPE))
    mailboxes: tuple[int, ...] = ()

    def raise_on_fault(self, region: str, sources: Sequence[str] = ()) -> None:
        """Raises DeviceFault, naming region, instruction, ONNX node and cause, unless the program halted by
        itself."""
        if self.fault is None:
            return
        index = self.fault.instruction
        node = f" (node {sources[index]!r})" if index < len(sources) and sources[index] else ""
        detail = f": {self.fault.detail}" if self.fault.detail else ""
        raise DeviceFault(f"region {region!r}, instruction {index}{node}: {self.fault.cause}{detail}")
