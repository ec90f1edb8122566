"""Weft's own processor, as any other backend."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from weft.backends.interface import Accelerator, Backend, EmittedRegion, RegionRequest
from weft.codegen.device_program import join_regions
from weft.codegen.estimate import RegionEstimate
from weft.codegen.measured import lower_measured
from weft.codegen.region import LoweredRegion, Schedule
from weft.codegen.region_storage import input_layouts
from weft.codegen.resident import with_own_registers
from weft.ir import Graph, Operator, Tensor
from weft.ir.device_control import JoinRequest
from weft.partition.costs import OperatorCycles
from weft.partition.placement import Placement, capacity, place
from weft.schedule.choice import TileChoices
from weft.schedule.options import ScheduleOptions
from weft.tuning.cache import TuningCache
from weft.tuning.tiles import AskedTiles, MeasuredTiles
from weft_runtime.backend import register_backend
from weft_runtime.devices import Device
from weft_runtime.executable import Processor, Region
from weft_runtime.npu import NAME, NPU, npu_processor
from weft_sim.errors import MachineError
from weft_sim.isa.program import decode_program, disassemble, encode_program
from weft_sim.machine import PRESETS, MachineConfig, machine
from weft_sim.result import RunOptions

__all__ = ["BACKEND", "NpuAccelerator", "NpuBackend", "read_machine"]

MAX_FILE_BYTES = 1 << 20
EVERYTHING = ScheduleOptions()
SMALL_REGION = 4000
"""Instructions of a region up to which also tiles of operators that are in chains now are measured: there it takes no
time, and the region may be quicker without chains."""


class NpuAccelerator(Accelerator):
    """One machine configuration, and which mechanisms of the compiler to use for it. `tiles` may choose tiles; without
    it, those that tuning has found are taken, or the best of few."""

    keeps_values = True
    decides = True

    def __init__(
        self, machine: MachineConfig, tiles: TileChoices | None = None, options: ScheduleOptions = EVERYTHING
    ) -> None:
        self.machine, self.options = machine, options
        self.tiles: TileChoices = MeasuredTiles(TuningCache()) if tiles is None else tiles
        self.processor = npu_processor(machine)
        self._cycles = OperatorCycles(machine)

    def refuse(self, operator: Operator) -> str | None:
        return capacity(operator, self.machine)

    def cycles(self, operator: Operator) -> int:
        """Exact for the operator alone, from the simulator's timing-only mode; found once for a kind and shape."""
        return self._cycles.cycles(operator)

    def stored_bytes(self, tensor: Tensor, readers: Sequence[Operator] = ()) -> int:
        return input_layouts(tensor, readers, self.machine).nbytes(tensor, self.machine)

    def place(self, graph: Graph, operators: Sequence[Operator], insisted: frozenset[str] = frozenset()) -> Placement:
        return place(graph, operators, self.machine, insisted)

    def emit(self, request: RegionRequest) -> EmittedRegion:
        region, estimate = self._best(request)
        return EmittedRegion(
            encode_program(region.instructions),
            region.constants,
            region.workspace_bytes,
            region.io_bytes,
            region.inputs,
            region.outputs,
            estimate.cycles,
            region.sources,
            estimate.by_node,
        )

    def _best(self, request: RegionRequest) -> tuple[LoweredRegion, RegionEstimate]:
        """With default tiles or with measured ones: what is best for an operator alone may disturb its neighbours."""
        if not isinstance(self.tiles, MeasuredTiles):
            return self._lowered(request, self.tiles)
        asked = AskedTiles()
        plain = self._lowered(request, asked)
        large = len(plain[0].instructions) > SMALL_REGION
        chained = {name for chain in plain[0].chains for name in chain if large}
        better = self.tiles.better(asked.questions(without=chained))
        return plain if better is None else min(plain, self._lowered(request, better), key=lambda each: each[1].cycles)

    def _lowered(self, request: RegionRequest, tiles: TileChoices) -> tuple[LoweredRegion, RegionEstimate]:
        schedule = Schedule(self.options, tiles)
        return lower_measured(request.name, request.operators, set(request.outputs), self.machine, schedule)

    def resident(self, region: Region) -> Region:
        return with_own_registers(region, self.machine)

    def join(self, request: JoinRequest) -> Region:
        return join_regions(request, self.machine)


class NpuBackend(Backend):
    """Presets by name, and machine configurations from files."""

    name = NAME

    @property
    def device_names(self) -> tuple[str, ...]:
        return NPU.device_names

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(PRESETS)

    def accelerator(self, target: str) -> NpuAccelerator:
        return NpuAccelerator(read_machine(target) if target.endswith(".json") else machine(target))

    def check_region(self, processor: Processor, region: Region) -> None:
        NPU.check_region(processor, region)

    def open_device(self, device: str, processor: Processor, dram_bytes: int, options: RunOptions) -> Device:
        return NPU.open_device(device, processor, dram_bytes, options)

    def disassemble(self, region: Region) -> Sequence[str]:
        return disassemble(decode_program(region.instructions), region.sources).splitlines()


def read_machine(file: str) -> MachineConfig:
    """The configuration in a JSON file. Raises MachineError."""
    try:
        path = Path(file)
        if path.stat().st_size > MAX_FILE_BYTES:
            raise MachineError(f"{file}: too large for a machine configuration")
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise MachineError(f"{file}: cannot read the machine configuration: {reason}") from error
    if not isinstance(values, dict):
        raise MachineError(f"{file}: a machine configuration is a JSON object with the fields of MachineConfig")
    try:
        return MachineConfig.from_dict(values)
    except MachineError as error:
        raise MachineError(f"{file}: {error}") from error


BACKEND = NpuBackend()
register_backend(BACKEND)
