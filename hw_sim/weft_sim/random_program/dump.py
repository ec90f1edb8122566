"""Code that brings the state of a random program into DRAM: scratchpad, tables, and all bits of the
accumulators."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from weft_sim.isa import (
    TABLE_ENTRIES,
    TABLE_SLOTS,
    Destination,
    Instruction,
    Load,
    Source,
    Store,
    Table,
    Vector,
)
from weft_sim.machine import MachineConfig
from weft_sim.random_program.instructions import Arena

__all__ = ["dump_bytes", "dump_constants", "dump_state"]

_SCALES = {Source.ACCUMULATOR_S32: (0, -8, -16, -24), Source.ACCUMULATOR_F32: (-8, 0, 8, 16)}
"""Powers of two by which rows are scaled before eight bits of them are kept."""
_TABLE_BYTES = 4 * TABLE_ENTRIES


def dump_constants() -> npt.NDArray[np.uint8]:
    """What `dump_state` needs in DRAM: the bytes 0 to 255, then a table of the numbers 0 to 255."""
    ramp = np.arange(TABLE_ENTRIES)
    return np.concatenate([ramp.astype(np.uint8), ramp.astype("<f4").view(np.uint8)])


def dump_bytes(config: MachineConfig, arena: Arena) -> int:
    """Bytes that the dump writes to DRAM."""
    looks = sum(map(len, _SCALES.values()))
    rows = (arena.rows[1] - arena.rows[0] + 1) * config.lanes
    return (arena.vectors[1] - arena.vectors[0] + 1) * config.lanes + looks * rows + TABLE_SLOTS * TABLE_ENTRIES


def dump_state(config: MachineConfig, arena: Arena, constants: int, offset: int) -> list[Instruction]:
    """Stores everything at register 0 + `offset`; `constants` is where `dump_constants` lies, from register
    0.

    The unit in front of the arena's own (the loop counter's) is included. The scratchpad is stored first and
    then holds what the VPU makes of tables and rows: entries rounded to 8 bits, and rows at several scales
    modulo 256 through an identity table, so that a difference in any bit shows in some byte.
    """
    lanes = config.lanes
    first, row = arena.vectors[0] - 1, arena.rows[0] - 1
    rows = arena.rows[1] - row
    ramp_vectors = TABLE_ENTRIES // lanes
    free = first + ramp_vectors + _TABLE_BYTES // lanes
    code = _store(offset, first * lanes, (arena.vectors[1] - first) * lanes)
    offset += (arena.vectors[1] - first) * lanes
    code.append(Load(offset=constants, scratchpad=first * lanes, run_bytes=TABLE_ENTRIES + _TABLE_BYTES))
    for slot in range(TABLE_SLOTS):
        code.append(_look_up(Source.SCRATCHPAD_U8, first, ramp_vectors, 1.0, slot, free))
        code += _store(offset, free * lanes, TABLE_ENTRIES)
        offset += TABLE_ENTRIES
    code.append(Table(slot=0, source=first + ramp_vectors))
    for source, scales in _SCALES.items():
        for power in scales:
            code.append(_look_up(source, row, rows, 2.0**power, 0, free))
            code += _store(offset, free * lanes, rows * lanes)
            offset += rows * lanes
    return code


def _store(offset: int, scratchpad: int, size: int) -> list[Instruction]:
    """`size` bytes in runs that 16 bits can count."""
    step = 1 << 15
    return [
        Store(offset=offset + at, scratchpad=scratchpad + at, run_bytes=min(step, size - at))
        for at in range(0, size, step)
    ]


def _look_up(source: Source, first: int, count: int, scale: float, slot: int, target: int) -> Instruction:
    return Vector(
        a_source=source, a=first, a_scale=scale, table=slot + 1, b_source=Source.IMMEDIATE,
        destination=Destination.SCRATCHPAD_U8, d=target, count_4=count, a_stride_4=1, d_stride_4=1,
    )  # fmt: skip
