"""LOAD, STORE and FILL instructions for nested copies of any depth: merged where contiguous, split where too large."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from weft.schedule.mapping import Nest, NestLoop
from weft_sim.isa import MAX_WORK, Fill, Instruction, Load, Store

__all__ = ["Loop", "fill", "load", "store"]

LOOPS = 4
MAX_COUNT = 65535


@dataclass(frozen=True)
class Loop:
    """`count` steps with byte strides in DRAM and in the scratchpad."""

    count: int
    dram: int
    scratchpad: int


def load(register: int, offset: int, scratchpad: int, run: int, loops: Sequence[Loop]) -> list[Instruction]:
    """Copies `run` bytes per step of the nested loops (outermost first) from DRAM to scratchpad."""
    return [
        Load(register=register, offset=offset + d, scratchpad=scratchpad + s, run_bytes=r, **_fields(inner))
        for d, s, r, inner in _pieces(run, loops)
    ]


def store(register: int, offset: int, scratchpad: int, run: int, loops: Sequence[Loop]) -> list[Instruction]:
    """Copies `run` bytes per step of the nested loops (outermost first) from scratchpad to DRAM."""
    return [
        Store(register=register, offset=offset + d, scratchpad=scratchpad + s, run_bytes=r, **_fields(inner))
        for d, s, r, inner in _pieces(run, loops)
    ]


def fill(value: int, scratchpad: int, run: int, loops: Sequence[tuple[int, int]]) -> list[Instruction]:
    """Writes the byte to `run` bytes per step of nested (count, scratchpad stride) loops."""
    plain = [Loop(count, stride, stride) for count, stride in loops]
    result: list[Instruction] = []
    for _, s, r, inner in _pieces(run, plain):
        fields = {key: value for key, value in _fields(inner).items() if not key.startswith("dram")}
        result.append(Fill(value=value, scratchpad=scratchpad + s, run_bytes=r, **fields))
    return result


def _pieces(run: int, loops: Sequence[Loop]) -> Iterator[tuple[int, int, int, list[Loop]]]:
    """(DRAM offset, scratchpad offset, run, at most four loops) of the instructions that cover the copy."""
    if run == 0 or any(loop.count == 0 for loop in loops):
        return
    nest = Nest((0, 0), tuple(NestLoop(loop.count, (loop.dram, loop.scratchpad)) for loop in loops))
    run, whole = _lengthened(run, nest)
    for length, part in _shortened(run, whole.merged(MAX_COUNT)):
        for piece in part.spilled(LOOPS, MAX_COUNT, MAX_WORK // length):
            dram, scratchpad = piece.bases
            yield dram, scratchpad, length, [Loop(loop.count, *loop.strides) for loop in piece.loops]


def _lengthened(run: int, nest: Nest) -> tuple[int, Nest]:
    """The copy with the innermost steps that continue each other in its run."""
    kept = [loop for loop in nest.loops if loop.count != 1]
    while kept and kept[-1].strides == (run, run):
        run *= kept.pop().count
    return run, Nest(nest.bases, tuple(kept))


def _shortened(run: int, nest: Nest) -> Iterator[tuple[int, Nest]]:
    """The copy with runs that an instruction can count: a long one is many equal ones and a rest."""
    if run <= MAX_COUNT:
        yield run, nest
        return
    piece = next(size for size in range(MAX_COUNT // 64 * 64, 0, -64) if size <= run)
    count, rest = divmod(run, piece)
    yield piece, Nest(nest.bases, (*nest.loops, NestLoop(count, (piece, piece))))
    if rest:
        dram, scratchpad = nest.bases
        yield rest, Nest((dram + count * piece, scratchpad + count * piece), nest.loops)


def _fields(loops: list[Loop]) -> dict[str, int]:
    padded = [Loop(1, 0, 0)] * (LOOPS - len(loops)) + loops
    fields: dict[str, int] = {}
    for index, loop in enumerate(padded):
        fields[f"count_{index}"] = loop.count
        fields[f"dram_stride_{index}"] = loop.dram
        fields[f"scratchpad_stride_{index}"] = loop.scratchpad
    return fields
