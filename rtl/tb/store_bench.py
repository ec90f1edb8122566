"""STORE against the instruction table, with cocotbext-axi's memory behind real AXI4 and random backpressure."""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiRamWrite, AxiWriteBus
from transfers import CONFIG, random_pauses, start, task_bits

from weft_sim.isa import MachineState, Store
from weft_sim.random_program.instructions import Arena, random_instruction

LANES = CONFIG.lanes
DRAM_BYTES = 1 << 16
VECTORS = 1024


class Bench:
    """A STORE unit, its memory, and a scratchpad whose banks others win when they like."""

    def __init__(self, dut, seed):
        self.dut, self.rng = dut, np.random.default_rng(seed)
        self.dram = self.rng.integers(0, 256, DRAM_BYTES, dtype=np.uint8)
        self.state = MachineState(CONFIG, self.dram, (256, 4000))
        self.state.vectors[:VECTORS] = self.rng.integers(0, 256, (VECTORS, LANES), dtype=np.uint8)
        self.memory = AxiRamWrite(
            AxiWriteBus.from_prefix(dut, "axi"), dut.clk_i, dut.rst_ni, reset_active_level=False, size=DRAM_BYTES
        )
        self.memory.write(0, self.dram.tobytes())

    async def fill(self):
        for address in range(VECTORS):
            self.dut.fill_i.value = 1
            self.dut.fill_address_i.value = address
            self.dut.fill_data_i.value = int.from_bytes(self.state.vectors[address].tobytes(), "little")
            await RisingEdge(self.dut.clk_i)
        self.dut.fill_i.value = 0

    async def run(self, instructions, denials=0.0, pauses=0.0):
        """All of them, in order; ends when the last has retired."""
        dut = self.dut
        for channel in (self.memory.aw_channel, self.memory.w_channel, self.memory.b_channel):
            channel.set_pause_generator(random_pauses(self.rng, pauses))
        waiting, retired = list(instructions), []
        for _ in range(300_000):
            dut.task_valid_i.value = bool(waiting)
            if waiting:
                dut.task_i.value = task_bits(waiting[0], self.state.registers)
            dut.deny_i.value = int(self.rng.random() < denials)
            await RisingEdge(dut.clk_i)
            if waiting and int(dut.issue_o.value):
                waiting.pop(0)
            if int(dut.retire_o.value):
                retired.append(int(dut.retire_signal_o.value))
            if len(retired) == len(instructions):
                break
        assert retired == [each.signal for each in instructions]
        dut.task_valid_i.value = 0
        await RisingEdge(dut.clk_i)
        await RisingEdge(dut.clk_i)
        assert int(dut.idle_o.value)
        for each in instructions:
            assert each.validate(CONFIG, self.state.registers, DRAM_BYTES) is None
            each.execute(self.state)
        found = np.frombuffer(self.memory.read(0, DRAM_BYTES), np.uint8)
        wrong = np.flatnonzero(found != self.dram)
        assert len(wrong) == 0, f"byte {wrong[0]} of DRAM: {instructions}"


async def prepare(dut, seed):
    bench = Bench(dut, seed)
    await start(dut, task_valid_i=0, task_i=0, tokens_i=31, deny_i=0, fill_i=0, fill_address_i=0, fill_data_i=0)
    await bench.fill()
    return bench


@cocotb.test()
async def random_transfers(dut):
    bench = await prepare(dut, 1)
    arena = Arena(CONFIG, (0, VECTORS), (0, 64), {0: (0, DRAM_BYTES - 300), 1: (-4000, DRAM_BYTES - 4100)})
    found = []
    while len(found) < 60:
        instruction = random_instruction(bench.rng, arena)
        if isinstance(instruction, Store):
            found.append(instruction.replace(signal=int(bench.rng.integers(32)) & ~4))
    for first in range(0, len(found), 10):
        await bench.run(found[first : first + 10], *[(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.7, 0.7)][first // 10 % 4])


@cocotb.test()
async def every_alignment(dut):
    """Each start in a beat and in a vector, with lengths around a beat: strobes touch nothing else."""
    bench = await prepare(dut, 2)
    stores = [
        Store(register=0, offset=40 * number + target, scratchpad=64 + source, run_bytes=length)
        for number, (target, source, length) in enumerate(
            (t, s, n)
            for t in range(CONFIG.dram_beat_bytes)
            for s in (0, 1, LANES - 1)
            for n in (1, LANES - 1, LANES, 2 * LANES + 1)
        )
    ]
    await bench.run(stores)


@cocotb.test()
async def boundaries(dut):
    """Runs across multiples of 4096 and of a burst's length, and a byte at the memory's end."""
    bench = await prepare(dut, 3)
    burst = CONFIG.burst_beats * CONFIG.dram_beat_bytes
    await bench.run(
        [
            Store(register=1, offset=90, scratchpad=3, run_bytes=20),
            Store(register=1, offset=4096 * 2 - 4000 - 1, scratchpad=100, run_bytes=2),
            Store(register=0, offset=8192, scratchpad=8, run_bytes=burst + 1),
            Store(register=0, offset=20005, scratchpad=2, run_bytes=VECTORS * LANES - 2),
            Store(register=0, offset=DRAM_BYTES - 256 - 1, scratchpad=7, run_bytes=1),
        ]
    )


@cocotb.test()
async def many_short_bursts(dut):
    """More bursts than can be outstanding, on a memory that is slow to respond."""
    bench = await prepare(dut, 4)
    one = Store(register=0, run_bytes=1, count_3=5 * CONFIG.outstanding_bursts, dram_stride_3=7, scratchpad_stride_3=1)
    await bench.run([one, one.replace(offset=3, wait=0b00010)], pauses=0.8)
