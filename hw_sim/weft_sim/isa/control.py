"""FETCH's own instructions: HALT, JUMP, REGISTER."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from weft_sim.isa.architecture import MAILBOXES, REGISTERS, Space, Unit
from weft_sim.isa.field import EnumField, SignedField, UnsignedField
from weft_sim.isa.instruction import AddressStream, Instruction
from weft_sim.isa.state import MachineState
from weft_sim.machine import MachineConfig

__all__ = ["NO_MAILBOX", "NO_REGISTER", "Condition", "Halt", "Jump", "Register"]

NO_MAILBOX = MAILBOXES
NO_REGISTER = REGISTERS


class Condition(enum.IntEnum):
    """When JUMP is taken: mailbox compared with the immediate `value`, both signed 32 bits."""

    ALWAYS = 0
    EQUAL = 1
    NOT_EQUAL = 2
    LESS = 3
    GREATER_EQUAL = 4


class Halt(Instruction, opcode=1, mnemonic="HALT", unit=Unit.FETCH):
    """Ends the program once every instruction before it has retired."""

    __slots__ = ()

    def execute(self, state: MachineState) -> None:
        state.halted = True


class Jump(Instruction, opcode=2, mnemonic="JUMP", unit=Unit.FETCH):
    """Continues at instruction `target` if the condition holds, else with the next one.

    The mailbox is read when all waited tokens have arrived, so the VECTOR that writes it must signal FETCH.
    """

    __slots__ = ()
    condition = EnumField(8, Condition, "comparison of the mailbox with `value`")
    mailbox = UnsignedField(8, "which mailbox is compared (0 when ALWAYS)")
    value = SignedField(32, "what it is compared with")
    target = UnsignedField(32, "index of the instruction to continue at")

    def check_fields(self, config: MachineConfig) -> str | None:
        if self.mailbox >= MAILBOXES:
            return f"mailbox {self.mailbox} does not exist"
        return None

    def streams(self, config: MachineConfig, registers: Sequence[int]) -> tuple[AddressStream, ...]:
        if self.condition == Condition.ALWAYS:
            return ()
        return (AddressStream("mailbox", Space.MAILBOX, False, self.mailbox, 1, ()),)

    def taken(self, mailbox: int) -> bool:
        """Whether the jump is taken when the mailbox holds this value."""
        value = int(self.value)
        return {
            Condition.ALWAYS: True,
            Condition.EQUAL: mailbox == value,
            Condition.NOT_EQUAL: mailbox != value,
            Condition.LESS: mailbox < value,
            Condition.GREATER_EQUAL: mailbox >= value,
        }[Condition(self.condition)]

    def execute(self, state: MachineState) -> None:
        if self.taken(int(state.mailboxes[self.mailbox])):
            state.program_counter = self.target


class Register(Instruction, opcode=3, mnemonic="REGISTER", unit=Unit.FETCH):
    """registers[destination] = (registers[source] or 0) + offset + (mailboxes[mailbox] or 0) × scale, modulo
    2³².

    It takes effect for every later LOAD and STORE; with a mailbox it makes addresses depend on data.
    """

    __slots__ = ()
    destination = UnsignedField(8, "register written")
    source = UnsignedField(8, f"register read; {NO_REGISTER}: none", NO_REGISTER)
    mailbox = UnsignedField(8, f"mailbox read; {NO_MAILBOX}: none", NO_MAILBOX)
    offset = SignedField(32, "added, bytes")
    scale = SignedField(32, "bytes per unit of the mailbox")

    def check_fields(self, config: MachineConfig) -> str | None:
        if self.destination >= REGISTERS or self.source > NO_REGISTER:
            return "such a register does not exist"
        if self.mailbox > NO_MAILBOX:
            return f"mailbox {self.mailbox} does not exist"
        return None

    def streams(self, config: MachineConfig, registers: Sequence[int]) -> tuple[AddressStream, ...]:
        if self.mailbox == NO_MAILBOX:
            return ()
        return (AddressStream("mailbox", Space.MAILBOX, False, self.mailbox, 1, ()),)

    def execute(self, state: MachineState) -> None:
        total = int(self.offset)
        if self.source != NO_REGISTER:
            total += state.registers[self.source]
        if self.mailbox != NO_MAILBOX:
            total += int(state.mailboxes[self.mailbox]) * self.scale
        state.registers[self.destination] = total & 0xFFFFFFFF
