"""LOAD, STORE and FILL instructions for nested copies of any depth: merged where contiguous, split where too large."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
    run, merged = _merge(run, loops)
    yield from _split(0, 0, run, merged)


def _merge(run: int, loops: Sequence[Loop]) -> tuple[int, list[Loop]]:
    """Joins steps that continue each other: inner loops into the run, and outer loops into inner ones."""
    kept = [loop for loop in loops if loop.count > 1]
    while kept and kept[-1].dram == kept[-1].scratchpad == run:
        run *= kept.pop().count
    result: list[Loop] = []
    for loop in reversed(kept):
        inner = result[0] if result else None
        continues = inner and (inner.dram * inner.count, inner.scratchpad * inner.count) == (
            loop.dram,
            loop.scratchpad,
        )
        if inner and continues and inner.count * loop.count <= MAX_COUNT:
            result[0] = Loop(inner.count * loop.count, inner.dram, inner.scratchpad)
        else:
            result.insert(0, loop)
    return run, result


def _split(dram: int, scratchpad: int, run: int, loops: list[Loop]) -> Iterator[tuple[int, int, int, list[Loop]]]:
    if run > MAX_COUNT:
        piece = next(size for size in range(MAX_COUNT // 64 * 64, 0, -64) if size <= run)
        count, rest = divmod(run, piece)
        yield from _split(dram, scratchpad, piece, [*loops, Loop(count, piece, piece)])
        if rest:
            yield from _split(dram + count * piece, scratchpad + count * piece, rest, loops)
        return
    work = run
    for loop in loops:
        work *= loop.count
    if len(loops) <= LOOPS and work <= MAX_WORK and all(loop.count <= MAX_COUNT for loop in loops):
        yield dram, scratchpad, run, loops
        return
    outer, inner = loops[0], loops[1:]
    for step in range(outer.count):
        yield from _split(dram + step * outer.dram, scratchpad + step * outer.scratchpad, run, inner)


def _fields(loops: list[Loop]) -> dict[str, int]:
    padded = [Loop(1, 0, 0)] * (LOOPS - len(loops)) + loops
    fields: dict[str, int] = {}
    for index, loop in enumerate(padded):
        fields[f"count_{index}"] = loop.count
        fields[f"dram_stride_{index}"] = loop.dram
        fields[f"scratchpad_stride_{index}"] = loop.scratchpad
    return fields
