"""The table as the emitters see it: classes, enumerations and constants in a fixed order."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterator

import weft_sim.isa as isa
from weft_sim.isa.field import Field
from weft_sim.isa.instruction import OPCODES, Instruction

__all__ = [
    "ENUMERATIONS",
    "NOTICE",
    "constants",
    "field_groups",
    "instruction_classes",
    "snake_case",
    "summary",
]

NOTICE = "Generated from weft_sim.isa by `python -m weft_sim.isa.generate`: change the table, not this file."

ENUMERATIONS: tuple[type[enum.IntEnum], ...] = (
    isa.Unit, isa.Space, isa.FaultCause, isa.Condition, isa.MatmulMode, isa.WeightOrder, isa.Source,
    isa.Operation, isa.Reduction, isa.Destination,
)  # fmt: skip

_CONSTANTS = (
    "INSTRUCTION_BYTES", "REGISTERS", "MAILBOXES", "NO_REGISTER", "NO_MAILBOX", "TABLE_SLOTS",
    "TABLE_ENTRIES", "DEPTHWISE_ROWS", "PARAMETER_VECTORS", "MAX_WORK", "TOKEN_LIMIT",
)  # fmt: skip


def constants() -> dict[str, int]:
    """Every architecture constant, then the pipeline constants."""
    return {name: int(getattr(isa, name)) for name in _CONSTANTS} | isa.TIMING


def instruction_classes() -> list[type[Instruction]]:
    """All instructions by opcode."""
    return [OPCODES[opcode] for opcode in sorted(OPCODES)]


def field_groups(kind: type[Instruction]) -> Iterator[tuple[str, list[Field]]]:
    """Runs of fields `stem_0, stem_1, …` of one instruction, each with the plural of its stem."""
    groups: dict[str, list[Field]] = {}
    for field in kind.FIELDS:
        stem, _, number = field.name.rpartition("_")
        if number.isdigit():
            groups.setdefault(stem, []).append(field)
    for stem, fields in groups.items():
        yield f"{stem}s", fields


def snake_case(name: str) -> str:
    """CamelCase → snake_case."""
    return "".join(f"_{letter}" if letter.isupper() and i else letter for i, letter in enumerate(name)).lower()


def summary(kind: type[Instruction]) -> str:
    """The first sentence of the instruction's docstring, on one line."""
    paragraph = (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")
    return paragraph.partition(". ")[0].rstrip(".") + "."
