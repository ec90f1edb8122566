"""Reads of scratchpad and accumulators that nothing has written: harmless to the machine, seldom what was
meant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft_sim.footprint import Footprint, footprint
from weft_sim.isa.architecture import REGISTERS, Space
from weft_sim.isa.instruction import AddressStream, Instruction
from weft_sim.isa.matrix import Matmul, WeightOrder
from weft_sim.machine import MachineConfig

__all__ = ["UninitializedRead", "uninitialized_reads"]

_MANY_RUNS = 256


@dataclass(frozen=True)
class UninitializedRead:
    """An instruction (its place in the given order) that reads memory never written before: the space, the
    lowest such address (in units of `Space`), and all of it in words."""

    instruction: int
    space: Space
    address: int
    words: str


def uninitialized_reads(config: MachineConfig, instructions: Iterable[Instruction]) -> list[UninitializedRead]:
    """Every operand that touches memory which no earlier instruction has written, in the order of execution
    given.

    Lanes that a MATMUL ignores (from `input_lanes` on) do not count. Rows that a MATMUL without `accumulate`
    writes itself count as written. Instructions must be valid on this machine.
    """
    written = {
        Space.SCRATCHPAD: np.zeros(config.scratchpad_bytes, np.bool_),
        Space.ACCUMULATOR: np.zeros(config.accumulator_rows, np.bool_),
    }
    found: list[UninitializedRead] = []
    for index, instruction in enumerate(instructions):
        streams = [s for s in instruction.streams(config, [0] * REGISTERS) if s.space in written]
        own = isinstance(instruction, Matmul) and not instruction.accumulate
        for stream in streams:
            if stream.write or (own and stream.space == Space.ACCUMULATOR):
                continue
            address = _first_unwritten(written[stream.space], footprint(_relevant(instruction, stream)))
            if address is not None:
                place = f"{stream.name} at {stream.space.name.lower()} {address}"
                words = f"instruction {index} ({instruction.MNEMONIC}) reads {place}, which nothing has written"
                found.append(UninitializedRead(index, stream.space, address, words))
        for stream in streams:
            if stream.write:
                _mark(written[stream.space], footprint(stream))
    return found


def _relevant(instruction: Instruction, stream: AddressStream) -> AddressStream:
    """The stream without the lanes that cannot matter."""
    if not isinstance(instruction, Matmul) or stream.space != Space.SCRATCHPAD:
        return stream
    if stream.name == "input" or instruction.weight_order == WeightOrder.COLUMNS:
        return stream._replace(length=int(instruction.input_lanes))
    return stream


def _units(area: Footprint) -> npt.NDArray[np.int64]:
    return (area.starts()[:, None] + np.arange(area.length)).ravel()


def _first_unwritten(written: npt.NDArray[np.bool_], area: Footprint) -> int | None:
    if bool(written[area.low : area.high + 1].all()):
        return None
    units = _units(area)
    missing = units[~written[units]]
    return int(missing.min()) if len(missing) else None


def _mark(written: npt.NDArray[np.bool_], area: Footprint) -> None:
    starts = area.starts()
    if len(starts) > _MANY_RUNS:
        written[_units(area)] = True
        return
    for start in starts.tolist():
        written[start : start + area.length] = True
