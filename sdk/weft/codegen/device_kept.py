"""Where an element that was stored last still lies in the scratchpad, so that a decision need not load it again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weft.codegen.device_emission import NO_BASES
from weft_sim.footprint import Footprint, footprint, overlap
from weft_sim.isa import Instruction, Jump, Register, Space, Store, Vector
from weft_sim.isa.state import addresses
from weft_sim.machine import MachineConfig

__all__ = ["kept_vector"]


def kept_vector(program: Sequence[Instruction], register: int, address: int, machine: MachineConfig) -> int | None:
    """The scratchpad vector that has the byte at registers[register] + address in lane 0 at the end of the program so
    far; None where there is none for sure.

    Only instructions behind the last JUMP are looked at, which every way there has executed. The byte is where the
    last STORE to it took it from, if a VECTOR wrote all of that vector before and nothing has written to it since.
    The register must be the only one through which the program stores there.
    """
    straight = _behind_jump(program)
    if any(isinstance(each, Register) and each.destination == register for each in straight):
        return None
    for position in reversed(range(len(straight))):
        instruction = straight[position]
        if not isinstance(instruction, Store) or instruction.register != register:
            continue
        source = _source_of(instruction, address, machine)
        if source is None:
            continue
        area = Footprint(source, source + machine.lanes - 1, machine.lanes, ())
        writers = [index for index, each in enumerate(straight) if _writes(each, area, machine)]
        written = bool(writers) and writers[-1] < position and isinstance(straight[writers[-1]], Vector)
        return source // machine.lanes if written and source % machine.lanes == 0 else None
    return None


def _behind_jump(program: Sequence[Instruction]) -> Sequence[Instruction]:
    start = len(program)
    while start and not isinstance(program[start - 1], Jump):
        start -= 1
    return program[start:]


def _source_of(store: Store, address: int, machine: MachineConfig) -> int | None:
    """The scratchpad byte that a STORE, the last of its runs, leaves at a DRAM address relative to its register."""
    streams = {each.space: each for each in store.streams(machine, NO_BASES)}
    target, source = streams[Space.DRAM], streams[Space.SCRATCHPAD]
    if not target.lowest <= address <= target.highest:
        return None
    starts = addresses(target.base, target.dims)
    runs = np.flatnonzero((starts <= address) & (address < starts + target.length))
    if not len(runs):
        return None
    last = int(runs[-1])
    return int(addresses(source.base, source.dims)[last]) + address - int(starts[last])


def _writes(instruction: Instruction, area: Footprint, machine: MachineConfig) -> bool:
    streams = instruction.streams(machine, NO_BASES)
    return any(each.write and each.space == Space.SCRATCHPAD and overlap(footprint(each), area) for each in streams)
