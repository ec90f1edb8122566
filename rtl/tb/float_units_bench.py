"""The float units against the NumPy semantics of weft_sim.isa.float32, bit for bit.

Operands: all pairs of directed corners, then random bit patterns, then random numbers of nearby magnitudes
(which make the cancellations and ties that random bit patterns hardly ever make).
"""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from weft_sim.isa import float32

PAIRS = 128
BATCHES = 1600
"""Of PAIRS pairs each: 204,800 of random bit patterns, and as many again of nearby magnitudes."""

CORNERS = np.array(
    [
        0x00000000, 0x00000001, 0x00000002, 0x00000003, 0x00400000, 0x007FFFFE, 0x007FFFFF,  # 0, subnormals
        0x00800000, 0x00800001, 0x00FFFFFF, 0x01000000, 0x0BFFFFFF, 0x1F800000, 0x20000001,  # tiny
        0x33800000, 0x34000000, 0x3E7FFFFF, 0x3EFFFFFF, 0x3F000000, 0x3F000001, 0x3F7FFFFF,  # up to 1
        0x3F800000, 0x3F800001, 0x3FBFFFFF, 0x3FC00000, 0x3FC00001, 0x40000000, 0x40200000,  # 1 to 2.5
        0x40400000, 0x40600000, 0x4AFFFFFF, 0x4B000000, 0x4B000001, 0x4B7FFFFF, 0x4B800000,  # 2²² to 2²⁴
        0x4EFFFFFF, 0x4F000000, 0x4F000001, 0x5F7FFFFF, 0x5F800000, 0x7E800000, 0x7F000000,  # 2³¹, large
        0x7F7FFFFE, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF,  # largest, ∞, NaN
    ],
    np.uint32,
)  # fmt: skip


def corner_pairs():
    signed = np.concatenate([CORNERS, CORNERS | np.uint32(1 << 31)])
    x, y = np.meshgrid(signed, signed)
    return x.ravel(), y.ravel()


def random_pairs(rng):
    count = BATCHES * PAIRS
    x = rng.integers(1 << 32, size=2 * count, dtype=np.uint32)
    y = rng.integers(1 << 32, size=2 * count, dtype=np.uint32)
    # The second half: y's exponent within 26 of x's, and significands with few bits, so that results are often ties.
    near = slice(count, None)
    x[near] &= rng.choice(np.array([0xFFFFFFFF, 0xFFFFF000, 0xFFF00003, 0xFF800001], np.uint32), count)
    distance = rng.integers(-26, 27, size=count)
    exponent = np.clip(((x[near] >> 23) & 0xFF).astype(np.int64) + distance, 0, 254).astype(np.uint32)
    mask = rng.choice(np.array([0x807FFFFF, 0x807FF000, 0x80700003, 0x80000001], np.uint32), count)
    y[near] = (y[near] & mask) | (exponent << 23)
    return x, y


def batches(x, y):
    padding = -len(x) % PAIRS
    x, y = (np.concatenate([v, v[:1].repeat(padding)]).reshape(-1, PAIRS) for v in (x, y))
    return zip(x, y, strict=True)


def packed(values):
    return int.from_bytes(values.astype("<u4").tobytes(), "little")


def unpacked(handle):
    return np.frombuffer(int(handle.value).to_bytes(4 * PAIRS, "little"), "<u4")


def flags(handle):
    bits = int(handle.value).to_bytes(PAIRS // 8, "little")
    return np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little").astype(bool)


def check(name, got, want, x, y, where=None):
    wrong = got != (want.view(np.uint32) if want.dtype == np.float32 else want)
    if where is not None:
        wrong &= where
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        expected = want.view(np.uint32)[i] if want.dtype == np.float32 else want[i]
        raise AssertionError(f"{name}({x[i]:#010x}, {y[i]:#010x}) gave {got[i]:#010x}, not {expected:#010x}")


async def start(dut):
    for name in ("enable_i", "start_i", "step_i", "round_i", "x_i", "y_i"):
        getattr(dut, name).value = 0
    Clock(dut.clk_i, 2, "ns").start()
    await RisingEdge(dut.clk_i)


async def run_pairs(dut, x, y):
    """Streams batches, one per cycle, and checks results as they come."""
    first = second = None
    for batch in [*batches(x, y), None, None]:
        dut.enable_i.value = (batch is not None) | (first is not None) << 1
        if batch is not None:
            dut.x_i.value, dut.y_i.value = packed(batch[0]), packed(batch[1])
        await RisingEdge(dut.clk_i)
        # Behind this edge values are those before it: results of one cycle belong to `first`, of two to `second`.
        if first is not None:
            check_one_cycle(dut, *first)
        if second is not None:
            check_two_cycles(dut, *second)
        second, first = first, batch


def check_one_cycle(dut, x, y):
    a, b = x.view(np.float32), y.view(np.float32)
    with np.errstate(all="ignore"):
        check("maximum", unpacked(dut.maximum_o), float32.maximum(a, b), x, y)
        check("minimum", unpacked(dut.minimum_o), float32.minimum(a, b), x, y)
        check("clamp", unpacked(dut.clamp_o), float32.minimum(float32.maximum(a, b), -b), x, y)
        check("rint", unpacked(dut.rint_o), float32.rint(a), x, y)
        check("floor", unpacked(dut.floor_o), float32.canonical(np.floor(a)), x, y)
        check("to_integer", unpacked(dut.to_integer_o), float32.to_integer(a).astype(np.int32).view(np.uint32), x, y)
        check("from_integer", unpacked(dut.from_integer_o), float32.from_integer(x.view(np.int32)), x, y)
        ordered = ~(np.isnan(a) | np.isnan(b))
        check("greater", flags(dut.greater_o), a > b, x, y, ordered)
        check("equal", flags(dut.equal_o), a == b, x, y, ordered)


def check_two_cycles(dut, x, y):
    a, b = x.view(np.float32), y.view(np.float32)
    check("add", unpacked(dut.add_o), float32.add(a, b), x, y)
    check("multiply", unpacked(dut.multiply_o), float32.multiply(a, b), x, y)
    check("scale", unpacked(dut.scale_o), float32.multiply(a, b[0]), x, y[:1].repeat(PAIRS))


async def run_divisions(dut, x, y, pauses=0):
    """Start, six steps, round, with up to so many cycles before each step; the operands change at once, because the
    units keep what they need."""
    rng = np.random.default_rng(4)
    for a, b in batches(x, y):
        dut.x_i.value, dut.y_i.value = packed(a), packed(b)
        for name, cycles in (("start_i", 1), ("step_i", 6), ("round_i", 1)):
            getattr(dut, name).value = 1
            for _ in range(cycles):
                await RisingEdge(dut.clk_i)
                dut.x_i.value = 0
                if pauses:
                    getattr(dut, name).value = 0
                    for _ in range(int(rng.integers(pauses + 1))):
                        await RisingEdge(dut.clk_i)
                    getattr(dut, name).value = 1
            getattr(dut, name).value = 0
        await RisingEdge(dut.clk_i)
        floats = a.view(np.float32), b.view(np.float32)
        check("divide", unpacked(dut.divide_o), float32.divide(*floats), a, b)
        check("square_root", unpacked(dut.square_root_o), float32.square_root(floats[0]), a, b)


@cocotb.test()
async def pipelined_units_on_corners(dut):
    await start(dut)
    await run_pairs(dut, *corner_pairs())


@cocotb.test()
async def pipelined_units_on_random_numbers(dut):
    await start(dut)
    await run_pairs(dut, *random_pairs(np.random.default_rng(1)))


@cocotb.test()
async def division_on_corners(dut):
    await start(dut)
    await run_divisions(dut, *corner_pairs())


@cocotb.test()
async def division_on_random_numbers(dut):
    await start(dut)
    x, y = random_pairs(np.random.default_rng(2))
    x[::3] &= np.uint32(0x7FFFFFFF)  # roots exist
    await run_divisions(dut, x, y)


@cocotb.test()
async def divisions_wait_between_their_steps(dut):
    await start(dut)
    x, y = random_pairs(np.random.default_rng(5))
    await run_divisions(dut, x[: 20 * PAIRS] & np.uint32(0x7FFFFFFF), y[: 20 * PAIRS], pauses=3)


@cocotb.test()
async def a_result_stays_until_the_next_one_is_enabled(dut):
    """Other operands are taken, but what is made of them is not asked for."""
    await start(dut)
    (x, y), (others, _) = list(batches(*random_pairs(np.random.default_rng(6))))[:2]
    await run_pairs(dut, x, y)
    dut.x_i.value, dut.enable_i.value = packed(others), 1
    for _ in range(3):
        await RisingEdge(dut.clk_i)
        check_two_cycles(dut, x, y)


@cocotb.test()
async def results_stay_while_nothing_is_enabled(dut):
    await start(dut)
    x, y = next(batches(*random_pairs(np.random.default_rng(3))))
    await run_pairs(dut, x, y)
    dut.x_i.value = dut.y_i.value = packed(CORNERS.repeat(3)[:PAIRS])
    for _ in range(3):
        await RisingEdge(dut.clk_i)
    check_one_cycle(dut, x, y)
    check_two_cycles(dut, x, y)
