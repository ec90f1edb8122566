"""Registers that a region's program changes must begin inside the region's own memory."""

from __future__ import annotations

from weft_runtime.errors import ExecutableError
from weft_runtime.executable import REGISTER_CONSTANTS, REGISTER_IO, REGISTER_WORKSPACE, Region
from weft_sim.isa import INSTRUCTION_BYTES, Register
from weft_sim.isa.control import NO_REGISTER
from weft_sim.isa.instruction import decode

__all__ = ["check_registers"]


def check_registers(region: Region) -> None:
    """Raises ExecutableError naming the REGISTER instruction that changes what the host binds, that begins outside of
    what its source is bound to, or moves on by more than the largest of these.

    Where a mailbox moves it, or several moves add up, the accelerator's check of every address at dispatch remains.
    Instructions that are none are refused there, too."""
    sizes = {
        REGISTER_CONSTANTS: len(region.constants), REGISTER_WORKSPACE: region.workspace_bytes,
        REGISTER_IO: region.io_bytes,
    }  # fmt: skip
    for binding in (*region.inputs, *region.outputs):
        sizes.setdefault(binding.register, binding.layout.nbytes)
    moves = _moves(region.instructions)
    own = {each.destination for _, each in moves}
    for index, each in moves:
        where = f"region {region.name!r}: instruction {index} (REGISTER)"
        if each.destination in sizes:
            raise ExecutableError(f"{where} changes register {each.destination}, which the host binds")
        if each.source in own:
            if not 0 <= each.offset <= max(sizes.values()):
                raise ExecutableError(f"{where} moves a register by {each.offset} bytes, more than any tensor has")
            continue
        if each.source == NO_REGISTER or each.source not in sizes:
            raise ExecutableError(f"{where} begins at register {each.source}, which is bound to nothing")
        if not 0 <= each.offset < max(1, sizes[each.source]):
            raise ExecutableError(
                f"{where} begins at byte {each.offset} of the {sizes[each.source]} that register {each.source} has"
            )


def _moves(instructions: bytes) -> list[tuple[int, Register]]:
    """The REGISTER instructions, with their indices."""
    found = []
    for index in range(len(instructions) // INSTRUCTION_BYTES):
        start = index * INSTRUCTION_BYTES
        if instructions[start] != Register.OPCODE:
            continue
        instruction = decode(instructions[start : start + INSTRUCTION_BYTES])
        if isinstance(instruction, Register):
            found.append((index, instruction))
    return found
