"""Hazards inside one VECTOR: results that overwrite operands which a later step of the same instruction
reads.

The golden model reads all operands first. The pipeline reads step s when it enters and writes a result
VPU_LATENCY cycles or more later, so a result may only fall on an address that no step behind the result's own
last step reads.
"""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt

from weft_sim.footprint import footprint, overlap
from weft_sim.isa.architecture import PARAMETER_VECTORS, Space
from weft_sim.isa.instruction import AddressStream, Instruction
from weft_sim.isa.state import addresses
from weft_sim.isa.vector import Vector
from weft_sim.machine import MachineConfig

__all__ = ["own_operand_overwritten"]


def own_operand_overwritten(config: MachineConfig, instruction: Instruction) -> tuple[str, Space, int] | None:
    """(operand, space, address) of such a hazard, or None. The operand is a, b or parameter."""
    if not isinstance(instruction, Vector):
        return None
    streams = instruction.streams(config, ())
    (result,) = (stream for stream in streams if stream.write)
    for operand in streams:
        if operand.write or operand.space != result.space or not overlap(footprint(operand), footprint(result)):
            continue
        if _in_place(operand, result):
            continue
        address = _overwritten(config, instruction, operand, result)
        if address is not None:
            return operand.name, operand.space, address
    return None


def _in_place(operand: AddressStream, result: AddressStream) -> bool:
    """Whether every step writes exactly where it reads, and no two steps share an address."""
    if operand.base != result.base or operand.length != result.length:
        return False
    moving = [dim for dim in operand.dims if dim[0] > 1]
    if moving != [dim for dim in result.dims if dim[0] > 1]:
        return False
    area = footprint(operand)
    return prod(count for count, _ in area.dims) * area.length == prod(count for count, _ in moving) * operand.length


def _overwritten(
    config: MachineConfig, instruction: Vector, operand: AddressStream, result: AddressStream
) -> int | None:
    """The first address, in write order, that a later step reads; everything in whole vectors or rows."""
    unit = config.lanes if operand.space == Space.SCRATCHPAD else 1
    steps = prod(instruction.loop_counts())
    reads = addresses(operand.base, operand.dims) // unit
    writes = addresses(result.base, result.dims) // unit
    when: npt.NDArray[np.int64] = np.arange(len(reads)) * (steps // len(reads))
    if operand.name == "parameter":
        reads, when = (
            (reads[:, None] + np.arange(PARAMETER_VECTORS)).ravel(),
            np.repeat(when, PARAMETER_VECTORS),
        )
    last_read = np.full(int(max(reads.max(), writes.max())) + 1, -1, np.int64)
    np.maximum.at(last_read, reads, when)
    finished = (np.arange(len(writes)) + 1) * (steps // len(writes)) - 1
    late = np.flatnonzero(last_read[writes] > finished)
    return int(writes[late[0]]) * unit if len(late) else None
