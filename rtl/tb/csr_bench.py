"""Control and status registers through cocotbext-axi's AXI4-Lite master, with pauses on every channel."""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster
from transfers import CONFIG, random_pauses, start

CONTROL, STATUS, IRQ_ENABLE, IRQ_STATUS, CAUSE, INDEX = 0, 4, 8, 12, 16, 20
CYCLES, INSTRUCTIONS, COUNTER, LANES, CYCLE_LOW, CYCLE_HIGH = 0x28, 0x30, 0x34, 0x38, 0x3C, 0xC0
ACTIVITY = 0x200
HELD = [0x18, 0x1C, 0x20, 0x24, CYCLE_LOW, CYCLE_HIGH, *range(0x40, 0x80, 4)]
QUIET = {"done_i": 0, "fault_i": 0, "cause_i": 0, "fault_index_i": 0, "leave_i": 0, "activity_i": 0}


async def prepare(dut, pauses=0.0):
    rng = np.random.default_rng(1)
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "axil"), dut.clk_i, dut.rst_ni, reset_active_level=False)
    await start(dut, **QUIET)
    for channel in (
        master.write_if.aw_channel,
        master.write_if.w_channel,
        master.write_if.b_channel,
        master.read_if.ar_channel,
        master.read_if.r_channel,
    ):
        channel.set_pause_generator(random_pauses(rng, pauses))
    return rng, master


@cocotb.test()
async def registers_hold_their_values(dut):
    rng, master = await prepare(dut, 0.4)
    values = {address: int(rng.integers(1 << 32)) for address in HELD}
    for address, value in values.items():
        await master.write_dword(address, value)
    for address, value in values.items():
        assert await master.read_dword(address) == value, hex(address)
    assert int(dut.program_address_o.value) == values[0x18]
    await master.write(HELD[0], b"\x00\x00")  # half a word: not taken
    assert await master.read_dword(HELD[0]) == values[HELD[0]]
    assert await master.read_dword(LANES) == CONFIG.lanes and await master.read_dword(COUNTER) == 77
    for index in range(16):
        assert await master.read_dword(0x80 + 4 * index) == 0xB0B00000 + index
    for hole in (0x100, 0x1FC, 0x480, 0xFFC):
        assert await master.read_dword(hole) == 0


async def launch(dut, master, cycles, fault_at=None):
    """Starts, then lets so many cycles pass with known activities before the machine is done."""
    await master.write_dword(CONTROL, 1)
    passed = 0
    while not int(dut.running_o.value):
        await FallingEdge(dut.clk_i)
    started = int((await master.read_dword(STATUS)) & 7)
    assert started == 1
    await FallingEdge(dut.clk_i)
    while passed < cycles:
        dut.leave_i.value = passed % 3 == 0
        dut.fault_i.value = passed == fault_at
        dut.cause_i.value, dut.fault_index_i.value = 5, 1234
        dut.done_i.value = passed == cycles - 1
        await FallingEdge(dut.clk_i)
        passed += 1
    for name in ("leave_i", "fault_i", "done_i", "cause_i"):
        getattr(dut, name).value = 0
    await FallingEdge(dut.clk_i)


@cocotb.test()
async def launches(dut):
    _, master = await prepare(dut)
    assert await master.read_dword(STATUS) == 0
    for number, (cycles, fault_at) in enumerate(((5, None), (70, 20), (1, None))):
        await master.write_dword(IRQ_ENABLE, number % 2)
        await launch(dut, master, cycles, fault_at)
        assert await master.read_dword(STATUS) == (2 if fault_at is None else 6)
        assert await master.read_dword(CAUSE) == (0 if fault_at is None else 5)
        assert await master.read_dword(INDEX) == (0 if fault_at is None else 1234)
        assert await master.read_dword(INSTRUCTIONS) == -(-cycles // 3)
        assert await master.read_dword(IRQ_STATUS) == 1 and int(dut.interrupt_o.value) == number % 2
        await master.write_dword(IRQ_STATUS, 1)
        assert await master.read_dword(IRQ_STATUS) == 0 and not int(dut.interrupt_o.value)


@cocotb.test()
async def counts_cycles_and_activities(dut):
    """One activity per unit in each cycle of a launch: their sum is CYCLES, and they start from 0 at the next one."""
    rng, master = await prepare(dut)
    await master.write_dword(CYCLE_HIGH, 7)  # out of reach, and not what CYCLES shows
    for cycles in (50, 9):
        await master.write_dword(CONTROL, 1)
        counts = np.zeros((5, 10), int)
        await FallingEdge(dut.clk_i)  # inputs change here, away from the edge that samples them
        assert int(dut.running_o.value)
        total = int(dut.u_csr.cycles_q.value)
        counts[:, 0] += total  # activity 0 (busy) until now
        for cycle in range(cycles):
            chosen = rng.integers(0, 10, 5)
            dut.activity_i.value = sum(int(value) << (4 * unit) for unit, value in enumerate(chosen))
            dut.done_i.value = cycle == cycles - 1
            counts[np.arange(5), chosen] += 1
            await FallingEdge(dut.clk_i)
        dut.done_i.value = dut.activity_i.value = 0
        assert await master.read_qword(CYCLES) == total + cycles
        for unit in range(5):
            for activity in range(10):
                found = await master.read_qword(ACTIVITY + 128 * unit + 8 * activity)
                assert found == counts[unit, activity], (unit, activity)


@cocotb.test()
async def cycle_limit_ends_a_launch(dut):
    _, master = await prepare(dut)
    await master.write_dword(CYCLE_LOW, 40)
    await master.write_dword(CONTROL, 1)
    for _ in range(60):
        await RisingEdge(dut.clk_i)
    assert await master.read_dword(STATUS) == 6 and await master.read_dword(CYCLES) == 40
    assert await master.read_dword(CAUSE) == 9 and await master.read_dword(INDEX) == 78
