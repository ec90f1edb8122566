"""Emits rtl/generated/weft_isa_pkg.sv."""

from __future__ import annotations

import enum

from weft_sim.isa.field import EnumField, Field, SignedField
from weft_sim.isa.generate.table import ENUMERATIONS, NOTICE, constants, instruction_classes, snake_case
from weft_sim.isa.instruction import Instruction

__all__ = ["isa_package", "member_name"]

_RESERVED = frozenset({"input", "parameter", "register", "table", "wait"})

_HEAD = f"""// {NOTICE}
//
// Packed structs have their first member in the highest bits, so members stand in reverse order of the
// table, and matmul_t'(instruction[MATMUL_BITS-1:0]) gives the fields. Members named like a keyword have a
// trailing underscore. Enumerations' fields are plain logic: their value may be illegal until
// *_enums_legal says otherwise.
`ifndef WEFT_ISA_PKG_SV
`define WEFT_ISA_PKG_SV

package weft_isa_pkg;
"""


def isa_package() -> str:
    """The whole package."""
    parts = [_HEAD]
    parts += [f"  localparam int unsigned {name} = {value};" for name, value in constants().items()]
    parts.append(f"  localparam int unsigned INSTRUCTION_BITS = {8 * constants()['INSTRUCTION_BYTES']};")
    parts += [_enumeration(members) for members in ENUMERATIONS]
    parts.append(_opcodes())
    parts += [_structure(kind) for kind in instruction_classes()]
    parts += [_legality(kind) for kind in instruction_classes()]
    parts.append(_bits_function())
    parts.append("endpackage\n\n`endif")
    return "\n".join(parts) + "\n"


def member_name(field: Field) -> str:
    """The field's name in SystemVerilog."""
    return f"{field.name}_" if field.name in _RESERVED else field.name


def _enumeration(members: type[enum.IntEnum]) -> str:
    name = snake_case(members.__name__)
    values = ",\n".join(f"    {name.upper()}_{member.name} = 8'd{member.value}" for member in members)
    return f"\n  typedef enum logic [7:0] {{\n{values}\n  }} {name}_e;"


def _opcodes() -> str:
    values = ",\n".join(f"    OPCODE_{kind.MNEMONIC} = 8'd{kind.OPCODE}" for kind in instruction_classes())
    return f"\n  typedef enum logic [7:0] {{\n{values}\n  }} opcode_e;"


def _type(field: Field) -> str:
    sign = " signed" if isinstance(field, SignedField) else ""
    return f"logic{sign}" if field.width == 1 else f"logic{sign} [{field.width - 1}:0]"


def _structure(kind: type[Instruction]) -> str:
    name = kind.MNEMONIC.lower()
    lines = [f"\n  localparam int unsigned {kind.MNEMONIC}_BITS = {kind.BITS};", "  typedef struct packed {"]
    for field in reversed(kind.FIELDS):
        high = field.low + field.width - 1
        lines.append(f"    {_type(field)} {member_name(field)};  // [{high}:{field.low}] {field.doc}")
    return "\n".join([*lines, f"  }} {name}_t;"])


def _legality(kind: type[Instruction]) -> str:
    name = kind.MNEMONIC.lower()
    checks = [
        f"(instruction.{member_name(field)} <= 8'd{max(field.legal)})"
        for field in kind.FIELDS
        if isinstance(field, EnumField)
    ]
    if not checks:
        return ""
    return "\n".join(
        [
            f"\n  function automatic logic {name}_enums_legal({name}_t instruction);",
            f"    return {' && '.join(checks)};".replace(" && ", "\n        && "),
            "  endfunction",
        ]
    )


def _bits_function() -> str:
    """Bits that an opcode uses; 0 when it does not exist."""
    cases = [f"      OPCODE_{kind.MNEMONIC}: return {kind.MNEMONIC}_BITS;" for kind in instruction_classes()]
    units = [f"      OPCODE_{kind.MNEMONIC}: return UNIT_{kind.UNIT.name};" for kind in instruction_classes()]
    return "\n".join(
        [
            "\n  // Bits that an opcode uses; 0 when the opcode does not exist.",
            "  function automatic int unsigned opcode_bits(logic [7:0] opcode);",
            "    case (opcode)", *cases, "      default: return 0;", "    endcase", "  endfunction",
            "\n  // The unit that executes an opcode.",
            "  function automatic unit_e opcode_unit(logic [7:0] opcode);",
            "    case (opcode)", *units, "      default: return UNIT_FETCH;", "    endcase",
            "  endfunction\n",
        ]
    )  # fmt: skip
