"""The scratchpad against a byte array: fixed priority per bank and port, strobes, data in the cycle after the grant."""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

from weft_sim.machine import machine

CONFIG = machine("weft-8")
LANES, READERS = CONFIG.lanes, 5
ADDRESS_BITS = (CONFIG.vectors - 1).bit_length()
BANK = CONFIG.vectors // CONFIG.scratchpad_banks


def pack(values, width):
    return sum(int(value) << (width * index) for index, value in enumerate(values))


def random_addresses(rng, hot):
    """Few banks, few vectors: conflicts and hits are common. Bank edges are among them."""
    banks = rng.integers(0, 3, READERS + 2) if hot else rng.integers(0, CONFIG.scratchpad_banks, READERS + 2)
    places = rng.choice([0, 1, BANK - 2, BANK - 1], READERS + 2)
    return (banks * BANK + places).tolist()


@cocotb.test()
async def random_accesses(dut):
    rng = np.random.default_rng(1)
    memory = np.zeros((CONFIG.vectors, LANES), np.uint8)
    known = np.zeros((CONFIG.vectors, LANES), bool)
    for name in (
        "read_i",
        "read_address_i",
        "vpu_write_i",
        "vpu_address_i",
        "vpu_data_i",
        "load_write_i",
        "load_address_i",
    ):
        getattr(dut, name).value = 0
    dut.load_data_i.value = dut.load_strobe_i.value = 0
    Clock(dut.clk_i, 2, "ns").start()
    pending = {}
    granted_often = np.zeros(READERS, int)
    for cycle in range(6000):
        await FallingEdge(dut.clk_i)
        addresses = random_addresses(rng, cycle % 2 == 0)
        reads = rng.random(READERS) < 0.6
        vpu, load = rng.random() < 0.5, rng.random() < 0.5
        data = rng.integers(0, 256, (2, LANES), dtype=np.uint8)
        strobe = rng.random(LANES) < 0.5
        # A read of what is written in the same cycle means nothing: keep them apart.
        written = {addresses[5]} if vpu else set()
        written |= {addresses[6]} if load else set()
        reads = [bool(r) and addresses[i] not in written for i, r in enumerate(reads)]
        dut.read_i.value = pack(reads, 1)
        dut.read_address_i.value = pack(addresses[:READERS], ADDRESS_BITS)
        dut.vpu_write_i.value, dut.load_write_i.value = int(vpu), int(load)
        dut.vpu_address_i.value, dut.load_address_i.value = addresses[5], addresses[6]
        dut.vpu_data_i.value = int.from_bytes(data[0].tobytes(), "little")
        dut.load_data_i.value = int.from_bytes(data[1].tobytes(), "little")
        dut.load_strobe_i.value = pack(strobe, 1)
        await RisingEdge(dut.clk_i)
        found = int(dut.read_data_o.value)
        for reader, (vector, valid) in pending.items():
            got = (found >> (8 * LANES * reader)) & ((1 << 8 * LANES) - 1)
            got = np.frombuffer(got.to_bytes(LANES, "little"), np.uint8)
            assert (got[valid] == vector[valid]).all(), f"cycle {cycle}, reader {reader}"
        banks = [address // BANK for address in addresses]
        expected = [r and not any(reads[o] and banks[o] == banks[i] for o in range(i)) for i, r in enumerate(reads)]
        grants = int(dut.read_grant_o.value)
        assert grants == pack(expected, 1), f"cycle {cycle}: {reads} of banks {banks} granted {grants:05b}"
        load_granted = load and not (vpu and banks[5] == banks[6])
        assert bool(int(dut.load_grant_o.value)) == load_granted
        pending = {i: (memory[addresses[i]].copy(), known[addresses[i]].copy()) for i in range(READERS) if expected[i]}
        granted_often += expected
        if vpu:
            memory[addresses[5]], known[addresses[5]] = data[0], True
        if load_granted:
            memory[addresses[6], strobe], known[addresses[6], strobe] = data[1, strobe], True
    assert (granted_often > 500).all() and granted_often[0] > granted_often[4]
