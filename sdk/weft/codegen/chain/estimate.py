"""Analytic cycles of members and chains: for the choice among them, which the simulator confirms in the end."""

from __future__ import annotations

import math
from dataclasses import dataclass

from weft.codegen.chain.layout import ChainPlan
from weft.codegen.chain.members import Member, blocks_of
from weft.codegen.chain.pieces import weight_bytes
from weft.codegen.context import Context
from weft.ir.operators import AveragePool, Convolution, MaxPool, Tensor
from weft.schedule.convolution import ConvolutionMode, input_extent
from weft_sim.isa import TIMING

__all__ = ["Work", "alone", "chained", "work"]

MOST_LOST = 3000
"""What an operator by itself loses at most at its beginning and end: large tensors arrive and leave tile by tile."""
BUBBLE_CYCLES = 100
"""Latencies between the last result of a member and the first product of the next."""


@dataclass(frozen=True)
class Work:
    """Cycles of MXU and VPU for some output rows of an operator, and of the VPU for the last piece of them."""

    mxu: float
    vpu: float
    tail: float


def work(member: Member, rows: int, context: Context) -> Work:
    """The cycles of `rows` output rows."""
    blocks, width = member.blocks, member.output.view[3]
    vectors = blocks * rows * width
    match member.operator:
        case Convolution():
            mxu = _products(member, rows, context)
            positions = min(rows * width, context.config.accumulator_rows // 4)
            passes = blocks * max(1, rows * width / positions)
            vpu = vectors + passes * (8 + TIMING["VPU_LATENCY"] * min(1.0, positions / 256))
            return Work(mxu, vpu, min(vectors, max(256, positions)))
        case MaxPool(kernel=kernel):
            return Work(0, vectors * math.prod(kernel), 0)
        case AveragePool(kernel=kernel):
            taps = math.prod(kernel)
            return Work(0, vectors * (taps + 2 * TIMING["DIVIDE_INTERVAL"]) + taps // 4 * 30, 0)
        case _:
            return Work(0, vectors, 0)


def _products(member: Member, rows: int, context: Context) -> float:
    operator, lanes, blocks, width = member.operator, context.lanes, member.blocks, member.output.view[3]
    assert isinstance(operator, Convolution)
    kernel_rows, kernel_columns = (int(extent) for extent in operator.weights.shape[2:])
    if member.mode == ConvolutionMode.DEPTHWISE:
        at_once = min(kernel_rows, 4, lanes // kernel_columns)
        most = max(1, context.config.accumulator_rows // 2 // width)
        steps = -(-rows // most)
        tall = input_extent(-(-rows // steps), at_once, operator.strides[0], 1)
        wide = input_extent(width, kernel_columns, operator.strides[1], 1)
        return float(blocks * steps * -(-kernel_rows // at_once) * max(tall * wide, lanes + 4))
    taps = 1 if member.gathers else kernel_rows * kernel_columns
    return float(blocks * member.reduces * taps * max(rows * width, lanes + 4))


def _bytes(tensor: Tensor, lanes: int) -> int:
    return blocks_of(tensor, lanes) * tensor.view[2] * tensor.view[3] * lanes


def _gather_cycles(member: Member, rows: int, context: Context) -> float:
    """Cycles of the LOADs that gather windows: a burst each, at least two cycles by latency alone."""
    config, operator = context.config, member.operator
    assert isinstance(operator, Convolution)
    run = int(operator.weights.shape[1] * operator.weights.shape[3])
    beats = 1 + (run - 1) / config.dram_beat_bytes
    waiting = -(-config.dram_latency // config.outstanding_bursts) + 0.2
    per_run = max(waiting, beats * config.dram_rate_denominator / config.dram_rate_numerator)
    return rows * operator.output.view[3] * int(operator.weights.shape[2]) * per_run


def _lost(first: Member, last: Member, context: Context) -> float:
    """Cycles at the beginning and end that nothing else hides: until what the first member reads has arrived, and until
    what the last one makes has been stored."""
    lanes, config = context.lanes, context.config
    moved = sum(_bytes(tensor, lanes) for tensor in (*first.operator.inputs, last.output))
    moved += weight_bytes(first, lanes) if first.mode is not None else 0
    return min(MOST_LOST, 2 * config.dram_latency + moved / config.dram_bytes_per_cycle)


def alone(member: Member, context: Context) -> float:
    """Cycles of the operator from DRAM to DRAM."""
    lanes, rate = context.lanes, context.config.dram_bytes_per_cycle
    done = work(member, member.output.view[2], context)
    moved = _bytes(member.output, lanes)
    gathering = 0.0
    if member.gathers:
        gathering = _gather_cycles(member, member.output.view[2], context)
    else:
        moved += weight_bytes(member, lanes) + sum(_bytes(tensor, lanes) for tensor in member.operator.inputs)
    return max(done.mxu, done.vpu, moved / rate + gathering) + _lost(member, member, context)


def chained(plan: ChainPlan, context: Context) -> float:
    """Cycles of a chain: the busiest of the bus and of the sequence of members, whose vector passes hide behind other
    members' products only where tiles follow each other."""
    lanes, rate = context.lanes, context.config.dram_bytes_per_cycle
    sequence = bus = 0.0
    tiled = len(plan.spans) > 1
    for tile in range(len(plan.spans)):
        passes = products = 0.0
        for member in plan.members:
            if member.parts:
                continue
            rows = len(plan.rows(member.output, tile))
            done = work(member, rows, context)
            if member.mode is not None:
                sequence += max(done.mxu, done.vpu) + done.tail + BUBBLE_CYCLES
                products += done.mxu - done.vpu
                if member.gathers:
                    bus += _gather_cycles(member, rows, context)
            else:
                passes += done.vpu + BUBBLE_CYCLES
        sequence += max(0.0, passes - max(0.0, products) / 2) if tiled else passes
        for name in plan.inputs:
            start, stop = plan.spans[tile][name]
            buffer = plan.buffers[name]
            bus += buffer.blocks * (stop - start) * buffer.tensor.view[3] * lanes / rate
    for member in plan.members:
        bus += weight_bytes(member, lanes) / rate if member.mode is not None else 0
        bus += _bytes(member.output, lanes) / rate if member.output.name in plan.stored else 0
    return max(sequence, bus) + _lost(plan.members[0], plan.members[-1], context)
