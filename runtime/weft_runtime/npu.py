"""Weft's own processor as the runtime sees it."""

from __future__ import annotations

import json

from weft_runtime.backend import register_backend
from weft_runtime.check_registers import check_registers
from weft_runtime.devices import Device, device_names, open_device
from weft_runtime.errors import ExecutableError
from weft_runtime.executable import Processor, Region
from weft_sim.errors import MachineError
from weft_sim.isa import INSTRUCTION_BYTES
from weft_sim.machine import MachineConfig
from weft_sim.result import RunOptions

__all__ = ["NAME", "NPU", "is_npu", "machine_of", "npu_processor"]

NAME = "weft"


def npu_processor(machine: MachineConfig) -> Processor:
    """The processor with that machine configuration."""
    configuration = json.dumps(machine.to_dict(), sort_keys=True)
    return Processor(machine.name, NAME, configuration, machine.macs_per_cycle, machine.clock_mhz)


def is_npu(processor: Processor) -> bool:
    """Whether it is Weft's own, with instructions of `weft_sim.isa`."""
    return processor.backend == NAME


def machine_of(processor: Processor) -> MachineConfig:
    """The machine configuration of Weft's own processor. Raises ExecutableError for others and for broken ones."""
    if not is_npu(processor):
        raise ExecutableError(f"processor {processor.name!r} is of backend {processor.backend!r}, not a Weft machine")
    try:
        values = json.loads(processor.configuration)
        if not isinstance(values, dict):
            raise MachineError("it is not a JSON object")
        machine = MachineConfig.from_dict(values)
    except (MachineError, ValueError, RecursionError) as error:
        raise ExecutableError(f"the configuration of {processor.name!r} is impossible: {error}") from error
    if processor != npu_processor(machine):
        raise ExecutableError(f"the figures of processor {processor.name!r} do not belong to its configuration")
    return machine


class _Npu:
    """Its instructions are checked one by one at dispatch, so only their number matters here, and that registers begin
    inside the region's memory."""

    @property
    def name(self) -> str:
        return NAME

    @property
    def device_names(self) -> tuple[str, ...]:
        return device_names()

    def check_region(self, processor: Processor, region: Region) -> None:
        machine_of(processor)
        where, size = f"region {region.name!r}", len(region.instructions)
        if not size or size % INSTRUCTION_BYTES:
            raise ExecutableError(
                f"{where}: {size} bytes of instructions are not a positive multiple of {INSTRUCTION_BYTES}"
            )
        count = size // INSTRUCTION_BYTES
        if len(region.sources) != count:
            raise ExecutableError(f"{where}: {len(region.sources)} node names for {count} instructions")
        check_registers(region)

    def open_device(self, device: str, processor: Processor, dram_bytes: int, options: RunOptions) -> Device:
        return open_device(device, machine_of(processor), dram_bytes, options)


NPU = _Npu()
register_backend(NPU)
