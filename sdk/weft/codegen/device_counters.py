"""Counters of loops on the accelerator: whole numbers below 2²⁴, in an accumulator row that no region uses, else as
bytes in device memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from weft.codegen.device_emission import NO_BASES, Emission, Place
from weft.codegen.device_walks import regions_of
from weft_runtime.executable import NUMBER_BYTES, Region
from weft_sim.isa import Fill, Load, Space, Store, Vector
from weft_sim.isa.program import decode_program
from weft_sim.isa.vector import Destination, Operation, Source
from weft_sim.machine import MachineConfig

__all__ = ["Counter", "CounterEmission", "free_rows"]

OWN_VECTORS = 8
BYTE = 256


@dataclass(frozen=True)
class Counter:
    """An accumulator row as float32; where `place` is given, it holds the counter only between a load and a store."""

    row: int
    place: Place | None


def free_rows(regions: Iterable[Region], machine: MachineConfig) -> list[int]:
    """The accumulator rows that none of the programs touches, the last ones first."""
    used = bytearray(machine.accumulator_rows)
    for region in regions:
        for instruction in decode_program(region.instructions):
            for stream in instruction.streams(machine, NO_BASES):
                if stream.space == Space.ACCUMULATOR:
                    used[stream.lowest : stream.highest + 1] = b"\1" * (stream.highest + 1 - stream.lowest)
    return [row for row in reversed(range(machine.accumulator_rows)) if not used[row]]


class CounterEmission(Emission):
    """Instructions for counters. Where no row is free, row 0 is borrowed between regions, which leave nothing there
    that is read again."""

    _free: list[int] | None = None

    def _counter(self) -> Counter:
        if self._free is None:
            self._free = free_rows(regions_of(self._request.sequence), self._machine)
        return Counter(self._free.pop(0), None) if self._free else Counter(0, self._room(NUMBER_BYTES))

    def _set_counter(self, counter: Counter, start: int | Place, source: str) -> None:
        """The counter begins at a constant, or at a number in device memory."""
        if isinstance(start, Place):
            self._load_number(counter.row, start, source)
        else:
            at, lanes = self._number_vectors, self._machine.lanes
            self._emit(Fill(run_bytes=lanes, scratchpad=at * lanes), source)
            self._emit(Vector(
                a_source=Source.SCRATCHPAD_U8, a=at, b_source=Source.IMMEDIATE, operation=Operation.ADD,
                b_scale=float(start), destination=Destination.ACCUMULATOR_F32, d=counter.row,
            ), source)  # fmt: skip
        if counter.place is not None:
            self._store_number(counter.row, counter.place, source)

    def _count_down(self, counter: Counter, mailbox: int, source: str) -> None:
        """One less in the counter, and what is left in a mailbox."""
        if counter.place is not None:
            self._load_number(counter.row, counter.place, source)
        self._emit(_of_row(counter.row, Operation.SUBTRACT, 1.0, Destination.ACCUMULATOR_F32, counter.row), source)
        self._tell(counter, mailbox, source)
        if counter.place is not None:
            self._store_number(counter.row, counter.place, source)

    def _tell(self, counter: Counter, mailbox: int, source: str) -> None:
        """The counter, present in its row, in a mailbox."""
        self._emit(_of_row(counter.row, Operation.PASS, 1.0, Destination.MAILBOX, mailbox), source)

    @property
    def _number_vectors(self) -> int:
        return self._own_vectors - OWN_VECTORS

    def _load_number(self, row: int, place: Place, source: str) -> None:
        """Bytes in device memory as a float32 in a row: each to lane 0 of its vector, then joined, the highest first.
        Every lane holds some number, so that none is undefined."""
        at, lanes = self._number_vectors, self._machine.lanes
        self._emit(Load(
            register=place.register, offset=place.offset, run_bytes=lanes, scratchpad=at * lanes,
            count_3=NUMBER_BYTES, dram_stride_3=1, scratchpad_stride_3=lanes,
        ), source)  # fmt: skip
        above, at_above = Source.SCRATCHPAD_U8, at + NUMBER_BYTES - 1
        for digit in reversed(range(NUMBER_BYTES - 1)):
            self._emit(Vector(
                a_source=above, a=at_above, a_scale=float(BYTE), b_source=Source.SCRATCHPAD_U8, b=at + digit,
                operation=Operation.ADD, destination=Destination.ACCUMULATOR_F32, d=row,
            ), source)  # fmt: skip
            above, at_above = Source.ACCUMULATOR_F32, row

    def _store_number(self, row: int, place: Place, source: str) -> None:
        """A float32 in a row as bytes in device memory; the row is used up."""
        at, lanes = self._number_vectors, self._machine.lanes
        for digit in reversed(range(NUMBER_BYTES)):
            weight = float(BYTE**digit)
            self._emit(Vector(
                a_source=Source.ACCUMULATOR_F32, a=row, a_scale=1 / weight, b_source=Source.IMMEDIATE,
                operation=Operation.FLOOR, destination=Destination.SCRATCHPAD_U8, d=at + digit,
            ), source)  # fmt: skip
            if not digit:
                break
            self._emit(Vector(
                a_source=Source.ACCUMULATOR_F32, a=row, b_source=Source.SCRATCHPAD_U8, b=at + digit, b_scale=weight,
                operation=Operation.SUBTRACT, destination=Destination.ACCUMULATOR_F32, d=row,
            ), source)  # fmt: skip
        self._emit(Store(
            register=place.register, offset=place.offset, run_bytes=1, scratchpad=at * lanes, count_3=NUMBER_BYTES,
            dram_stride_3=1, scratchpad_stride_3=lanes,
        ), source)  # fmt: skip


def _of_row(row: int, operation: Operation, number: float, destination: Destination, target: int) -> Vector:
    return Vector(
        a_source=Source.ACCUMULATOR_F32, a=row, b_source=Source.IMMEDIATE, operation=operation, b_scale=number,
        destination=destination, d=target,
    )  # fmt: skip
