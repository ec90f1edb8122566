"""What the benches of LOAD and STORE share: clock and reset, tasks as the queue holds them, random transfers."""

from __future__ import annotations

from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from weft_sim.isa import Fill
from weft_sim.machine import machine

CONFIG = machine("weft-8")
BYTE_BITS = (CONFIG.scratchpad_bytes - 1).bit_length()


async def start(dut, **inputs):
    """Clock and reset, with these inputs from the beginning (all others are given as 0 by name)."""
    for name, value in inputs.items():
        getattr(dut, name).value = value
    dut.rst_ni.value = 0
    Clock(dut.clk_i, 2, "ns").start()
    for _ in range(3):
        await RisingEdge(dut.clk_i)
    dut.rst_ni.value = 1
    await RisingEdge(dut.clk_i)


def task_bits(instruction, registers):
    """weft_pkg::transfer_t of a LOAD, STORE or FILL."""
    fill = isinstance(instruction, Fill)
    loops = range(4)
    dram = 0 if fill else registers[instruction.register] + instruction.offset
    strides = [0] * 4 if fill else [getattr(instruction, f"dram_stride_{i}") for i in loops]
    fields = [
        (int(fill), 1),
        (instruction.value if fill else 0, 8),
        (instruction.signal, 5),
        (instruction.wait, 5),
        (dram, 32),
        (instruction.scratchpad, BYTE_BITS),
        (instruction.run_bytes, 16),
        *((getattr(instruction, f"count_{i}"), 16) for i in reversed(loops)),
        *((strides[i], 32) for i in reversed(loops)),
        *((getattr(instruction, f"scratchpad_stride_{i}"), BYTE_BITS) for i in reversed(loops)),
    ]
    bits = 0
    for value, width in fields:
        bits = bits << width | int(value) & ((1 << width) - 1)
    return bits


def random_pauses(rng, chance):
    """For cocotbext-axi's set_pause_generator."""
    while True:
        yield bool(rng.random() < chance)
