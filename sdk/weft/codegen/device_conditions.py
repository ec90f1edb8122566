"""Numbers that decide: elements of a stored tensor through the vector unit into a mailbox.

The elements come one by one into lane 0 of a vector each, and a reduction goes over vectors; where they are many, all
lanes are filled, and the lanes joined at the end by exchanging them at distances 1, 2, 4, … All of it is exact: every
number on the way is a whole one below 2²⁴.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from weft.codegen.nests import factor
from weft.codegen.transfer import Loop, fill, load
from weft.ir.device_control import Reading, Unjoinable
from weft_runtime.executable import REGISTER_CONSTANTS, Layout
from weft_sim.isa import Destination, Instruction, Operation, Reduction, Source, Table, Vector
from weft_sim.machine import MachineConfig

__all__ = ["StoredTensor", "read_kept", "read_number"]

SINGLE_LANE_VECTORS = 4
"""With more elements than so many times the lanes, all lanes are used."""
MOST_LOADS = 8
MOST_PLACES = 32767
"""So many fit the offset that VECTOR adds to a result."""
EXACT = 1 << 24
BYTE = 256
VALUE_TABLE, TRUTH_TABLE = 0, 1

Fields = dict[str, Any]
Index = npt.NDArray[np.int64]
FLOAT: Fields = {"a_source": Source.ACCUMULATOR_F32, "destination": Destination.ACCUMULATOR_F32}
STEPS: Fields = {"a_stride_4": 1, "reduce_loops": 1}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in device memory, at registers[register] + offset."""

    register: int
    offset: int
    layout: Layout
    dtype: str

    @property
    def source(self) -> Source:
        """How the vector unit reads it from the scratchpad."""
        return Source.SCRATCHPAD_S8 if self.dtype == "int8" else Source.SCRATCHPAD_U8

    def places(self, elements: tuple[int, ...]) -> Index:
        """The bytes of elements, by their numbers."""
        n, c, h, w = np.unravel_index(np.asarray(elements, np.int64), self.layout.view)
        _, blocks, height, width, block = self.layout.packed_shape
        top, _, _, left = self.layout.pads
        row = (n * blocks + c // block) * height + top + h
        return np.asarray(self.offset + (row * width + left + w) * block + c % block, np.int64)


def read_number(
    reading: Reading, stored: StoredTensor, mailbox: int, machine: MachineConfig, constant: Callable[[bytes], int]
) -> list[Instruction]:
    """The instructions that put a reading's number into a mailbox. They use the far end of scratchpad and accumulators,
    where regions seldom are, so that decisions wait for less. `constant` gives the place of bytes in the region's
    constants. Raises Unjoinable where the machine is too small."""
    return _Reader(reading, stored, machine, constant).run(mailbox)


def read_kept(stored: StoredTensor, vector: int, mailbox: int) -> list[Instruction]:
    """The instruction that puts an element into a mailbox that lies in lane 0 of a vector."""
    fields: Fields = {"a_source": stored.source, "a": vector, "destination": Destination.MAILBOX, "d": mailbox}
    return [Vector(**_with_b(fields))]


class _Reader:
    def __init__(
        self, reading: Reading, stored: StoredTensor, machine: MachineConfig, constant: Callable[[bytes], int]
    ) -> None:
        self._reading, self._stored, self._constant = reading, stored, constant
        self._lanes = machine.lanes
        self._count = len(reading.elements)
        self._width = 1 if self._count <= SINGLE_LANE_VECTORS * machine.lanes else machine.lanes
        self._vectors = -(-self._count // self._width)
        self._free_vector, self._free_row = machine.vectors, machine.accumulator_rows
        self._source = stored.source
        self._least = reading.kind in ("minimum", "first_minimum", "last_minimum")
        self._before: list[Instruction] = []
        self._x = self._take_vectors(self._vectors)
        self._passes: list[Fields] = []

    def run(self, mailbox: int) -> list[Instruction]:
        match self._reading.kind:
            case "element":
                self._passes.append({"a_source": self._source, "a": self._x})
            case "maximum" | "minimum":
                self._extremum()
            case "sum":
                self._sum()
            case _:
                self._place()
        if self._reading.lookup:
            self._look_up()
        self._passes[-1] |= {"destination": Destination.MAILBOX, "d": mailbox}
        return [*self._before, *self._loads(), *(Vector(**_with_b(fields)) for fields in self._passes)]

    def _take_vectors(self, count: int) -> int:
        self._free_vector -= count
        if self._free_vector < 0:
            raise Unjoinable(f"a condition on {self._count} elements does not fit the scratchpad")
        return self._free_vector

    def _take_rows(self, count: int) -> int:
        self._free_row -= count
        if self._free_row < 0:
            raise Unjoinable(f"a condition on {self._count} elements does not fit the accumulators")
        return self._free_row

    def _loads(self) -> list[Instruction]:
        """The elements, and what never decides in the other lanes."""
        low, high = (0x80, 0x7F) if self._stored.dtype == "int8" else (0, 0xFF)
        start = self._x * self._lanes
        found = fill(high if self._least else low, start, self._vectors * self._lanes, [])
        numbers = np.arange(self._count)
        targets = numbers // self._width * self._lanes + numbers % self._width
        nests = factor(targets, self._stored.places(self._reading.elements), self._lanes)
        if nests is None or len(nests) > MOST_LOADS:
            raise Unjoinable("the elements of a condition lie too irregularly")
        for nest in nests:
            loops = [Loop(loop.count, loop.source, loop.target) for loop in nest.loops]
            found += load(self._stored.register, nest.source, start + nest.target, nest.run, loops)
        return found

    def _constants(self, values: Index) -> int:
        """The vectors of a byte for each element, 0 in the other lanes."""
        vectors = np.zeros((self._vectors, self._lanes), np.uint8)
        numbers = np.arange(self._count)
        vectors[numbers // self._width, numbers % self._width] = values
        return self._loaded(vectors.tobytes())

    def _loaded(self, content: bytes) -> int:
        vector = self._take_vectors(-(-len(content) // self._lanes))
        self._before += load(
            REGISTER_CONSTANTS, self._constant(content), vector * self._lanes, len(content), []
        )  # fmt: skip
        return vector

    def _table(self, slot: int, entries: tuple[int, ...]) -> Fields:
        vector = self._loaded(np.asarray(entries, "<f4").tobytes())
        self._before.append(Table(slot=slot, source=vector))
        return {"table": slot + 1}

    def _over_elements(self, row: int, reduction: Reduction, **fields: Any) -> None:
        """A pass over all vectors that joins them in a row."""
        self._passes.append(
            {
                **FLOAT, "a_source": self._source, "a": self._x, "count_4": self._vectors, **STEPS,
                "reduction": reduction, "d": row, **fields,
            }
        )  # fmt: skip

    def _over_lanes(self, row: int, operation: Operation) -> None:
        """Where the elements are in all lanes: then every lane holds what joins them."""
        distance = 1
        while distance < self._width:
            self._passes.append(
                {**FLOAT, "b_source": Source.EXCHANGE, "exchange": distance, "operation": operation, "a": row, "d": row}
            )
            distance *= 2

    def _extremum(self) -> int:
        row = self._take_rows(1)
        self._over_elements(row, Reduction.MINIMUM if self._least else Reduction.MAXIMUM)
        self._over_lanes(row, Operation.MINIMUM if self._least else Operation.MAXIMUM)
        return row

    def _place(self) -> None:
        """The greatest key x · K + rank, whose rest modulo K tells the place. Of equal values the greater rank wins."""
        first = self._reading.kind.startswith("first")
        unit = 1 << self._count.bit_length()
        if self._count > MOST_PLACES or unit * BYTE > EXACT:
            raise Unjoinable(f"a place among {self._count} elements has no exact key")
        numbers = np.arange(self._count)
        ranks = self._ranks(self._count - numbers if first else numbers + 1)
        key, whole = self._take_rows(1), self._take_rows(1)
        scale = float(-unit if self._least else unit)
        self._over_elements(key, Reduction.MAXIMUM, a_scale=scale, operation=Operation.ADD, **ranks)
        self._over_lanes(key, Operation.MAXIMUM)
        self._passes += [
            {
                **FLOAT, "b_source": Source.IMMEDIATE, "operation": Operation.FLOOR, "a": key, "a_scale": 1 / unit,
                "d": whole,
            },
            {
                "a_source": Source.ACCUMULATOR_F32, "b_source": Source.ACCUMULATOR_F32, "b_scale": float(unit),
                "operation": Operation.SUBTRACT, "a": key, "b": whole, "scale": -1.0 if first else 1.0,
                "d_zero": self._count if first else -1,
            },
        ]  # fmt: skip

    def _ranks(self, ranks: Index) -> Fields:
        """Operand b: a rank for each element, from two bytes where one does not hold it."""
        low = self._constants(ranks % BYTE)
        if self._count < BYTE:
            return {"b_source": Source.SCRATCHPAD_U8, "b": low, "b_stride_4": 1}
        high, rows = self._constants(ranks // BYTE), self._take_rows(self._vectors)
        self._passes.append(
            {
                **FLOAT, "a_source": Source.SCRATCHPAD_U8, "b_source": Source.SCRATCHPAD_U8, "b_scale": float(BYTE),
                "operation": Operation.ADD, "a": low, "b": high, "d": rows, "count_4": self._vectors, "a_stride_4": 1,
                "b_stride_4": 1, "d_stride_4": 1,
            }
        )  # fmt: skip
        return {"b_source": Source.ACCUMULATOR_F32, "b": rows, "b_stride_4": 1}

    def _sum(self) -> None:
        """Σ table[x − max x]: the differences have rows of their own, because a table looks operand a up."""
        if self._count * max(self._reading.table) > EXACT:
            raise Unjoinable(f"a sum over {self._count} elements is not exact")
        table = self._table(VALUE_TABLE, self._reading.table)
        partly = self._width > 1 and self._count % self._width > 0
        mask: Fields = {"operation": Operation.PASS}
        if partly:
            ones = self._constants(np.ones(self._count, np.int64))
            mask = {"operation": Operation.MULTIPLY, "b_source": Source.SCRATCHPAD_U8, "b": ones, "b_stride_4": 1}
        largest = self._extremum()
        rows, total = self._take_rows(self._vectors), self._take_rows(1)
        self._passes.append(
            {
                **FLOAT, "a_source": self._source, "b_source": Source.ACCUMULATOR_F32, "operation": Operation.SUBTRACT,
                "a": self._x, "b": largest, "d": rows, "count_4": self._vectors, "a_stride_4": 1, "d_stride_4": 1,
            }
        )  # fmt: skip
        self._over_elements(total, Reduction.SUM, a_source=Source.ACCUMULATOR_F32, a=rows, **table, **mask)
        self._over_lanes(total, Operation.ADD)

    def _look_up(self) -> None:
        table = self._table(TRUTH_TABLE, self._reading.lookup)
        if self._reading.kind == "element":
            self._passes[-1] |= table
            return
        row = self._take_rows(1)
        self._passes[-1] |= {"destination": Destination.ACCUMULATOR_S32, "d": row}
        self._passes.append({"a_source": Source.ACCUMULATOR_S32, "a": row, **table})


def _with_b(fields: Fields) -> Fields:
    return {"b_source": Source.IMMEDIATE, **fields}
