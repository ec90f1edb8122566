"""LOAD and FILL against the instruction table, with cocotbext-axi's memory behind real AXI4 and random backpressure."""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiRamRead, AxiReadBus
from transfers import CONFIG, random_pauses, start, task_bits

from weft_sim.isa import Fill, Load, MachineState
from weft_sim.random_program.instructions import Arena, random_instruction

LANES = CONFIG.lanes
DRAM_BYTES = 1 << 16


class Bench:
    """A LOAD unit, its memory, and a scratchpad that grants when it likes."""

    def __init__(self, dut, seed):
        self.dut, self.rng = dut, np.random.default_rng(seed)
        self.dram = self.rng.integers(0, 256, DRAM_BYTES, dtype=np.uint8)
        self.state = MachineState(CONFIG, self.dram, (256, 4000))
        self.scratchpad = np.zeros(CONFIG.scratchpad_bytes, np.uint8)
        self.memory = AxiRamRead(
            AxiReadBus.from_prefix(dut, "axi"), dut.clk_i, dut.rst_ni, reset_active_level=False, size=DRAM_BYTES
        )
        self.memory.write(0, self.dram.tobytes())

    async def run(self, instructions, grants=1.0, pauses=0.0):
        """All of them, in order; ends when the last has retired."""
        dut = self.dut
        self.memory.ar_channel.set_pause_generator(random_pauses(self.rng, pauses))
        self.memory.r_channel.set_pause_generator(random_pauses(self.rng, pauses))
        waiting, retired = list(instructions), []
        for _ in range(300_000):
            dut.task_valid_i.value = bool(waiting)
            if waiting:
                dut.task_i.value = task_bits(waiting[0], self.state.registers)
            dut.write_grant_i.value = int(self.rng.random() < grants)
            await RisingEdge(dut.clk_i)
            if waiting and int(dut.issue_o.value):
                waiting.pop(0)
            if int(dut.write_o.value) and int(dut.write_grant_i.value):
                self._write()
            if int(dut.retire_o.value):
                retired.append(int(dut.retire_signal_o.value))
            if len(retired) == len(instructions):
                break
        assert retired == [each.signal for each in instructions]
        dut.task_valid_i.value = 0
        dut.write_grant_i.value = 0
        await RisingEdge(dut.clk_i)
        await RisingEdge(dut.clk_i)
        assert int(dut.idle_o.value)
        for each in instructions:
            assert each.validate(CONFIG, self.state.registers, DRAM_BYTES) is None
            each.execute(self.state)
        wrong = np.flatnonzero(self.scratchpad != self.state.scratchpad)
        assert len(wrong) == 0, f"byte {wrong[0]} of the scratchpad: {instructions}"

    def _write(self):
        start_at = int(self.dut.write_address_o.value) * LANES
        data = int(self.dut.write_data_o.value).to_bytes(LANES, "little")
        strobe = int(self.dut.write_strobe_o.value)
        for lane in range(LANES):
            if strobe >> lane & 1:
                self.scratchpad[start_at + lane] = data[lane]


async def prepare(dut, seed):
    bench = Bench(dut, seed)
    await start(dut, task_valid_i=0, task_i=0, tokens_i=31, write_grant_i=0)
    return bench


@cocotb.test()
async def random_transfers(dut):
    bench = await prepare(dut, 1)
    arena = Arena(CONFIG, (0, 1024), (0, 64), {0: (0, DRAM_BYTES - 300), 1: (-4000, DRAM_BYTES - 4100)})
    found = []
    while len(found) < 60:
        instruction = random_instruction(bench.rng, arena)
        if isinstance(instruction, (Load, Fill)):
            found.append(instruction.replace(signal=int(bench.rng.integers(32)) & ~2))
    for first in range(0, len(found), 10):
        await bench.run(found[first : first + 10], *[(1.0, 0.0), (0.5, 0.0), (1.0, 0.5), (0.3, 0.7)][first // 10 % 4])


@cocotb.test()
async def every_alignment(dut):
    """Each start in a beat and in a vector, with lengths around a beat."""
    bench = await prepare(dut, 2)
    loads = [
        Load(register=0, offset=source, scratchpad=64 + target, run_bytes=length)
        for source in range(CONFIG.dram_beat_bytes)
        for target in (0, 1, LANES - 1)
        for length in (1, LANES - 1, LANES, 2 * LANES + 1)
    ]
    await bench.run(loads)


@cocotb.test()
async def boundaries(dut):
    """Runs across multiples of 4096 and of a burst's length, the longest run, and one byte at the memory's end."""
    bench = await prepare(dut, 3)
    burst = CONFIG.burst_beats * CONFIG.dram_beat_bytes
    await bench.run(
        [
            Load(register=1, offset=90, scratchpad=3, run_bytes=20),
            Load(register=1, offset=4096 - 4000 - 1, scratchpad=100, run_bytes=2),
            Load(register=0, offset=0, scratchpad=8, run_bytes=burst + 1),
            Load(register=0, offset=5, scratchpad=2048, run_bytes=3 * 4096),
            Load(register=0, offset=DRAM_BYTES - 256 - 1, scratchpad=CONFIG.scratchpad_bytes - 1, run_bytes=1),
            Load(register=0, run_bytes=65535 - 256, scratchpad=65536 + 7),
        ]
    )


@cocotb.test()
async def waits_for_tokens(dut):
    bench = await prepare(dut, 4)
    dut.tokens_i.value = 0b00100
    task = Load(wait=0b01100, run_bytes=4)
    dut.task_i.value = task_bits(task, bench.state.registers)
    dut.task_valid_i.value = 1
    for _ in range(5):
        await RisingEdge(dut.clk_i)
        assert not int(dut.issue_o.value)
    dut.tokens_i.value = 0b01100
    await bench.run([task])
