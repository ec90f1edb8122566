"""Dispatch's checks against Instruction.validate: random instructions with fields at and beyond every limit."""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from weft_sim.isa import OPCODES, TIMING, FaultCause, Instruction, decode
from weft_sim.isa.field import EnumField, FloatField, SignedField
from weft_sim.machine import machine
from weft_sim.random_program.instructions import Arena, random_instruction

CONFIG = machine("weft-8")
DRAM_BYTES = 50_000
BASE = 4096


def edges(rng, field):
    """A value of the field: small, at a limit of it or of the machine, or any."""
    if isinstance(field, FloatField):
        return 0.0
    if isinstance(field, EnumField):
        return int(rng.integers(0, len(field.legal) + 1))
    low, high = (
        (-(1 << field.width - 1), (1 << field.width - 1) - 1)
        if isinstance(field, SignedField)
        else (0, (1 << field.width) - 1)
    )
    limits = (
        CONFIG.lanes,
        CONFIG.vectors,
        CONFIG.scratchpad_bytes,
        CONFIG.accumulator_rows,
        CONFIG.line_depth,
        DRAM_BYTES - BASE,
        255,
        -128,
        16,
        4,
        3,
        2,
        5,
        4096,
    )
    choice = rng.random()
    if choice < 0.3:
        value = int(rng.integers(-2, 6))
    elif choice < 0.8:
        value = int(rng.choice(limits)) + int(rng.integers(-2, 3))
    elif choice < 0.9:
        value = int(rng.choice([low, high]))
    else:
        value = int(rng.integers(low, high + 1))
    return min(max(value, low), high)


def candidates(rng, count):
    """Bytes of instructions: good ones, ones with up to three fields changed, with a stray bit, with any opcode."""
    arena = Arena(CONFIG, (0, 1024), (0, 64), {0: (0, 30_000)})
    kinds = list(OPCODES.values())
    for _ in range(count):
        if rng.random() < 0.7:
            found: Instruction = random_instruction(rng, arena)
        else:
            found = kinds[int(rng.integers(len(kinds)))]()
        names = [field.name for field in found.FIELDS[1:]]
        for name in rng.choice(names, int(rng.integers(0, 4))):
            field = next(each for each in found.FIELDS if each.name == name)
            found = found.replace(**{name: edges(rng, field)})
        data = bytearray(found.encode())
        if rng.random() < 0.05:
            data[int(rng.integers(128))] ^= 1 << int(rng.integers(8))
        if rng.random() < 0.02:
            data[0] = int(rng.integers(256))
        yield bytes(data)


def expected(data):
    found = decode(data)
    if isinstance(found, Instruction):
        found = found.validate(CONFIG, [BASE] * 16, DRAM_BYTES)
    return FaultCause.NONE if found is None else found.cause


@cocotb.test()
async def same_causes(dut):
    rng = np.random.default_rng(1)
    dut.step_i.value = 0
    dut.base_i.value, dut.dram_bytes_i.value = BASE, DRAM_BYTES
    dut.instruction_i.value = 0
    Clock(dut.clk_i, 2, "ns").start()
    seen = {}
    for data in candidates(rng, 5000):
        dut.instruction_i.value = int.from_bytes(data, "little")
        for step in range(TIMING["DECODE_CYCLES"], 0, -1):
            dut.step_i.value = step
            await FallingEdge(dut.clk_i)
        dut.step_i.value = 0
        wanted = expected(data)
        seen[wanted] = seen.get(wanted, 0) + 1
        for _ in range(2):  # at once behind the last step, and as long as the instruction waits
            cause = FaultCause(int(dut.cause_o.value))
            assert cause == wanted, f"{decode(data)}: {cause.name} instead of {wanted.name}"
            await FallingEdge(dut.clk_i)
    causes = ("NONE", "ILLEGAL_OPCODE", "ILLEGAL_FIELD", "DRAM_RANGE", "SCRATCHPAD_RANGE", "ACCUMULATOR_RANGE")
    assert all(seen.get(FaultCause[name], 0) > 20 for name in causes), seen
