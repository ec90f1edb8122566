"""FETCH's memory side with cocotbext-axi's memory: order, room, jumps that drop what is in flight, the end."""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiRamRead, AxiReadBus
from transfers import CONFIG, random_pauses, start

LENGTH = 40
ADDRESS = 3 * 128


async def prepare(dut, seed, pauses=0.0):
    rng = np.random.default_rng(seed)
    memory = AxiRamRead(
        AxiReadBus.from_prefix(dut, "axi"), dut.clk_i, dut.rst_ni, reset_active_level=False, size=1 << 14
    )
    program = rng.integers(0, 256, (LENGTH, 128), dtype=np.uint8)
    memory.write(ADDRESS, program.tobytes())
    memory.ar_channel.set_pause_generator(random_pauses(rng, pauses))
    memory.r_channel.set_pause_generator(random_pauses(rng, pauses))
    await start(
        dut, start_i=0, run_i=0, take_i=0, jump_i=0, target_i=0, program_address_i=ADDRESS, program_length_i=LENGTH
    )
    dut.start_i.value = 1
    await RisingEdge(dut.clk_i)
    dut.start_i.value = 0
    dut.run_i.value = 1
    return rng, program


async def take(dut, program, index):
    """Takes the next instruction and checks it."""
    for _ in range(2000):
        await RisingEdge(dut.clk_i)
        if int(dut.valid_o.value):
            break
    assert int(dut.valid_o.value), f"instruction {index} never comes"
    assert int(dut.index_o.value) == index
    assert int(dut.instruction_o.value).to_bytes(128, "little") == program[index].tobytes(), f"instruction {index}"
    dut.take_i.value = 1
    await RisingEdge(dut.clk_i)
    dut.take_i.value = 0


async def jump(dut, target):
    dut.jump_i.value = 1
    dut.target_i.value = target
    await RisingEdge(dut.clk_i)
    dut.jump_i.value = 0


@cocotb.test()
async def straight_on(dut):
    for pauses in (0.0, 0.6):
        _, program = await prepare(dut, 1, pauses)
        for index in range(LENGTH):
            assert not int(dut.exhausted_o.value)
            await take(dut, program, index)
        await RisingEdge(dut.clk_i)
        assert int(dut.exhausted_o.value) and int(dut.next_o.value) == LENGTH and int(dut.idle_o.value)


@cocotb.test()
async def requests_ahead_no_further_than_there_is_room(dut):
    await prepare(dut, 2)
    for _ in range(300):
        await RisingEdge(dut.clk_i)
    assert int(dut.next_o.value) == CONFIG.fetch_depth
    assert int(dut.idle_o.value)


@cocotb.test()
async def jumps(dut):
    """After any number of taken instructions and of cycles, to anywhere, the end included."""
    rng, program = await prepare(dut, 3, 0.3)
    position = 0
    for _ in range(150):
        for _ in range(int(rng.integers(1, 5))):
            if position >= LENGTH:
                break
            await take(dut, program, position)
            position += 1
        for _ in range(int(rng.integers(0, 30))):
            await RisingEdge(dut.clk_i)
        position = int(rng.integers(0, LENGTH + 1))
        await jump(dut, position)
        if position == LENGTH:
            await RisingEdge(dut.clk_i)
            assert int(dut.exhausted_o.value) and int(dut.next_o.value) == LENGTH
            position = int(rng.integers(0, LENGTH))
            await jump(dut, position)


@cocotb.test()
async def stops(dut):
    """When the mode is not RUN, nothing more is requested, and what is in flight is discarded."""
    await prepare(dut, 4)
    for _ in range(4):
        await RisingEdge(dut.clk_i)
    dut.run_i.value = 0
    for _ in range(300):
        await RisingEdge(dut.clk_i)
    assert int(dut.idle_o.value) and not int(dut.axi_arvalid.value)
    assert not int(dut.valid_o.value)
