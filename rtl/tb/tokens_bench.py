"""Token counters against plain counting, and the ledger against weft_sim.isa.tokens."""

from __future__ import annotations

import itertools

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge
from transfers import start

from weft_sim.isa import TOKEN_LIMIT, FaultCause, Fill, Jump, Matmul, Store, Unit, Vector
from weft_sim.isa.tokens import TokenLedger

UNITS = len(Unit)
KINDS = (Jump, Fill, Store, Matmul, Vector)
IDLE = {"clear_i": 0, "take_i": 0, "signal_i": 0, "unit_i": 0, "wait_i": 0, "named_i": 0, "book_i": 0}


async def clear(dut):
    dut.clear_i.value = 1
    await FallingEdge(dut.clk_i)
    dut.clear_i.value = 0


async def reset(dut):
    dut.rst_ni.value = 0
    await FallingEdge(dut.clk_i)
    dut.rst_ni.value = 1
    await FallingEdge(dut.clk_i)


@cocotb.test()
async def counters(dut):
    """Random takes of what is there and signals up to the limit, from empty to full and back; cleared, and reset."""
    await start(dut, **IDLE)
    rng = np.random.default_rng(1)
    counts = np.zeros((UNITS, UNITS), int)  # [from][to]
    for cycle in range(4000):
        await FallingEdge(dut.clk_i)
        filling = cycle // 500 % 2 == 0
        take = np.zeros((UNITS, UNITS), bool)
        give = np.zeros((UNITS, UNITS), bool)
        for source in range(UNITS):
            for target in range(UNITS):
                if source == target:
                    continue
                take[source, target] = counts[source, target] > 0 and rng.random() < (0.2 if filling else 0.9)
                give[source, target] = counts[source, target] < TOKEN_LIMIT and rng.random() < (0.9 if filling else 0.2)
        dut.take_i.value = sum(1 << (UNITS * t + s) for s in range(UNITS) for t in range(UNITS) if take[s, t])
        dut.signal_i.value = sum(1 << (UNITS * s + t) for s in range(UNITS) for t in range(UNITS) if give[s, t])
        await RisingEdge(dut.clk_i)
        expected = sum(1 << (UNITS * t + s) for s in range(UNITS) for t in range(UNITS) if counts[s, t] > 0)
        assert int(dut.available_o.value) == expected
        counts += give.astype(int) - take
    await FallingEdge(dut.clk_i)
    dut.take_i.value = 0
    every = sum(1 << (UNITS * u + v) for u in range(UNITS) for v in range(UNITS) if u != v)
    for way in (clear, reset):
        dut.signal_i.value = every
        await FallingEdge(dut.clk_i)
        assert int(dut.available_o.value) == every
        dut.signal_i.value = 0
        await way(dut)
        assert int(dut.available_o.value) == 0


@cocotb.test()
async def ledger(dut):
    """Random instructions, few waits at first, so that channels fill up, overflow and run dry."""
    await start(dut, **IDLE)
    rng = np.random.default_rng(2)
    reference = TokenLedger()
    seen = set()
    for step in range(6000):
        await FallingEdge(dut.clk_i)
        unit = int(rng.integers(UNITS))
        others = 31 & ~(1 << unit)
        rare = step // 1000 % 2 == 0
        wait = int(rng.integers(32)) & (int(rng.integers(32)) & int(rng.integers(32)) if rare else 31) & others
        named = int(rng.integers(32)) & (31 if rare else int(rng.integers(32))) & others
        dut.unit_i.value, dut.wait_i.value, dut.named_i.value, dut.book_i.value = unit, wait, named, 1
        await RisingEdge(dut.clk_i)
        fault = reference.dispatch(KINDS[unit](wait=wait, signal=named))
        expected = FaultCause.NONE if fault is None else fault.cause
        found = FaultCause.NONE
        if int(dut.overflow_o.value):
            found = FaultCause.TOKEN_OVERFLOW
        if int(dut.deadlock_o.value):
            found = FaultCause.DEADLOCK
        assert found == expected, f"step {step}: {Unit(unit).name} waits {wait:05b}, signals {named:05b}"
        seen.add(expected)
    assert seen == {FaultCause.NONE, FaultCause.DEADLOCK, FaultCause.TOKEN_OVERFLOW}
    await FallingEdge(dut.clk_i)
    dut.wait_i.value = dut.book_i.value = 0
    for way in (clear, reset):
        for unit in range(UNITS):
            dut.unit_i.value, dut.named_i.value, dut.book_i.value = unit, 31 & ~(1 << unit), 1
            await FallingEdge(dut.clk_i)
        dut.named_i.value = dut.book_i.value = 0
        await way(dut)
        for unit, other in itertools.permutations(range(UNITS), 2):
            dut.unit_i.value, dut.wait_i.value = unit, 1 << other
            await FallingEdge(dut.clk_i)
            assert int(dut.deadlock_o.value), f"a token from {other} to {unit} is left"
        dut.wait_i.value = 0
