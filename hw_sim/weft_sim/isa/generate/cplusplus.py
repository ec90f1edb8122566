"""Emits hw_sim/core/generated/isa.hpp."""

from __future__ import annotations

import enum

from weft_sim.isa.field import EnumField, Field
from weft_sim.isa.generate.table import (
    ENUMERATIONS,
    NOTICE,
    constants,
    field_groups,
    instruction_classes,
    snake_case,
    summary,
)
from weft_sim.isa.instruction import Instruction

__all__ = ["cplusplus_header"]

_RESERVED = frozenset({"register"})

_HEAD = f"""// {NOTICE}
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace weft::isa {{
"""

_HELPERS = """
/// WIDTH bits from bit LOW on, little-endian: at most five byte loads.
template <unsigned LOW, unsigned WIDTH>
[[nodiscard]] constexpr std::uint32_t unsigned_bits(const std::uint8_t* data) {
    static_assert(WIDTH >= 1 && WIDTH <= 32);
    std::uint64_t word = 0;
    for (unsigned byte = LOW / 8; byte <= (LOW + WIDTH - 1) / 8; ++byte)
        word |= static_cast<std::uint64_t>(data[byte]) << (8 * (byte - LOW / 8));
    return static_cast<std::uint32_t>((word >> (LOW % 8)) & ((std::uint64_t{1} << WIDTH) - 1));
}

/// The same bits as a two's-complement number.
template <unsigned LOW, unsigned WIDTH>
[[nodiscard]] constexpr std::int32_t signed_bits(const std::uint8_t* data) {
    return static_cast<std::int32_t>(unsigned_bits<LOW, WIDTH>(data) << (32 - WIDTH)) >> (32 - WIDTH);
}

/// True when no bit of an instruction from bit `bits` on is set.
[[nodiscard]] constexpr bool reserved_clear(const std::uint8_t* data, unsigned bits) {
    unsigned found = bits % 8 != 0 ? data[bits / 8] >> (bits % 8) : 0u;
    for (unsigned byte = (bits + 7) / 8; byte < INSTRUCTION_BYTES; ++byte) found |= data[byte];
    return found == 0;
}
"""

_TYPES = {"u": ((1, "bool"), (8, "std::uint8_t"), (16, "std::uint16_t"), (32, "std::uint32_t")),
          "s": ((8, "std::int8_t"), (16, "std::int16_t"), (32, "std::int32_t"))}  # fmt: skip


def cplusplus_header() -> str:
    """The whole header."""
    parts = [_HEAD]
    parts += [f"inline constexpr std::uint32_t {name} = {value};" for name, value in constants().items()]
    parts += [_enumeration(members) for members in ENUMERATIONS]
    parts.append(_opcodes())
    parts.append(_HELPERS)
    parts += [_structure(kind) for kind in instruction_classes()]
    parts.append(_dispatch())
    parts.append("}  // namespace weft::isa")
    return "\n".join(parts) + "\n"


def _enumeration(members: type[enum.IntEnum]) -> str:
    name = members.__name__
    lines = [f"\nenum class {name} : std::uint8_t {{"]
    lines += [f"    {member.name} = {member.value}," for member in members]
    lines.append("};")
    constant = f"{snake_case(name).upper()}_NAMES"
    quoted = ", ".join(f'"{member.name.lower()}"' for member in members)
    lines.append(f"inline constexpr std::array<const char*, {len(members)}> {constant} = {{{quoted}}};")
    return "\n".join(lines)


def _opcodes() -> str:
    lines = ["\nenum class Opcode : std::uint8_t {"]
    lines += [f"    {kind.MNEMONIC} = {kind.OPCODE}," for kind in instruction_classes()]
    return "\n".join([*lines, "};"])


def _member(field: Field) -> str:
    return f"{field.name}_" if field.name in _RESERVED else field.name


def _type(field: Field) -> str:
    if isinstance(field, EnumField):
        return field.members.__name__
    if field.kind == "f32":
        return "float"
    return next(name for width, name in _TYPES[field.kind[0]] if field.width <= width)


def _expression(field: Field) -> str:
    at = f"<{field.low}, {field.width}>(data)"
    if field.kind == "f32":
        return f"std::bit_cast<float>(unsigned_bits{at})"
    if field.kind[0] == "s":
        return f"static_cast<{_type(field)}>(signed_bits{at})"
    if field.width == 1:
        return f"unsigned_bits{at} != 0"
    return f"static_cast<{_type(field)}>(unsigned_bits{at})"


def _structure(kind: type[Instruction]) -> str:
    name = kind.__name__
    lines = [f"\n/// {summary(kind)}", f"struct {name} {{"]
    lines.append(f"    static constexpr Opcode OPCODE = Opcode::{kind.MNEMONIC};")
    lines.append(f"    static constexpr Unit UNIT = Unit::{kind.UNIT.name};")
    lines.append(f"    static constexpr unsigned BITS = {kind.BITS};\n")
    lines += [f"    {_type(field)} {_member(field)};  ///< {field.doc}" for field in kind.FIELDS]
    lines.append(f"\n    [[nodiscard]] static constexpr {name} decode(const std::uint8_t* data) {{")
    lines.append(f"        {name} result{{}};")
    lines += [f"        result.{_member(field)} = {_expression(field)};" for field in kind.FIELDS]
    lines.append("        return result;\n    }\n")
    lines.append("    /// False when an enumeration's field holds no member.")
    lines.append(f"    [[nodiscard]] constexpr bool enums_legal() const {{ return {_legality(kind)}; }}")
    for plural, fields in field_groups(kind):
        array = f"std::array<{_type(fields[0])}, {len(fields)}>"
        members = ", ".join(_member(field) for field in fields)
        lines.append(f"    [[nodiscard]] constexpr {array} {plural}() const {{ return {{{members}}}; }}")
    return "\n".join([*lines, "};"])


def _legality(kind: type[Instruction]) -> str:
    terms = []
    for field in kind.FIELDS:
        if isinstance(field, EnumField):
            last = max(field.legal)
            if field.legal != frozenset(range(last + 1)):
                raise ValueError(f"{field.members.__name__} has holes: emit a switch")
            terms.append(f"static_cast<unsigned>({_member(field)}) <= {last}u")
    return " && ".join(terms) or "true"


def _dispatch() -> str:
    lines = ["\n/// The unit that executes an opcode and its BITS; BITS = 0 when the opcode does not exist."]
    lines += [
        "struct OpcodeInfo {",
        "    Unit unit;",
        "    unsigned bits;",
        "    const char* mnemonic;",
        "};",
    ]
    lines.append("[[nodiscard]] constexpr OpcodeInfo opcode_info(std::uint8_t opcode) {")
    lines.append("    switch (static_cast<Opcode>(opcode)) {")
    for kind in instruction_classes():
        name = kind.__name__
        lines.append(f'        case Opcode::{kind.MNEMONIC}: return {{{name}::UNIT, {name}::BITS, "{kind.MNEMONIC}"}};')
    lines.append('        default: return {Unit::FETCH, 0, "?"};\n    }\n}')
    return "\n".join(lines)
