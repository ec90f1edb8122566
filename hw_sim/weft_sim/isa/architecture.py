"""Names and constants of the architecture that are the same on every machine configuration."""

from __future__ import annotations

import enum

__all__ = [
    "DEPTHWISE_ROWS", "INSTRUCTION_BYTES", "MAILBOXES", "MAX_WORK", "PARAMETER_VECTORS", "REGISTERS",
    "TABLE_ENTRIES", "TABLE_SLOTS", "TIMING", "TOKEN_LIMIT", "FaultCause", "Space", "Unit",
]  # fmt: skip

INSTRUCTION_BYTES = 128
"""Every instruction has this size; programs start at a multiple of it in DRAM."""
REGISTERS = 16
"""Base registers (32 bits each) that the host binds before a launch; LOAD and STORE address relative to
them."""
MAILBOXES = 16
"""32-bit scalars that VECTOR writes and JUMP and REGISTER read."""
TABLE_SLOTS = 2
"""Tables that the VPU holds at once."""
TABLE_ENTRIES = 256
"""32-bit words of one table."""
DEPTHWISE_ROWS = 4
"""Kernel rows that one depthwise MATMUL can see at once (DEPTHWISE_ROWS − 1 line buffers)."""
PARAMETER_VECTORS = 8
"""Vectors of one per-lane parameter record: int32 bias (4), then float32 scale (4)."""
MAX_WORK = 1 << 24
"""Largest product of an instruction's loop counts (times run_bytes for LOAD, STORE, FILL)."""
TOKEN_LIMIT = 64
"""Most tokens of one channel that may be signalled but not yet waited for, counted in program order."""


class Unit(enum.IntEnum):
    """The machine's units. A token channel exists for each ordered pair of different units."""

    FETCH = 0
    LOAD = 1
    STORE = 2
    MXU = 3
    VPU = 4


class Space(enum.IntEnum):
    """Address spaces: DRAM and SCRATCHPAD in bytes, ACCUMULATOR in rows, TABLE in slots, MAILBOX in words."""

    DRAM = 0
    SCRATCHPAD = 1
    ACCUMULATOR = 2
    TABLE = 3
    MAILBOX = 4


class FaultCause(enum.IntEnum):
    """Why a program stopped early. All but CYCLE_LIMIT are found when an instruction is about to be
    dispatched: everything before it completes, it and everything after it has no effect."""

    NONE = 0
    ILLEGAL_OPCODE = 1
    ILLEGAL_FIELD = 2
    DRAM_RANGE = 3
    SCRATCHPAD_RANGE = 4
    ACCUMULATOR_RANGE = 5
    PROGRAM_RANGE = 6
    DEADLOCK = 7
    TOKEN_OVERFLOW = 8
    CYCLE_LIMIT = 9


TIMING: dict[str, int] = {
    "DECODE_CYCLES": 8,
    "LOAD_CONTEXTS": 4,
    "STORE_CONTEXTS": 4,
    "BYTE_FIFO_BEATS": 4,
    "MXU_LATENCY": 5,
    "WEIGHT_SWAP_CYCLES": 2,
    "VPU_LATENCY": 24,
    "SUM_INTERVAL": 4,
    "DIVIDE_INTERVAL": 32,
    "DRAM_WRITE_BUFFER": 4,
}
"""Pipeline constants in cycles (or entries), the same on every machine; docs/architecture.md gives their
meaning."""
