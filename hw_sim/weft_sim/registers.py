"""Base registers as far as they are known before a program runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from weft_sim.isa.architecture import REGISTERS
from weft_sim.isa.control import NO_MAILBOX, NO_REGISTER, Register
from weft_sim.isa.instruction import Instruction

__all__ = ["NO_AREAS", "Area", "Areas", "RegisterValue", "RegisterValues", "bound_registers", "registers_after"]

Area = range | tuple[range, ...]
"""Addresses of DRAM: of one buffer, or of several, in any one of which a register may be."""

RegisterValue = int | Area | None
"""An address; an area of DRAM, where every access through the register lies in it; None: it may be anywhere."""

RegisterValues = tuple[RegisterValue, ...]
"""One value for each base register."""

Areas = Mapping[int, Area]
"""Registers that a program changes without leaving an area: addresses of its bytes."""

NO_AREAS: Areas = MappingProxyType({})


def bound_registers(registers: Sequence[RegisterValue]) -> RegisterValues:
    """The registers at launch: those that the host does not bind are 0."""
    return tuple(registers) + (0,) * (REGISTERS - len(registers))


def registers_after(instruction: Instruction, registers: RegisterValues, areas: Areas = NO_AREAS) -> RegisterValues:
    """The registers that later instructions see; one that a mailbox decides may be anywhere, in its area if any."""
    if not isinstance(instruction, Register):
        return registers
    source = 0 if instruction.source == NO_REGISTER else registers[instruction.source]
    value: RegisterValue = areas.get(instruction.destination)
    if value is None and isinstance(source, int) and instruction.mailbox == NO_MAILBOX:
        value = (source + instruction.offset) & 0xFFFFFFFF
    changed = list(registers)
    changed[instruction.destination] = value
    return tuple(changed)
