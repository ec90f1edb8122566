"""Exact cycles of a region, from the simulator's timing-only mode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weft.codegen.arranged import MOST_PROGRAMS, Memo
from weft.codegen.region import LoweredRegion
from weft.errors import CompileError
from weft_runtime.profile import charged_cycles
from weft_sim import simulator
from weft_sim.isa import INSTRUCTION_BYTES
from weft_sim.isa.program import encode_program
from weft_sim.machine import MachineConfig
from weft_sim.result import RunOptions, RunResult

__all__ = ["RegionEstimate", "estimate_region", "time_program"]

PAGE = 4096


@dataclass(frozen=True)
class RegionEstimate:
    """Cycles of the whole region, and of each ONNX node as a profile charges them."""

    cycles: int
    by_node: dict[str, int]


def estimate_region(name: str, region: LoweredRegion, config: MachineConfig) -> RegionEstimate:
    """Runs the program without data. Raises CompileError if it faults, which would be a bug of the emitter."""
    key = (config, region.shape, len(region.constants), region.workspace_bytes, region.io_bytes)
    known = None if region.shape is None else _TIMES.get(key)
    if known is None:
        known = _timed(name, region, config)
        if region.shape is not None:
            _TIMES.put(key, known)
    by_node: dict[str, int] = {}
    for index, cycles in known.charged:
        by_node[region.sources[index]] = by_node.get(region.sources[index], 0) + cycles
    return RegionEstimate(known.cycles, by_node)


@dataclass(frozen=True)
class _Time:
    """Cycles of a program, and those charged to instructions, by place, in the order of execution."""

    cycles: int
    charged: tuple[tuple[int, int], ...]


_TIMES: Memo[_Time] = Memo(MOST_PROGRAMS)


def _timed(name: str, region: LoweredRegion, config: MachineConfig) -> _Time:
    program = encode_program(region.instructions)
    result = time_program(config, program, len(region.constants), region.workspace_bytes, region.io_bytes)
    if result.fault is not None:
        cause = f"{result.fault.cause}: {result.fault.detail}"
        raise CompileError(f"region {name!r}: emitted instruction {result.fault.instruction} is wrong ({cause})")
    charged = zip(result.events, charged_cycles(result.events), strict=True)
    return _Time(result.cycles, tuple((int(event["index"]), int(cycles)) for event, cycles in charged))


def time_program(
    config: MachineConfig, program: bytes, constants_bytes: int, workspace_bytes: int, io_bytes: int
) -> RunResult:
    """The result of a program in the timing-only mode, its areas in DRAM one behind the other."""
    constants = _page(len(program))
    workspace = constants + _page(constants_bytes)
    io = workspace + _page(workspace_bytes)
    dram = np.zeros(io + _page(io_bytes), np.uint8)
    dram[: len(program)] = np.frombuffer(program, np.uint8)
    count = len(program) // INSTRUCTION_BYTES
    return simulator.run(config, dram, 0, count, [constants, workspace, io], RunOptions(timing_only=True))


def _page(size: int) -> int:
    return -(-size // PAGE) * PAGE
