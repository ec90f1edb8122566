"""Base registers as far as they are known before a program runs."""

from __future__ import annotations

from collections.abc import Sequence

from weft_sim.isa.architecture import REGISTERS
from weft_sim.isa.control import NO_MAILBOX, NO_REGISTER, Register
from weft_sim.isa.instruction import Instruction

__all__ = ["RegisterValues", "bound_registers", "registers_after"]

RegisterValues = tuple[int | None, ...]
"""One value for each base register; None where a mailbox decides it."""


def bound_registers(registers: Sequence[int | None]) -> RegisterValues:
    """The registers at launch: those that the host does not bind are 0."""
    return tuple(registers) + (0,) * (REGISTERS - len(registers))


def registers_after(instruction: Instruction, registers: RegisterValues) -> RegisterValues:
    """The registers that later instructions see."""
    if not isinstance(instruction, Register):
        return registers
    source = 0 if instruction.source == NO_REGISTER else registers[instruction.source]
    value = None
    if source is not None and instruction.mailbox == NO_MAILBOX:
        value = (source + instruction.offset) & 0xFFFFFFFF
    changed = list(registers)
    changed[instruction.destination] = value
    return tuple(changed)
