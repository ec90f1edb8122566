"""Programs around instructions under test: they fill every memory from DRAM and afterwards store every memory to DRAM.

Nothing here waits for tokens: data follows program order, whatever the time, and only data is compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from adversarial_instructions import random_words

from weft_sim import golden, simulator
from weft_sim.isa import (
    Destination,
    Halt,
    Instruction,
    Load,
    Operation,
    Source,
    Store,
    Table,
    Vector,
)
from weft_sim.isa.program import encode_program
from weft_sim.machine import MachineConfig
from weft_sim.result import RunResult

__all__ = ["ARENA_BYTES", "KERNELS", "golden_outcome", "image", "simulated_outcome", "wrap"]

KERNELS = ("scalar", "avx2", "avx512")
ARENA_BYTES = 5000
"""DRAM that the instructions under test may read and write, at register 0."""
_PROGRAM_BYTES = 128 * 384
_ARENA, _IMAGE, _OUTPUT = 0, 1, 2  # base registers

Outcome = tuple[RunResult, npt.NDArray[np.uint8]]


def _layout(config: MachineConfig) -> list[int]:
    """The base registers: arena, image of the scratchpad (and the identity table behind it), output."""
    image_start = _PROGRAM_BYTES + 8192
    return [_PROGRAM_BYTES, image_start, image_start + config.scratchpad_bytes + 1024]


def image(random: np.random.Generator, config: MachineConfig) -> npt.NDArray[np.uint8]:
    """DRAM for `wrap`: words that go wrong first in all that a program reads, random bytes elsewhere."""
    registers = _layout(config)
    size = registers[_OUTPUT] + config.scratchpad_bytes + 16 * config.accumulator_rows * config.lanes
    dram = random.integers(0, 256, size).astype(np.uint8)
    start = registers[_IMAGE]
    if random.random() < 0.5:
        words = random_words(random, config.scratchpad_bytes // 4)
        dram[start : start + config.scratchpad_bytes] = words.view(np.uint8)
    dram[start : start + 2048] = random_words(random, 512).view(np.uint8)
    identity = np.arange(256, dtype="<f4")
    dram[start + config.scratchpad_bytes : start + config.scratchpad_bytes + 1024] = identity.view(np.uint8)
    return dram


def wrap(config: MachineConfig, instructions: Iterable[Instruction]) -> list[Instruction]:
    """The program that fills the memories, executes the instructions and stores what the memories then hold."""
    return [*_fill(config), *instructions, *_dump(config), Halt()]


def _fill(config: MachineConfig) -> list[Instruction]:
    """The scratchpad gets the image; accumulators get arbitrary words by way of tables."""
    half = config.accumulator_rows // 2
    to_rows = Vector(a_source=Source.SCRATCHPAD_U8, destination=Destination.ACCUMULATOR_F32, count_4=half,
                     a_stride_4=1, d_stride_4=1)  # fmt: skip
    second = 1024 // config.lanes
    return [
        Load(register=_IMAGE, run_bytes=config.scratchpad_bytes),
        Table(slot=0),
        Table(slot=1, source=second),
        to_rows.replace(table=1),
        to_rows.replace(table=2, a=second, d=half),
    ]


def _dump(config: MachineConfig) -> list[Instruction]:
    """The scratchpad as it is; accumulators as bytes of several projections, for a VECTOR cannot store 32 bits."""
    rows, lanes = config.accumulator_rows, config.lanes
    free = 1024 // lanes
    program: list[Instruction] = [
        Store(register=_OUTPUT, run_bytes=config.scratchpad_bytes),
        Load(register=_IMAGE, offset=config.scratchpad_bytes, run_bytes=1024),
        Table(slot=0),
    ]
    offset = config.scratchpad_bytes
    for projection in _projections():
        store = Store(register=_OUTPUT, offset=offset, scratchpad=free * lanes, run_bytes=rows * lanes)
        program += [projection.replace(count_4=rows, a_stride_4=1, b_stride_4=1, d=free, d_stride_4=1), store]
        offset += rows * lanes
    return program


def _projections() -> Sequence[Vector]:
    """Bytes that tell accumulator words apart: windows of 8 bits of the integer and of the float, and the float's
    NaN, infinities and sign of zero."""
    kinds = ((Source.ACCUMULATOR_S32, range(-24, 1, 8)), (Source.ACCUMULATOR_F32, range(-24, 25, 8)))
    windows = [
        Vector(a_source=source, a_scale=2.0**exponent, table=1, destination=Destination.SCRATCHPAD_U8)
        for source, exponents in kinds
        for exponent in exponents
    ]
    inverse = Vector(
        a_source=Source.ACCUMULATOR_S32, a_scale=0.0, a_round=1, a_low=1.0, a_high=1.0, operation=Operation.DIVIDE,
        b_source=Source.ACCUMULATOR_F32, destination=Destination.SCRATCHPAD_S8,
    )  # fmt: skip
    equal = Vector(
        a_source=Source.ACCUMULATOR_F32, operation=Operation.EQUAL, b_source=Source.ACCUMULATOR_F32,
        destination=Destination.SCRATCHPAD_S8,
    )  # fmt: skip
    return [*windows, inverse, equal]


def _launch(
    device: object, config: MachineConfig, dram: npt.NDArray[np.uint8], program: Sequence[Instruction]
) -> Outcome:
    data = np.frombuffer(encode_program(program), np.uint8)
    assert len(data) <= _PROGRAM_BYTES
    memory = dram.copy()
    memory[: len(data)] = data
    run = simulator.run if device is simulator else golden.run
    return run(config, memory, 0, len(program), _layout(config)), memory


def golden_outcome(config: MachineConfig, dram: npt.NDArray[np.uint8], program: Sequence[Instruction]) -> Outcome:
    """What the golden model makes of it: result and DRAM."""
    return _launch(golden, config, dram, program)


def simulated_outcome(config: MachineConfig, dram: npt.NDArray[np.uint8], program: Sequence[Instruction]) -> Outcome:
    """What the simulator makes of it: result and DRAM."""
    return _launch(simulator, config, dram, program)
