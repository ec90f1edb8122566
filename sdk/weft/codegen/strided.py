"""Movement by address: pieces of copies that fit a slot, strided LOADs of them into it and strided STOREs out of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from weft.codegen.movement_plan import Copy
from weft.codegen.nests import Nest, Step
from weft.codegen.transfer import Loop, fill, load, store
from weft.ir.operators import Movement
from weft.schedule.areas import Areas
from weft_sim.isa import Instruction, Load, Store
from weft_sim.machine import MachineConfig

__all__ = ["Chunk", "Piece", "chunks", "transfer_cycles", "transfers"]

MAX_COUNT = 65535
SMALL = 4096
Place = tuple[int, int]
"""Base register and byte offset of a tensor."""
NOWHERE: Place = (0, 0)


@dataclass(frozen=True)
class Piece:
    """A copy that fits a slot, and its place in it. `by_source`: the slot holds it in the source's order."""

    copy: Copy
    place: int
    by_source: bool


@dataclass
class Chunk:
    """What one iteration moves; all of it through one table, or none."""

    table: int | None
    pieces: list[Piece] = field(default_factory=list)
    size: int = 0


def chunks(operator: Movement, plan: Sequence[Copy], config: MachineConfig) -> Iterator[Chunk]:
    """Copies cut to fit the slots and packed into iterations; at least four where there is enough to overlap."""
    areas, lanes = Areas.of(config), config.lanes
    total = sum(copy.nest.distinct_bytes for copy in plan)
    changes = any(table is not None for table in operator.tables)
    limit = min(areas.x_bytes, areas.output_bytes, MAX_COUNT * lanes) if changes else areas.x_bytes
    limit = min(limit, max(SMALL, -(-total // 4))) // lanes * lanes
    chunk = Chunk(None)
    for copy in plan:
        table = copy.input if copy.input is not None and operator.tables[copy.input] is not None else None
        for nest in _cut(copy.nest, limit):
            piece = dataclasses.replace(copy, nest=nest)
            size = -(-(nest.run if copy.input is None else nest.distinct_bytes) // lanes) * lanes
            if chunk.pieces and (table != chunk.table or chunk.size + size > limit):
                yield chunk
                chunk = Chunk(None)
            chunk.table = table
            chunk.pieces.append(Piece(piece, chunk.size, _by_source(piece, config)))
            chunk.size += size
    if chunk.pieces:
        yield chunk


def _cut(nest: Nest, limit: int) -> Iterator[Nest]:
    """The nest in parts whose distinct bytes are at most `limit`: the loop of largest source stride is cut first."""
    if nest.distinct_bytes <= limit:
        yield nest
        return
    moving = [loop for loop in nest.loops if loop.source]
    if not moving:
        for start in range(0, nest.run, limit):
            run = min(limit, nest.run - start)
            yield dataclasses.replace(nest, target=nest.target + start, source=nest.source + start, run=run)
        return
    cut = max(moving, key=lambda loop: abs(loop.source))
    place = nest.loops.index(cut)
    inner = nest.distinct_bytes // cut.count
    size = max(1, limit // inner)
    for start in range(0, cut.count, size):
        count = min(size, cut.count - start)
        loops = list(nest.loops)
        loops[place : place + 1] = [Step(count, cut.target, cut.source)] if count > 1 else []
        part = Nest(nest.target + start * cut.target, nest.source + start * cut.source, nest.run, tuple(loops))
        yield from _cut(part, limit)


def _by_source(copy: Copy, config: MachineConfig) -> bool:
    """Whether the source's order in the scratchpad makes loads and stores together cheaper than the target's."""
    costs = []
    for by_source in (True, False):
        loads, stores = transfers(Piece(copy, 0, by_source), NOWHERE, NOWHERE, 0)
        costs.append(sum(transfer_cycles(each, config) for each in (*loads, *stores)))
    return costs[0] <= costs[1]


def transfer_cycles(instruction: Instruction, config: MachineConfig) -> int:
    """Bus beats of all runs, or what the latency of as many single bursts costs."""
    if not isinstance(instruction, Load | Store):
        return 0
    counts = [int(instruction.count_0), int(instruction.count_1), int(instruction.count_2), int(instruction.count_3)]
    run = int(instruction.run_bytes)
    beats = -(-run // config.dram_beat_bytes) + int(run % config.dram_beat_bytes != 0 and run > 1)
    bursts = -(-run // (config.dram_beat_bytes * config.burst_beats))
    waiting = bursts * -(-config.dram_latency // config.outstanding_bursts)
    slowed = beats * config.dram_rate_denominator // config.dram_rate_numerator
    return math.prod(counts) * max(slowed, waiting)


def transfers(piece: Piece, x: Place, y: Place, slot: int) -> tuple[list[Instruction], list[Instruction]]:
    """LOADs (or a FILL) and STOREs of one piece; `slot` is the byte address of its slot."""
    nest, base = piece.copy.nest, slot + piece.place
    strides = _slot_strides(piece)
    origin = base - sum((loop.count - 1) * min(0, stride) for loop, stride in zip(nest.loops, strides, strict=True))
    paired = list(zip(nest.loops, strides, strict=True))
    outward = [Loop(loop.count, loop.target, stride) for loop, stride in paired]
    target, held, loops = _ascending(nest.target, origin, outward)
    stores = store(y[0], y[1] + target, held, nest.run, loops)
    if piece.copy.input is None:
        return fill(piece.copy.fill, base, nest.run, []), stores
    inward = [Loop(loop.count, loop.source, stride) for loop, stride in paired if loop.source]
    source, held, loops = _ascending(nest.source, origin, inward)
    return load(x[0], x[1] + source, held, nest.run, loops), stores


def _slot_strides(piece: Piece) -> list[int]:
    """Where a nest's steps lie in the slot: compact, in the order of the source's or of the target's addresses."""
    nest = piece.copy.nest
    if piece.copy.input is None:
        return [0] * len(nest.loops)
    places = range(len(nest.loops))
    strides = [0] * len(nest.loops)
    size = nest.run
    for place in sorted(
        places, key=lambda i: abs(nest.loops[i].source) if piece.by_source else abs(nest.loops[i].target)
    ):
        loop = nest.loops[place]
        if not loop.source:
            continue
        backward = (loop.source if piece.by_source else loop.target) < 0
        strides[place] = -size if backward else size
        size *= loop.count
    return strides


def _ascending(dram: int, scratchpad: int, loops: Sequence[Loop]) -> tuple[int, int, list[Loop]]:
    """The same steps with positive DRAM strides, the largest outermost, and where they then start."""
    result = []
    for loop in loops:
        if loop.dram < 0:
            dram += (loop.count - 1) * loop.dram
            scratchpad += (loop.count - 1) * loop.scratchpad
            loop = Loop(loop.count, -loop.dram, -loop.scratchpad)
        result.append(loop)
    return dram, scratchpad, sorted(result, key=lambda loop: -loop.dram)
