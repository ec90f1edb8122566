"""Programs: sequences of instructions as bytes, as objects, and as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from weft_sim.errors import InstructionError
from weft_sim.isa.architecture import INSTRUCTION_BYTES, Unit
from weft_sim.isa.instruction import Instruction, StaticFault, decode

__all__ = ["decode_program", "disassemble", "encode_program"]


def encode_program(instructions: Iterable[Instruction]) -> bytes:
    """The bytes of a program. Raises InstructionError naming instruction and field."""
    parts: list[bytes] = []
    for index, instruction in enumerate(instructions):
        try:
            parts.append(instruction.encode())
        except InstructionError as error:
            raise InstructionError(f"instruction {index} ({instruction.MNEMONIC}): {error}") from error
    return b"".join(parts)


def decode_program(data: bytes) -> list[Instruction]:
    """The instructions of a program. Raises InstructionError naming the first that is none."""
    if len(data) % INSTRUCTION_BYTES:
        raise InstructionError(f"a program of {len(data)} bytes is no multiple of {INSTRUCTION_BYTES}")
    result: list[Instruction] = []
    for index in range(len(data) // INSTRUCTION_BYTES):
        found = decode(data[index * INSTRUCTION_BYTES : (index + 1) * INSTRUCTION_BYTES])
        if isinstance(found, StaticFault):
            raise InstructionError(f"instruction {index}: {found.cause.name.lower()}: {found.detail}")
        result.append(found)
    return result


def disassemble(instructions: Sequence[Instruction], sources: Sequence[str] = ()) -> str:
    """One line per instruction: index, tokens taken (<), mnemonic and non-default fields, tokens given (>),
    node."""
    lines = []
    for index, instruction in enumerate(instructions):
        waits = "".join(f" <{unit.name.lower()}" for unit in Unit if instruction.wait >> unit & 1)
        signals = "".join(f" >{unit.name.lower()}" for unit in Unit if instruction.signal >> unit & 1)
        plain = instruction.replace(wait=0, signal=0)
        source = f"  ; {sources[index]}" if index < len(sources) and sources[index] else ""
        lines.append(f"{index:6d}{waits} {plain!r}{signals}{source}")
    return "\n".join(lines)
