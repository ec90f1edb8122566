"""What all instructions share: layout, encoding, validation, address streams, and the registry of opcodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from weft_sim.errors import InstructionError
from weft_sim.isa.architecture import INSTRUCTION_BYTES, MAX_WORK, FaultCause, Space, Unit
from weft_sim.isa.field import Field, UnsignedField
from weft_sim.machine import MachineConfig

if TYPE_CHECKING:
    from weft_sim.isa.state import MachineState

__all__ = ["OPCODES", "AddressStream", "Instruction", "StaticFault", "decode"]

OPCODES: dict[int, type[Instruction]] = {}
"""The registry: opcode → instruction class, filled as the classes are defined."""


@dataclass(frozen=True)
class StaticFault:
    """A fault that dispatch finds in an instruction before it has any effect."""

    cause: FaultCause
    detail: str


class AddressStream(NamedTuple):
    """All addresses of one operand: `base + Σ stride·digit`, each digit from 0 to count − 1, `length` units
    each.

    Units are those of `Space`. `dims` is outermost first. A named tuple, since compilers make several for
    every instruction, and a frozen dataclass takes several times as long to make.
    """

    name: str
    space: Space
    write: bool
    base: int
    length: int
    dims: tuple[tuple[int, int], ...]

    @property
    def lowest(self) -> int:
        """Lowest unit touched."""
        return self.base + sum(min(0, (count - 1) * stride) for count, stride in self.dims)

    @property
    def highest(self) -> int:
        """Highest unit touched (inclusive)."""
        return self.base + sum(max(0, (count - 1) * stride) for count, stride in self.dims) + self.length - 1


class Instruction:
    """Base of all instructions: a tuple of field values and the class's table of fields.

    A subclass declares `OPCODE`, `UNIT` and its fields; offsets follow declaration order after the common
    header (opcode, wait, signal). The docstring of a subclass is its entry in docs/isa.md.
    """

    OPCODE: ClassVar[int]
    MNEMONIC: ClassVar[str]
    UNIT: ClassVar[Unit]
    FIELDS: ClassVar[tuple[Field, ...]]
    DEFAULTS: ClassVar[dict[str, Any]]
    BITS: ClassVar[int]

    __slots__ = ("values",)
    values: tuple[Any, ...]

    opcode = UnsignedField(8, "which instruction this is")
    wait = UnsignedField(8, "bit u: take one token of channel (unit u → this unit) before issue")
    signal = UnsignedField(8, "bit u: give one token to channel (this unit → unit u) at retirement")

    def __init_subclass__(cls, opcode: int | None = None, mnemonic: str = "", unit: Unit = Unit.FETCH) -> None:
        if opcode is None:  # a shared base of several instructions, such as `Transfer`
            return
        cls.OPCODE, cls.MNEMONIC, cls.UNIT = opcode, mnemonic, unit
        cls.FIELDS = tuple(
            value for base in reversed(cls.__mro__) for value in vars(base).values() if isinstance(value, Field)
        )
        low = 0
        for index, field in enumerate(cls.FIELDS):
            field.low, field.index = low, index
            field.default_bits = field.to_bits(field.default)
            low += field.width
        cls.DEFAULTS = {field.name: field.default for field in cls.FIELDS} | {"opcode": opcode}
        cls.BITS = low
        if low > 8 * INSTRUCTION_BYTES:
            raise InstructionError(f"{mnemonic} needs {low} bits, more than an instruction has")
        if opcode in OPCODES:
            raise InstructionError(f"opcode {opcode} is used twice")
        OPCODES[opcode] = cls

    def __init__(self, **given: Any) -> None:
        values = self.DEFAULTS | given  # in the order of the fields; a name that is none of them comes behind
        if len(values) > len(self.FIELDS):
            raise InstructionError(f"{self.MNEMONIC} has no field {list(values)[len(self.FIELDS)]!r}")
        object.__setattr__(self, "values", tuple(values.values()))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"instructions are immutable: use replace({name}=…)")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Instruction) and self.encode() == other.encode()

    def __hash__(self) -> int:
        return hash(self.encode())

    def __repr__(self) -> str:
        shown = (
            f"{f.name}={f.show(v)}" for f, v in zip(self.FIELDS[1:], self.values[1:], strict=True) if v != f.default
        )
        return f"{self.MNEMONIC}({', '.join(shown)})"

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        current = {field.name: value for field, value in zip(self.FIELDS, self.values, strict=True)}
        return type(self)(**{**current, **changes})

    def with_tokens(self, wait: int, signal: int) -> Self:
        """A copy with these token masks (`replace`, but quick: compilers call it for every instruction)."""
        copy = object.__new__(type(self))
        object.__setattr__(copy, "values", (self.values[0], wait, signal, *self.values[3:]))
        return copy

    def consecutive(self, first: str, count: int) -> tuple[Any, ...]:
        """Values of `count` fields that are declared one behind the other, from the one named `first`."""
        index = getattr(type(self), first).index
        return self.values[index : index + count]

    def encode(self) -> bytes:
        """INSTRUCTION_BYTES little-endian bytes. Raises InstructionError naming the field that does not
        fit."""
        bits = 0
        for field, value in zip(self.FIELDS, self.values, strict=True):
            known = value is field.default  # most fields of most instructions
            bits |= (field.default_bits if known else field.to_bits(value)) << field.low
        return bits.to_bytes(INSTRUCTION_BYTES, "little")

    @classmethod
    def from_bits(cls, bits: int) -> Self:
        """Decodes without validating: reserved bits are the caller's concern (see `decode`)."""
        values = {f.name: f.from_bits((bits >> f.low) & ((1 << f.width) - 1)) for f in cls.FIELDS}
        return cls(**values)

    # What dispatch checks, in this order; the RTL's decoder makes the same checks in the same order.

    def validate(self, config: MachineConfig, registers: Sequence[int], dram_bytes: int) -> StaticFault | None:
        """The fault that dispatch would raise for this instruction, or None. Tokens are checked by the
        caller."""
        for field, value in zip(self.FIELDS, self.values, strict=True):
            if field.illegal(value):
                return StaticFault(FaultCause.ILLEGAL_FIELD, f"{field.name}={field.show(value)} means nothing")
        own = 1 << self.UNIT
        for name, mask in (("wait", self.wait), ("signal", self.signal)):
            if mask & own or mask >= 1 << len(Unit):
                return StaticFault(FaultCause.ILLEGAL_FIELD, f"{name}={mask:#04x} names this unit itself or no unit")
        detail = self.check_fields(config)
        if detail is not None:
            return StaticFault(FaultCause.ILLEGAL_FIELD, detail)
        return self._check_ranges(config, registers, dram_bytes)

    def _check_ranges(self, config: MachineConfig, registers: Sequence[int], dram_bytes: int) -> StaticFault | None:
        limits = {
            Space.DRAM: (dram_bytes, FaultCause.DRAM_RANGE),
            Space.SCRATCHPAD: (config.scratchpad_bytes, FaultCause.SCRATCHPAD_RANGE),
            Space.ACCUMULATOR: (config.accumulator_rows, FaultCause.ACCUMULATOR_RANGE),
        }
        found: list[StaticFault] = []
        for stream in self.streams(config, registers):
            if stream.space not in limits:
                continue
            size, cause = limits[stream.space]
            if stream.lowest < 0 or stream.highest >= size:
                touched = f"{stream.lowest}..{stream.highest}"
                words = f"{stream.name} touches {touched}, but {stream.space.name} ends at {size - 1}"
                found.append(StaticFault(cause, words))
        return min(found, key=lambda fault: fault.cause) if found else None

    def loop_counts(self) -> tuple[int, ...]:
        """The instruction's loop counts, outermost first."""
        return ()

    def check_fields(self, config: MachineConfig) -> str | None:
        """What is illegal about the fields on this machine, in words, or None."""
        work = 1
        for count in self.loop_counts():
            if count == 0:
                return "a loop count is 0"
            work *= count
        if work > MAX_WORK:
            return f"{work} steps are more than {MAX_WORK}"
        return None

    def streams(self, config: MachineConfig, registers: Sequence[int]) -> tuple[AddressStream, ...]:
        """Every address the instruction reads or writes."""
        return ()

    def execute(self, state: MachineState) -> None:
        """The instruction's meaning, in NumPy. FETCH's instructions return through
        `state.program_counter`."""


def decode(data: bytes) -> Instruction | StaticFault:
    """One instruction from INSTRUCTION_BYTES bytes, or the fault that its opcode or reserved bits raise.

    Raises InstructionError when the length is wrong.
    """
    if len(data) != INSTRUCTION_BYTES:
        raise InstructionError(f"an instruction has {INSTRUCTION_BYTES} bytes, not {len(data)}")
    bits = int.from_bytes(data, "little")
    kind = OPCODES.get(bits & 0xFF)
    if kind is None:
        return StaticFault(FaultCause.ILLEGAL_OPCODE, f"opcode {bits & 0xFF}")
    if bits >> kind.BITS:
        return StaticFault(FaultCause.ILLEGAL_FIELD, f"reserved bits of {kind.MNEMONIC} are set")
    return kind.from_bits(bits)
