"""Field descriptors: one object is encoder, decoder, validator and documentation of an instruction's
field."""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING, Any

from weft_sim.errors import InstructionError

if TYPE_CHECKING:
    from weft_sim.isa.instruction import Instruction

__all__ = ["EnumField", "Field", "FloatField", "SignedField", "UnsignedField"]


class Field:
    """A named run of bits in an instruction. Layout (`low`, `index`) and `default_bits` are assigned in declaration
    order by `Instruction`."""

    name: str
    low: int
    index: int
    default_bits: int

    def __init__(self, width: int, doc: str, default: Any = 0) -> None:
        self.width = width
        self.doc = doc
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Instruction | None, owner: type | None = None) -> Any:
        if instance is None:
            return self
        return instance.values[self.index]

    def __set__(self, instance: Instruction, value: Any) -> None:
        raise AttributeError(f"instructions are immutable: use replace({self.name}=…)")

    @property
    def kind(self) -> str:
        """Short type name for documentation and generators."""
        raise TypeError(f"{type(self).__name__} must say its kind")

    def to_bits(self, value: Any) -> int:
        """The value as `width` unsigned bits. Raises InstructionError when the field cannot hold it."""
        raise TypeError(f"{type(self).__name__} must encode")

    def from_bits(self, bits: int) -> Any:
        """The value of `width` bits; never fails (validation is `illegal`'s)."""
        raise TypeError(f"{type(self).__name__} must decode")

    def illegal(self, value: Any) -> bool:
        """True when the bits are representable but mean nothing (an enumeration's hole)."""
        return False

    def show(self, value: Any) -> str:
        """The value as the disassembler prints it."""
        return str(value)


class UnsignedField(Field):
    """An unsigned whole number of `width` bits."""

    @property
    def kind(self) -> str:
        return f"u{self.width}"

    def to_bits(self, value: Any) -> int:
        number = int(value)
        if number != value or not 0 <= number < 1 << self.width:
            raise InstructionError(
                f"field {self.name}={value!r} must be a whole number from 0 to {(1 << self.width) - 1}"
            )
        return number

    def from_bits(self, bits: int) -> int:
        return bits


class SignedField(Field):
    """A two's-complement whole number of `width` bits."""

    @property
    def kind(self) -> str:
        return f"s{self.width}"

    def to_bits(self, value: Any) -> int:
        number = int(value)
        half = 1 << (self.width - 1)
        if number != value or not -half <= number < half:
            raise InstructionError(f"field {self.name}={value!r} must be a whole number from {-half} to {half - 1}")
        return number & ((1 << self.width) - 1)

    def from_bits(self, bits: int) -> int:
        half = 1 << (self.width - 1)
        return bits - (1 << self.width) if bits >= half else bits


class FloatField(Field):
    """An IEEE 754 binary32 number; every bit pattern is legal."""

    def __init__(self, doc: str, default: float = 0.0) -> None:
        super().__init__(32, doc, default)

    @property
    def kind(self) -> str:
        return "f32"

    def to_bits(self, value: Any) -> int:
        try:
            return int(struct.unpack("<I", struct.pack("<f", float(value)))[0])
        except OverflowError as error:
            raise InstructionError(f"field {self.name}={value!r} exceeds float32") from error

    def from_bits(self, bits: int) -> float:
        return float(struct.unpack("<f", struct.pack("<I", bits))[0])

    def show(self, value: Any) -> str:
        return f"{value:.9g}"


class EnumField(Field):
    """One member of an enumeration; any other value is an illegal field."""

    def __init__(self, width: int, members: type[enum.IntEnum], doc: str) -> None:
        super().__init__(width, doc, next(iter(members)))
        self.members = members
        self.legal = frozenset(int(member) for member in members)

    @property
    def kind(self) -> str:
        return f"u{self.width}"

    def to_bits(self, value: Any) -> int:
        number = int(value)
        if not 0 <= number < 1 << self.width:
            raise InstructionError(
                f"field {self.name}={value!r} must be one of {', '.join(m.name for m in self.members)}"
            )
        return number

    def from_bits(self, bits: int) -> int:
        return self.members(bits) if bits in self.legal else bits

    def illegal(self, value: Any) -> bool:
        return int(value) not in self.legal

    def show(self, value: Any) -> str:
        return self.members(value).name.lower() if int(value) in self.legal else str(int(value))
