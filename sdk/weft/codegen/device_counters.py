"""Counters of loops on the accelerator: whole numbers below 2²⁴, in an accumulator row that no region uses, else as
bytes in device memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from weft.codegen.device_emission import NO_BASES, Emission, Place
from weft.ir.device_control import JoinRequest
from weft_runtime.executable import NUMBER_BYTES, Region
from weft_sim.isa import Fill, Instruction, Load, Space, Store, Vector
from weft_sim.isa.program import decode_program
from weft_sim.isa.vector import Destination, Operation, Source
from weft_sim.machine import MachineConfig

__all__ = ["Counter", "CounterEmission", "RowTakenError", "free_rows"]

OWN_VECTORS = 8
BYTE = 256


class RowTakenError(Exception):
    """A condition's own arithmetic needs a row that a counter has: counters must be in memory then."""


@dataclass(frozen=True)
class Counter:
    """An accumulator row as float32; where `place` is given, it holds the counter only between a load and a store."""

    row: int
    place: Place | None


def free_rows(regions: Iterable[Region], machine: MachineConfig) -> list[int]:
    """The accumulator rows that none of the programs touches."""
    used = bytearray(machine.accumulator_rows)
    for region in regions:
        for instruction in decode_program(region.instructions):
            for low, high in _rows(instruction, machine):
                used[low : high + 1] = b"\1" * (high + 1 - low)
    return [row for row in range(machine.accumulator_rows) if not used[row]]


def _rows(instruction: Instruction, machine: MachineConfig) -> list[tuple[int, int]]:
    """First and last of the rows that each operand lies in."""
    streams = instruction.streams(machine, NO_BASES)
    return [(each.lowest, each.highest) for each in streams if each.space == Space.ACCUMULATOR]


class CounterEmission(Emission):
    """Instructions for counters. Where no row is free, row 0 is borrowed between regions, which leave nothing there
    that is read again."""

    def __init__(self, request: JoinRequest, machine: MachineConfig, rows: Iterable[int]) -> None:
        super().__init__(request, machine)
        self._free = list(rows)
        self._taken: set[int] = set()

    def _counter(self) -> Counter:
        if not self._free:
            return Counter(0, self._room(NUMBER_BYTES))
        self._taken.add(self._free[0])
        return Counter(self._free.pop(0), None)

    def _emit(self, instruction: Instruction, source: str) -> None:
        """Raises RowTakenError where anything else uses a counter's row."""
        for low, high in _rows(instruction, self._machine) if self._taken else ():
            if any(low <= row <= high for row in self._taken):
                raise RowTakenError
        self._emit_own(instruction, source)

    def _emit_own(self, instruction: Instruction, source: str) -> None:
        super()._emit(instruction, source)

    def _set_counter(self, counter: Counter, start: int | Place, source: str) -> None:
        """The counter begins at a constant, or at a number in device memory."""
        if isinstance(start, Place):
            self._load_number(counter.row, start, source)
        else:
            at, lanes = self._number_vectors, self._machine.lanes
            self._emit_own(Fill(run_bytes=lanes, scratchpad=at * lanes), source)
            self._emit_own(Vector(
                a_source=Source.SCRATCHPAD_U8, a=at, b_source=Source.IMMEDIATE, operation=Operation.ADD,
                b_scale=float(start), destination=Destination.ACCUMULATOR_F32, d=counter.row,
            ), source)  # fmt: skip
        if counter.place is not None:
            self._store_number(counter.row, counter.place, source)

    def _count_down(self, counter: Counter, mailbox: int, source: str) -> None:
        """One less in the counter, and what is left in a mailbox."""
        if counter.place is not None:
            self._load_number(counter.row, counter.place, source)
        self._emit_own(_of_row(counter.row, Operation.SUBTRACT, 1.0, Destination.ACCUMULATOR_F32, counter.row), source)
        self._tell(counter, mailbox, source)
        if counter.place is not None:
            self._store_number(counter.row, counter.place, source)

    def _tell(self, counter: Counter, mailbox: int, source: str) -> None:
        """The counter, present in its row, in a mailbox."""
        self._emit_own(_of_row(counter.row, Operation.PASS, 1.0, Destination.MAILBOX, mailbox), source)

    @property
    def _number_vectors(self) -> int:
        return self._own_vectors - OWN_VECTORS

    def _load_number(self, row: int, place: Place, source: str) -> None:
        """Bytes in device memory as a float32 in a row: each to lane 0 of its vector, then joined, the highest first.
        Every lane holds some number, so that none is undefined."""
        at, lanes = self._number_vectors, self._machine.lanes
        self._emit_own(Load(
            register=place.register, offset=place.offset, run_bytes=lanes, scratchpad=at * lanes,
            count_3=NUMBER_BYTES, dram_stride_3=1, scratchpad_stride_3=lanes,
        ), source)  # fmt: skip
        above, at_above = Source.SCRATCHPAD_U8, at + NUMBER_BYTES - 1
        for digit in reversed(range(NUMBER_BYTES - 1)):
            self._emit_own(Vector(
                a_source=above, a=at_above, a_scale=float(BYTE), b_source=Source.SCRATCHPAD_U8, b=at + digit,
                operation=Operation.ADD, destination=Destination.ACCUMULATOR_F32, d=row,
            ), source)  # fmt: skip
            above, at_above = Source.ACCUMULATOR_F32, row

    def _store_number(self, row: int, place: Place, source: str) -> None:
        """A float32 in a row as bytes in device memory; the row is used up."""
        at, lanes = self._number_vectors, self._machine.lanes
        for digit in reversed(range(NUMBER_BYTES)):
            weight = float(BYTE**digit)
            self._emit_own(Vector(
                a_source=Source.ACCUMULATOR_F32, a=row, a_scale=1 / weight, b_source=Source.IMMEDIATE,
                operation=Operation.FLOOR, destination=Destination.SCRATCHPAD_U8, d=at + digit,
            ), source)  # fmt: skip
            if not digit:
                break
            self._emit_own(Vector(
                a_source=Source.ACCUMULATOR_F32, a=row, b_source=Source.SCRATCHPAD_U8, b=at + digit, b_scale=weight,
                operation=Operation.SUBTRACT, destination=Destination.ACCUMULATOR_F32, d=row,
            ), source)  # fmt: skip
        self._emit_own(Store(
            register=place.register, offset=place.offset, run_bytes=1, scratchpad=at * lanes, count_3=NUMBER_BYTES,
            dram_stride_3=1, scratchpad_stride_3=lanes,
        ), source)  # fmt: skip


def _of_row(row: int, operation: Operation, number: float, destination: Destination, target: int) -> Vector:
    return Vector(
        a_source=Source.ACCUMULATOR_F32, a=row, b_source=Source.IMMEDIATE, operation=operation, b_scale=number,
        destination=destination, d=target,
    )  # fmt: skip
