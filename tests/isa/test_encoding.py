"""Encoding: every class, every field, at its edges."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft_sim.errors import InstructionError
from weft_sim.isa import (
    INSTRUCTION_BYTES,
    OPCODES,
    Fill,
    Instruction,
    Jump,
    Load,
    Matmul,
    StaticFault,
    Vector,
    decode,
)
from weft_sim.isa.architecture import FaultCause, Unit
from weft_sim.isa.field import EnumField, Field, FloatField, SignedField
from weft_sim.isa.program import decode_program, disassemble, encode_program

CLASSES = [OPCODES[opcode] for opcode in sorted(OPCODES)]


def _signalling(bits: int) -> bool:
    return bits & 0x7F800000 == 0x7F800000 and bits & 0x7FFFFF != 0 and bits & 0x400000 == 0


def _values(field: Field) -> st.SearchStrategy[object]:
    if field.name == "opcode":
        return st.nothing()
    if isinstance(field, FloatField):
        return st.floats(width=32)
    if isinstance(field, EnumField):
        return st.sampled_from(list(field.members)) | st.integers(0, (1 << field.width) - 1)
    low = -(1 << field.width - 1) if isinstance(field, SignedField) else 0
    high = low + (1 << field.width) - 1
    return st.sampled_from([low, high, 0]) | st.integers(low, high)


@st.composite
def instructions(draw: st.DrawFn) -> Instruction:
    kind = draw(st.sampled_from(CLASSES))
    return kind(**{field.name: draw(_values(field)) for field in kind.FIELDS[1:]})


@given(instructions())
@settings(max_examples=150, deadline=None)
def test_encode_then_decode_gives_every_field_back(instruction: Instruction) -> None:
    data = instruction.encode()
    assert len(data) == INSTRUCTION_BYTES
    again = decode(data)
    assert type(again) is type(instruction)
    assert again.encode() == data
    for field, value, found in zip(instruction.FIELDS, instruction.values, again.values, strict=True):
        if isinstance(value, float) and math.isnan(value):
            assert math.isnan(found)
        else:
            assert found == value, field.name


@given(st.sampled_from(CLASSES), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_every_bit_pattern_of_the_fields_survives(kind: type[Instruction], random: object) -> None:
    bits = random.getrandbits(kind.BITS) & ~0xFF | kind.OPCODE  # type: ignore[attr-defined]
    for field in kind.FIELDS:
        if isinstance(field, FloatField) and _signalling(bits >> field.low & 0xFFFFFFFF):
            bits |= 0x400000 << field.low  # a signalling NaN becomes quiet on its way through a Python float
    data = bits.to_bytes(INSTRUCTION_BYTES, "little")
    found = decode(data)
    assert isinstance(found, Instruction)
    assert found.encode() == data


@pytest.mark.parametrize("kind", CLASSES)
def test_fields_tile_the_instruction_without_gap(kind: type[Instruction]) -> None:
    low = 0
    for field in kind.FIELDS:
        assert field.low == low
        low += field.width
    assert low == kind.BITS <= 8 * INSTRUCTION_BYTES
    assert [field.name for field in kind.FIELDS[:3]] == ["opcode", "wait", "signal"]


@pytest.mark.parametrize("kind", CLASSES)
def test_a_value_one_past_each_end_of_a_field_is_refused(kind: type[Instruction]) -> None:
    for field in kind.FIELDS:
        if isinstance(field, FloatField):
            continue
        signed = isinstance(field, SignedField)
        low, high = (-(1 << field.width - 1), (1 << field.width - 1) - 1) if signed else (0, (1 << field.width) - 1)
        for value in (low - 1, high + 1):
            with pytest.raises(InstructionError, match=field.name):
                kind(**{field.name: value}).encode()
        for value in (low, high):
            assert kind(**{field.name: value}).encode()


def test_floats_that_no_binary32_holds_are_refused() -> None:
    with pytest.raises(InstructionError, match="a_scale"):
        Vector(a_scale=1e39).encode()
    with pytest.raises(InstructionError, match="count_0"):
        Vector(count_0=1.5).encode()


def test_float_fields_keep_their_exact_bits() -> None:
    field = next(f for f in Vector.FIELDS if f.name == "low")
    for value in (-0.0, 1e-45, -float("inf"), 3.4028234663852886e38):
        data = Vector(low=value).encode()
        bits = int.from_bytes(data, "little") >> field.low & 0xFFFFFFFF
        assert bits == struct.unpack("<I", struct.pack("<f", value))[0]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_reserved_bit_is_an_illegal_field(kind: type[Instruction]) -> None:
    plain = int.from_bytes(kind().encode(), "little")
    for bit in {kind.BITS, (kind.BITS + 1023) // 2, 1023}:
        found = decode((plain | 1 << bit).to_bytes(INSTRUCTION_BYTES, "little"))
        assert isinstance(found, StaticFault)
        assert found.cause == FaultCause.ILLEGAL_FIELD


def test_unknown_opcodes() -> None:
    for opcode in set(range(256)) - set(OPCODES):
        found = decode(bytes([opcode]) + bytes(INSTRUCTION_BYTES - 1))
        assert isinstance(found, StaticFault)
        assert found.cause == FaultCause.ILLEGAL_OPCODE


def test_programs_name_the_instruction_at_fault() -> None:
    good = Fill(run_bytes=4)
    with pytest.raises(InstructionError, match=r"instruction 1 \(FILL\).*run_bytes"):
        encode_program([good, Fill(run_bytes=1 << 16)])
    data = encode_program([good, good])
    assert decode_program(data) == [good, good]
    with pytest.raises(InstructionError, match="instruction 1: illegal_opcode"):
        decode_program(data[:128] + b"\xff" + data[129:])
    with pytest.raises(InstructionError, match="255 bytes"):
        decode_program(data[:-1])
    with pytest.raises(InstructionError, match="127"):
        decode(data[:127])


def test_instructions_are_immutable_values() -> None:
    first = Fill(value=3, run_bytes=9)
    with pytest.raises(AttributeError):
        first.value = 4
    with pytest.raises(InstructionError, match="no field 'nonsense'"):
        Fill(nonsense=1)
    assert first.replace(value=4) == Fill(value=4, run_bytes=9)
    assert first.with_tokens(1 << Unit.VPU, 1 << Unit.MXU) == first.replace(wait=16, signal=8)
    assert len({first, Fill(value=3, run_bytes=9), Fill(value=3)}) == 2


def test_disassembly() -> None:
    program = [
        Load(register=1, offset=-4, run_bytes=64, signal=1 << Unit.MXU),
        Matmul(weight_order=1, input_zero=3, wait=1 << Unit.LOAD | 1 << Unit.VPU),
        Jump(condition=3, value=-1, target=7),
    ]
    assert disassemble(program, ["conv:0", "", "loop"]).splitlines() == [
        "     0 LOAD(register=1, offset=-4, run_bytes=64) >mxu  ; conv:0",
        "     1 <load <vpu MATMUL(weight_order=columns, input_zero=3)",
        "     2 JUMP(condition=less, value=-1, target=7)  ; loop",
    ]
