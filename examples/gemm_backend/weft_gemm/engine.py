"""The hardware: a 16×16 array that multiplies row-major matrices in its memory, one instruction after the other."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from weft.errors import DeviceError
from weft_sim.result import Fault, RunOptions, RunResult

ARRAY = 16
OVERHEAD = 64
"""Cycles to fetch an instruction and to fill and drain the array."""

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Gemm:
    """C[m, n] = clamp(rint(float32(Σ (A[m, k] − a_zero)·(B[k, n] − b_zero) + bias[n]) · scale[n]) + c_zero, low, high).

    A, B and C are bytes, int8 where the bit of `signed` is set (bit 0 A, 1 B, 2 C); `parameters` holds int32 bias[n],
    then float32 scale[n]. Addresses are offsets from the base registers `a_register` and `c_register`, those of B and
    the parameters from register 0.
    """

    rows: int
    columns: int
    depth: int
    a: int
    b: int
    parameters: int
    c: int
    a_register: int
    c_register: int
    signed: int
    a_zero: int
    b_zero: int
    c_zero: int
    low: int
    high: int

    FORMAT = struct.Struct("<7I3B5h7x")
    BYTES = FORMAT.size

    def encode(self) -> bytes:
        """Its 48 bytes."""
        return self.FORMAT.pack(*astuple(self))

    @property
    def cycles(self) -> int:
        """One product of two bytes in each cell and cycle, tile after tile of C."""
        return OVERHEAD + -(-self.rows // ARRAY) * -(-self.columns // ARRAY) * self.depth

    def run(self, memory: Bytes, registers: Sequence[int]) -> None:
        """Computes C in memory. Raises IndexError for an operand outside of it."""
        a = _operand(memory, registers[self.a_register] + self.a, self.rows * self.depth, self.signed & 1)
        b = _operand(memory, registers[0] + self.b, self.depth * self.columns, self.signed >> 1 & 1)
        bias = _bytes(memory, registers[0] + self.parameters, 4 * self.columns).view("<i4")
        scale = _bytes(memory, registers[0] + self.parameters + 4 * self.columns, 4 * self.columns).view("<f4")
        c = _bytes(memory, registers[self.c_register] + self.c, self.rows * self.columns)
        # Sums of integers below 2^53 are exact in float64, whatever their order.
        sums = (a.reshape(self.rows, self.depth) - self.a_zero) @ (b.reshape(self.depth, self.columns) - self.b_zero)
        scaled = np.rint((sums + bias).astype(np.int64).astype(np.int32).astype(np.float32) * scale)
        c[:] = np.clip(scaled + self.c_zero, self.low, self.high).astype(np.int16).astype(np.uint8).ravel()


def decode(program: bytes) -> Iterator[Gemm]:
    """The instructions. Raises ValueError for bytes that are none."""
    if len(program) % Gemm.BYTES:
        raise ValueError(f"{len(program)} bytes are no multiple of {Gemm.BYTES}")
    for fields in Gemm.FORMAT.iter_unpack(program):
        found = Gemm(*fields)
        if max(found.a_register, found.c_register) > 2 or found.signed > 7:
            raise ValueError(f"no instruction: {found}")
        yield found


def _bytes(memory: Bytes, start: int, size: int) -> Bytes:
    if start + size > memory.size:
        raise IndexError(f"bytes {start} to {start + size} of {memory.size}")
    return memory[start : start + size]


def _operand(memory: Bytes, start: int, size: int, signed: int) -> npt.NDArray[np.float64]:
    found = _bytes(memory, start, size)
    return (found.view(np.int8) if signed else found).astype(np.float64)


class GemmDevice:
    """The simulator."""

    name = "gemm"

    def __init__(self, dram_bytes: int, options: RunOptions) -> None:
        self._memory: Bytes | None = np.zeros(dram_bytes, np.uint8)
        self._options = options

    def write(self, address: int, data: bytes | Bytes) -> None:
        content = np.frombuffer(data, np.uint8)
        self._window(address, content.size)[...] = content

    def read(self, address: int, size: int) -> Bytes:
        return self._window(address, size).copy()

    def launch(self, program_address: int, program_bytes: int, registers: Sequence[int]) -> RunResult:
        memory, cycles = self._memory_or_raise(), 0
        program = list(decode(self.read(program_address, program_bytes).tobytes()))
        for index, instruction in enumerate(program):
            cycles += instruction.cycles
            if cycles > self._options.cycle_limit:
                return RunResult("fault", Fault("cycle_limit", index), cycles, index)
            try:
                instruction.run(memory, registers)
            except IndexError as error:
                return RunResult("fault", Fault("memory_range", index, str(error)), cycles, index)
        return RunResult("done", None, cycles, len(program))

    def close(self) -> None:
        self._memory = None

    def _memory_or_raise(self) -> Bytes:
        if self._memory is None:
            raise DeviceError("device 'gemm' is closed")
        return self._memory

    def _window(self, address: int, size: int) -> Bytes:
        memory = self._memory_or_raise()
        if address < 0 or size < 0 or address + size > memory.size:
            raise DeviceError(f"device 'gemm': bytes {address} to {address + size} lie outside {memory.size}")
        return memory[address : address + size]
