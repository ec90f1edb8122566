"""Exact cycles of a region, from the simulator's timing-only mode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
    program = encode_program(region.instructions)
    result = time_program(config, program, len(region.constants), region.workspace_bytes, region.io_bytes)
    if result.fault is not None:
        cause = f"{result.fault.cause}: {result.fault.detail}"
        raise CompileError(f"region {name!r}: emitted instruction {result.fault.instruction} is wrong ({cause})")
    by_node: dict[str, int] = {}
    for event, cycles in zip(result.events, charged_cycles(result.events), strict=True):
        source = region.sources[int(event["index"])]
        by_node[source] = by_node.get(source, 0) + int(cycles)
    return RegionEstimate(result.cycles, by_node)


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
