"""What a model costs on a machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import onnx

from weft.backends.npu import NpuAccelerator
from weft.codegen.estimate import time_program
from weft.compiler import compile as compile_model
from weft.errors import WeftError
from weft.frontend import Model
from weft.tuning.tiles import MeasuredTiles
from weft_runtime.executable import Executable
from weft_sim.machine import MachineConfig

__all__ = ["Cost", "evaluate"]


@dataclass(frozen=True)
class Cost:
    """Of one inference. `cycles` and `moved_bytes` (over the DRAM bus, instructions included) are those of the
    accelerator; `microseconds` has the host's part, transfers and launches as the partitioner estimates them, too.
    `failure` is why it could not be compiled, or empty."""

    cycles: int
    moved_bytes: int
    macs: int
    offloaded_macs: int
    microseconds: float
    failure: str = ""


def evaluate(name: str, proto: bytes, shapes: Mapping[str, int], host: str, values: Mapping[str, Any]) -> Cost:
    """Compiles a quantized model for the machine with these values and simulates its time, not its data. Tiles are
    those of a compiler that knows nothing of what was tuned, so that machines compare. Never raises WeftError: see
    `Cost.failure`."""
    machine = MachineConfig.from_dict(values)
    try:
        executable = compile_model(
            _model(name, proto), NpuAccelerator(machine, MeasuredTiles(None)), shapes=shapes, host=host
        )
    except WeftError as error:
        return Cost(0, 0, 0, 0, 0.0, str(error))
    cycles = moved = 0
    for region in executable.regions:
        result = time_program(
            machine, region.instructions, len(region.constants), region.workspace_bytes, region.io_bytes
        )
        cycles += result.cycles
        moved += result.read_bytes + result.write_bytes
    outside = _outside(executable) / 1000
    return Cost(cycles, moved, executable.macs, executable.offloaded_macs, outside + cycles / machine.clock_mhz)


def _outside(executable: Executable) -> int:
    """Nanoseconds of everything but the accelerator."""
    report = executable.partition
    found = [] if report is None else [each for each in report.candidates if each.name == report.chosen]
    return sum(each.host + each.transfers + each.launches for each in found)


@lru_cache(maxsize=2)
def _model(name: str, proto: bytes) -> Model:
    return Model(onnx.load_model_from_string(proto), name=name)
