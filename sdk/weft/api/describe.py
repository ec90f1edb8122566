"""What a compiled model consists of: its size, where its nodes run, its instructions, its races."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from weft.backends import backend
from weft.report.control_flow import Paths, control_flow_graph
from weft_runtime.executable import Executable
from weft_runtime.memory import plan_memory
from weft_sim.errors import InstructionError

__all__ = ["disassembly", "explain", "summarize"]


def summarize(executable: Executable) -> dict[str, Any]:
    """Sizes and estimates as plain JSON values; counts of nodes refer to the model's own nodes."""
    regions = executable.regions
    return {
        "target": executable.target,
        "nodes": len(executable.nodes),
        "offloaded_nodes": sum(node.device != "host" for node in executable.nodes),
        "macs": executable.macs,
        "offloaded_macs": executable.offloaded_macs,
        "estimated_cycles": sum(region.estimated_cycles for region in regions),
        "regions": len(regions),
        "instructions": sum(len(region.sources) for region in regions),
        "dram_bytes": plan_memory(executable).dram_bytes if regions else 0,
        "inexact": list(executable.inexact),
        "calibration": executable.calibration,
    }


def explain(executable: Executable, paths: Paths = ()) -> dict[str, Any]:
    """Where each node of the model runs, why, and what it would cost elsewhere; what each partition that was considered
    would cost altogether (nanoseconds; None where no choice was made); the control-flow graph (empty where there is no
    control flow), with frequencies where `paths` of a run are given. Plain JSON values."""
    report = executable.partition
    partition = None
    if report is not None:
        candidates = [{**asdict(each), "total": each.total} for each in report.candidates]
        partition = {"host_profile": report.host_profile, "chosen": report.chosen, "candidates": candidates}
    return {
        "target": executable.target,
        "calibration": executable.calibration,
        "partition": partition,
        "nodes": [asdict(node) for node in executable.nodes],
        "control": control_flow_graph(executable, paths),
    }


def disassembly(executable: Executable) -> list[dict[str, Any]]:
    """For each region its name and its program as text, one line per instruction with its ONNX node.

    Raises InstructionError naming region and instruction for bytes that are no instruction.
    """
    listings = []
    for region in executable.regions:
        processor = executable.processors[region.processor]
        try:
            lines = backend(processor.backend).disassemble(region)
        except InstructionError as error:
            raise InstructionError(f"region {region.name!r}: {error}") from error
        listings.append({"region": region.name, "processor": processor.name, "lines": list(lines)})
    return listings
