"""What each executed instruction touched and when: instructions of a region's program with their times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from weft_runtime.executable import REGISTER_COUNT
from weft_runtime.npu import is_npu
from weft_runtime.profile import LAUNCH, RegionProfile
from weft_sim.isa import INSTRUCTION_BYTES, Load, Store, decode
from weft_sim.isa.instruction import Instruction, StaticFault

__all__ = ["Executed", "executed", "transferred_bytes"]

ZEROS = (0,) * REGISTER_COUNT


@dataclass(frozen=True)
class Executed:
    """An instruction with its ONNX node, and the cycles of its first useful work and of its retirement, counted from
    the region's launch."""

    instruction: Instruction
    node: str
    start: int
    end: int


def executed(profile: RegionProfile, most: int) -> Iterator[Executed]:
    """The first `most` instructions that ran, in order of dispatch; none for processors of other backends."""
    if not is_npu(profile.processor):
        return
    region, events = profile.region, profile.result.events[:most]
    columns = (events[name].tolist() for name in ("index", "start", "end"))
    for index, start, end in zip(*columns, strict=True):
        found = _decoded(region.instructions[index * INSTRUCTION_BYTES : (index + 1) * INSTRUCTION_BYTES])
        if found is not None:
            yield Executed(found, region.sources[index] or LAUNCH, start, end)


def transferred_bytes(instruction: Instruction) -> int:
    """Bytes that a LOAD reads from DRAM or a STORE writes to it; 0 for others."""
    if not isinstance(instruction, Load | Store):
        return 0
    counts = instruction.count_0 * instruction.count_1 * instruction.count_2 * instruction.count_3
    return int(counts * instruction.run_bytes)


@lru_cache(maxsize=1 << 16)
def _decoded(data: bytes) -> Instruction | None:
    found = decode(data)
    return None if isinstance(found, StaticFault) else found
