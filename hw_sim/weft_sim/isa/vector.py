"""VECTOR and TABLE: the VPU's instructions, N float32 lanes in one fixed pipeline."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from weft_sim.isa import float32
from weft_sim.isa.architecture import (
    MAILBOXES,
    PARAMETER_VECTORS,
    TABLE_ENTRIES,
    TABLE_SLOTS,
    Space,
    Unit,
)
from weft_sim.isa.field import EnumField, FloatField, SignedField, UnsignedField
from weft_sim.isa.instruction import AddressStream, Instruction
from weft_sim.isa.state import MachineState, addresses
from weft_sim.machine import MachineConfig

__all__ = ["Destination", "Operation", "Reduction", "Source", "Table", "Vector"]

LOOPS = 5
Floats = npt.NDArray[np.float32]


class Source(enum.IntEnum):
    """Where an operand comes from. IMMEDIATE and EXCHANGE exist for operand b only."""

    SCRATCHPAD_S8 = 0
    SCRATCHPAD_U8 = 1
    ACCUMULATOR_S32 = 2
    ACCUMULATOR_F32 = 3
    IMMEDIATE = 4
    EXCHANGE = 5


class Operation(enum.IntEnum):
    """What joins a and b. DIVIDE and SQUARE_ROOT are correctly rounded and start every DIVIDE_INTERVAL
    cycles."""

    PASS = 0
    ADD = 1
    SUBTRACT = 2
    MULTIPLY = 3
    MAXIMUM = 4
    MINIMUM = 5
    DIVIDE = 6
    SQUARE_ROOT = 7
    GREATER = 8
    GREATER_EQUAL = 9
    EQUAL = 10
    ABSOLUTE = 11
    FLOOR = 12


class Reduction(enum.IntEnum):
    """How the innermost `reduce_loops` loops join their values, in order; SUM starts every SUM_INTERVAL
    cycles."""

    NONE = 0
    SUM = 1
    MAXIMUM = 2
    MINIMUM = 3


class Destination(enum.IntEnum):
    """Where results go. MAILBOX takes lane 0 of the last result as a 32-bit integer."""

    SCRATCHPAD_S8 = 0
    SCRATCHPAD_U8 = 1
    ACCUMULATOR_S32 = 2
    ACCUMULATOR_F32 = 3
    MAILBOX = 4


_LOCAL = (Source.SCRATCHPAD_S8, Source.SCRATCHPAD_U8)
_ROWS = (Source.ACCUMULATOR_S32, Source.ACCUMULATOR_F32)


class Vector(Instruction, opcode=8, mnemonic="VECTOR", unit=Unit.VPU):
    """One pass of the vector pipeline over five nested loops (loop 0 outermost); all arithmetic is float32.

    Each step of the loops, in every lane:

    - Operand a: an integer source gives float(a − a_zero + bias), the integer sum modulo 2³²; a float source
      its value. Then × a_scale (or the lane's scale); then, if a_round, rint and clamp to [a_low, a_high];
      then, if table ≠ 0, entry (saturating rint) mod 256 of table slot table − 1; then × a_rescale.
    - Operand b: float(b − b_zero) × b_scale for an integer source, the difference modulo 2³²; b × b_scale for
      a float source; b_scale alone (IMMEDIATE); operand a of lane l XOR exchange (EXCHANGE).
    - operation(a, b); then the reduction over the innermost `reduce_loops` loops, in loop order, starting with
      its first value; then × scale; then clamp to [low, high].
    - Destination: saturating rint to 32 bits, plus d_zero, saturated to 8 or 32 bits; float: the value.

    With parameters = 1, a record of PARAMETER_VECTORS vectors per step of loop 0 at parameter +
    parameter_stride·digit_0 gives each lane an int32 bias and a float32 scale (used instead of a_scale).

    All operands are read before any result is written, which hardware guarantees only where no step reads what
    an earlier step wrote (`races.check`). Where steps write one address, the last one's result stays.

    a, b and d are vector addresses (scratchpad) or rows (accumulators), or the number of a mailbox.
    Rounding is to nearest even, subnormals are kept, every NaN is 0x7fc00000 and converts to integer 0.
    maximum(x, y) = x > y ? x : y and minimum(x, y) = x < y ? x : y, NaN if either is; clamp =
    minimum(maximum(v, low), high); comparisons give 1.0 or 0.0.
    """

    __slots__ = ()
    a_source = EnumField(8, Source, "kind of operand a")
    b_source = EnumField(8, Source, "kind of operand b")
    operation = EnumField(8, Operation, "joins a and b")
    reduction = EnumField(8, Reduction, "joins the steps of the reduced loops")
    destination = EnumField(8, Destination, "kind of result")
    reduce_loops = UnsignedField(8, "how many innermost loops are reduced, 0 to 5")
    parameters = UnsignedField(1, "1: per-lane bias and scale from the parameter records")
    a_round = UnsignedField(1, "1: round and clamp a after scaling")
    table = UnsignedField(6, "0: none; s + 1: look a up in table slot s")
    exchange = UnsignedField(8, "XOR on the lane index for EXCHANGE")
    a = UnsignedField(24, "first vector or row of operand a")
    b = UnsignedField(24, "first vector or row of operand b")
    d = UnsignedField(24, "first vector or row of the result, or the mailbox")
    parameter = UnsignedField(24, "vector address of the first parameter record")
    parameter_stride = SignedField(24, "vectors per step of loop 0")
    a_zero = SignedField(16, "subtracted from an integer a")
    b_zero = SignedField(16, "subtracted from an integer b")
    d_zero = SignedField(16, "added to an integer result")
    a_scale = FloatField("multiplies a", 1.0)
    a_low = FloatField("lower clamp of a rounded a")
    a_high = FloatField("upper clamp of a rounded a")
    a_rescale = FloatField("multiplies a after rounding and table", 1.0)
    b_scale = FloatField("multiplies b, or is b (IMMEDIATE)", 1.0)
    scale = FloatField("multiplies the reduced result", 1.0)
    low = FloatField("lower clamp of the result", float("-inf"))
    high = FloatField("upper clamp of the result", float("inf"))
    count_0 = UnsignedField(16, "steps of loop 0 (outermost)", 1)
    count_1 = UnsignedField(16, "steps of loop 1", 1)
    count_2 = UnsignedField(16, "steps of loop 2", 1)
    count_3 = UnsignedField(16, "steps of loop 3", 1)
    count_4 = UnsignedField(16, "steps of loop 4 (innermost)", 1)
    a_stride_0 = SignedField(24, "vectors or rows per step of loop 0")
    a_stride_1 = SignedField(24, "vectors or rows per step of loop 1")
    a_stride_2 = SignedField(24, "vectors or rows per step of loop 2")
    a_stride_3 = SignedField(24, "vectors or rows per step of loop 3")
    a_stride_4 = SignedField(24, "vectors or rows per step of loop 4")
    b_stride_0 = SignedField(24, "vectors or rows per step of loop 0")
    b_stride_1 = SignedField(24, "vectors or rows per step of loop 1")
    b_stride_2 = SignedField(24, "vectors or rows per step of loop 2")
    b_stride_3 = SignedField(24, "vectors or rows per step of loop 3")
    b_stride_4 = SignedField(24, "vectors or rows per step of loop 4")
    d_stride_0 = SignedField(24, "vectors or rows per step of loop 0")
    d_stride_1 = SignedField(24, "vectors or rows per step of loop 1")
    d_stride_2 = SignedField(24, "vectors or rows per step of loop 2")
    d_stride_3 = SignedField(24, "vectors or rows per step of loop 3")
    d_stride_4 = SignedField(24, "vectors or rows per step of loop 4")

    def loop_counts(self) -> tuple[int, ...]:
        return self.consecutive("count_0", LOOPS)

    def check_fields(self, config: MachineConfig) -> str | None:
        detail = super().check_fields(config)
        if detail is not None:
            return detail
        if self.a_source in (Source.IMMEDIATE, Source.EXCHANGE):
            return "operand a comes from the scratchpad or the accumulators"
        if self.reduce_loops > LOOPS or (self.reduce_loops == 0) != (self.reduction == Reduction.NONE):
            return f"reduce_loops={self.reduce_loops} does not fit the reduction"
        if self.table > TABLE_SLOTS:
            return f"table slot {self.table - 1} does not exist"
        if self.exchange >= config.lanes:
            return f"exchange={self.exchange} is not below {config.lanes} lanes"
        if self.destination == Destination.MAILBOX and self.d >= MAILBOXES:
            return f"mailbox {self.d} does not exist"
        return None

    def _dims(self, operand: str) -> tuple[tuple[int, int], ...]:
        return tuple(zip(self.loop_counts(), self.consecutive(f"{operand}_stride_0", LOOPS), strict=True))

    def _result_dims(self) -> tuple[tuple[int, int], ...]:
        return self._dims("d")[: LOOPS - self.reduce_loops]

    def streams(self, config: MachineConfig, registers: Sequence[int]) -> tuple[AddressStream, ...]:
        found = [_operand_stream("a", self.a_source, self.a, self._dims("a"), config.lanes)]
        if self.b_source not in (Source.IMMEDIATE, Source.EXCHANGE):
            found.append(_operand_stream("b", self.b_source, self.b, self._dims("b"), config.lanes))
        if self.parameters:
            unit = config.lanes
            dims = ((self.count_0, self.parameter_stride * unit),)
            length = PARAMETER_VECTORS * unit
            found.append(AddressStream("parameter", Space.SCRATCHPAD, False, self.parameter * unit, length, dims))
        if self.table:
            found.append(AddressStream("table", Space.TABLE, False, self.table - 1, 1, ()))
        found.append(self._result_stream(config.lanes))
        return tuple(found)

    def _result_stream(self, lanes: int) -> AddressStream:
        if self.destination == Destination.MAILBOX:
            return AddressStream("d", Space.MAILBOX, True, self.d, 1, ())
        local = self.destination in (Destination.SCRATCHPAD_S8, Destination.SCRATCHPAD_U8)
        source = Source.SCRATCHPAD_S8 if local else Source.ACCUMULATOR_S32
        return _operand_stream("d", source, self.d, self._result_dims(), lanes, write=True)

    def execute(self, state: MachineState) -> None:
        a = self._operand_a(state)
        joined = _OPERATIONS[Operation(self.operation)](a, self._operand_b(state, a))
        value = float32.multiply(self._reduce(joined), np.float32(self.scale))
        value = float32.clamp(value, np.float32(self.low), np.float32(self.high))
        self._write(state, value)

    def _operand_a(self, state: MachineState) -> Floats:
        """Operand a of every step: float32 [steps, lanes]."""
        where = addresses(self.a, self._dims("a"))
        bias, scale = self._parameters(state)
        if self.a_source == Source.ACCUMULATOR_F32:
            value = float32.canonical(state.floats[where])
        else:
            value = float32.from_integer(_integers(state, self.a_source, where) - self.a_zero + bias)
        value = float32.multiply(value, scale)
        if self.a_round:
            value = float32.clamp(float32.rint(value), np.float32(self.a_low), np.float32(self.a_high))
        if self.table:
            entries = state.tables[self.table - 1].view(np.float32)
            value = float32.canonical(entries[float32.to_integer(value) & (TABLE_ENTRIES - 1)])
        return float32.multiply(value, np.float32(self.a_rescale))

    def _parameters(self, state: MachineState) -> tuple[npt.NDArray[np.int64], Floats]:
        """Per-lane bias and scale of every step: [steps, lanes] each (broadcastable)."""
        if not self.parameters:
            return np.zeros(1, np.int64), np.full(1, self.a_scale, np.float32)
        lanes = state.config.lanes
        starts = addresses(self.parameter * lanes, ((self.count_0, self.parameter_stride * lanes),))
        records = state.scratchpad[starts[:, None] + np.arange(PARAMETER_VECTORS * lanes)]
        steps = int(np.prod(self.loop_counts()[1:]))
        bias = np.repeat(records[:, : 4 * lanes].copy().view("<i4").astype(np.int64), steps, axis=0)
        scale = np.repeat(records[:, 4 * lanes :].copy().view("<f4"), steps, axis=0)
        return bias, scale

    def _operand_b(self, state: MachineState, a: Floats) -> Floats:
        if self.b_source == Source.IMMEDIATE:
            return np.full(1, self.b_scale, np.float32)
        if self.b_source == Source.EXCHANGE:
            return a[:, np.arange(a.shape[1]) ^ self.exchange]
        where = addresses(self.b, self._dims("b"))
        if self.b_source == Source.ACCUMULATOR_F32:
            value = float32.canonical(state.floats[where])
        else:
            value = float32.from_integer(_integers(state, self.b_source, where) - self.b_zero)
        return float32.multiply(value, np.float32(self.b_scale))

    def _reduce(self, values: Floats) -> Floats:
        if self.reduction == Reduction.NONE:
            return values
        steps = int(np.prod(self.loop_counts()[LOOPS - self.reduce_loops :]))
        groups = values.reshape(-1, steps, values.shape[1])
        function = {
            Reduction.SUM: float32.add,
            Reduction.MAXIMUM: float32.maximum,
            Reduction.MINIMUM: float32.minimum,
        }[Reduction(self.reduction)]
        result: Floats = groups[:, 0]
        for step in range(1, steps):
            result = function(result, groups[:, step])
        return result

    def _write(self, state: MachineState, value: Floats) -> None:
        if self.destination == Destination.MAILBOX:
            state.mailboxes[self.d] = self._integer(value[-1:])[0, 0]
            return
        targets = addresses(self.d, self._result_dims()).tolist()
        memory, results = self._encode(state, value)
        for target, result in zip(targets, results, strict=True):
            memory[target] = result  # one at a time: where an address is hit twice, the later step wins

    def _encode(self, state: MachineState, value: Floats) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
        match self.destination:
            case Destination.SCRATCHPAD_S8:
                return state.vectors, np.clip(self._integer(value), -128, 127).astype(np.int8).view(np.uint8)
            case Destination.SCRATCHPAD_U8:
                return state.vectors, np.clip(self._integer(value), 0, 255).astype(np.uint8)
            case Destination.ACCUMULATOR_F32:
                return state.floats, value
            case _:
                return state.accumulators, self._integer(value).astype(np.int32)

    def _integer(self, value: Floats) -> npt.NDArray[np.int64]:
        wide = float32.to_integer(value) + int(self.d_zero)
        return np.asarray(np.clip(wide, -(1 << 31), (1 << 31) - 1), np.int64)


_OPERATIONS: dict[Operation, Callable[[Floats, Floats], Floats]] = {
    Operation.PASS: lambda a, b: a,
    Operation.ADD: float32.add,
    Operation.SUBTRACT: float32.subtract,
    Operation.MULTIPLY: float32.multiply,
    Operation.MAXIMUM: float32.maximum,
    Operation.MINIMUM: float32.minimum,
    Operation.DIVIDE: float32.divide,
    Operation.SQUARE_ROOT: lambda a, b: float32.square_root(a),
    Operation.GREATER: lambda a, b: np.asarray(a > b, np.float32),
    Operation.GREATER_EQUAL: lambda a, b: np.asarray(a >= b, np.float32),
    Operation.EQUAL: lambda a, b: np.asarray(a == b, np.float32),
    Operation.ABSOLUTE: lambda a, b: float32.canonical(np.abs(a)),
    Operation.FLOOR: lambda a, b: float32.canonical(np.floor(a)),
}


class Table(Instruction, opcode=9, mnemonic="TABLE", unit=Unit.VPU):
    """Loads a table slot: TABLE_ENTRIES little-endian 32-bit words from scratchpad vector address `source`
    on."""

    __slots__ = ()
    slot = UnsignedField(8, "table slot")
    source = UnsignedField(24, "vector address of entry 0")

    def check_fields(self, config: MachineConfig) -> str | None:
        return f"table slot {self.slot} does not exist" if self.slot >= TABLE_SLOTS else None

    def streams(self, config: MachineConfig, registers: Sequence[int]) -> tuple[AddressStream, ...]:
        base, length = self.source * config.lanes, 4 * TABLE_ENTRIES
        return (
            AddressStream("source", Space.SCRATCHPAD, False, base, length, ()),
            AddressStream("table", Space.TABLE, True, self.slot, 1, ()),
        )

    def execute(self, state: MachineState) -> None:
        start = self.source * state.config.lanes
        state.tables[self.slot] = state.scratchpad[start : start + 4 * TABLE_ENTRIES].view("<u4")


def _operand_stream(
    name: str,
    source: Source,
    base: int,
    dims: tuple[tuple[int, int], ...],
    lanes: int,
    *,
    write: bool = False,
) -> AddressStream:
    if source in _ROWS:
        return AddressStream(name, Space.ACCUMULATOR, write, base, 1, dims)
    scaled = tuple((count, stride * lanes) for count, stride in dims)
    return AddressStream(name, Space.SCRATCHPAD, write, base * lanes, lanes, scaled)


def _integers(state: MachineState, source: Source, where: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Integer operand of every step: int64 [steps, lanes]."""
    match source:
        case Source.SCRATCHPAD_S8:
            return state.vectors.view(np.int8)[where].astype(np.int64)
        case Source.SCRATCHPAD_U8:
            return state.vectors[where].astype(np.int64)
        case _:
            return state.accumulators[where].astype(np.int64)
