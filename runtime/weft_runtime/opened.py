"""Devices of an executable, their memory plan, and counters."""

from __future__ import annotations

from dataclasses import dataclass

from weft_runtime.devices import Device, DeviceFactory
from weft_runtime.executable import Executable
from weft_runtime.memory import DeviceMemoryPlan, plan_memory
from weft_sim.result import RunOptions

__all__ = ["Costs", "OpenedDevices"]


@dataclass
class Costs:
    """What the samples of one run have cost so far."""

    cycles: int = 0
    transfers: int = 0
    transfer_bytes: int = 0

    def count(self, size: int) -> None:
        """One more transfer of so many bytes."""
        self.transfers += 1
        self.transfer_bytes += size


class OpenedDevices:
    """The devices of an executable, one for each processor. Raises ExecutableError or DeviceUnavailableError."""

    def __init__(self, executable: Executable, factory: DeviceFactory, options: RunOptions) -> None:
        self.executable = executable
        self.memory: DeviceMemoryPlan = plan_memory(executable)
        self.devices: list[Device] = []
        try:
            for processor, size in zip(executable.processors, self.memory.processor_bytes, strict=True):
                self.devices.append(factory(processor, size, options))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Releases the devices."""
        for device in self.devices:
            device.close()
        self.devices = []
