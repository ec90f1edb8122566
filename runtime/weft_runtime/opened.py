"""Devices of an executable, their memory plan, and counters."""

from __future__ import annotations

from dataclasses import dataclass

from weft_runtime.devices import Device, DeviceFactory
from weft_runtime.executable import Executable
from weft_runtime.memory import DeviceMemoryPlan, plan_memory
from weft_runtime.sharing import guarded
from weft_sim.result import RunOptions

__all__ = ["Costs", "OpenedDevices"]


@dataclass
class Costs:
    """What samples have cost so far."""

    cycles: int = 0
    transfers: int = 0
    transfer_bytes: int = 0
    launches: int = 0
    macs: int = 0

    def count(self, size: int) -> None:
        """One more transfer of so many bytes."""
        self.transfers += 1
        self.transfer_bytes += size


class OpenedDevices:
    """The devices of an executable, `count` for each processor, each with memory for `buffers` requests at once. Raises
    ExecutableError or DeviceUnavailableError."""

    def __init__(
        self, executable: Executable, factory: DeviceFactory, options: RunOptions, count: int = 1, buffers: int = 1
    ) -> None:
        self.executable = executable
        self.memory: DeviceMemoryPlan = plan_memory(executable, buffers)
        self.devices: list[Device] = []
        self._count = count
        try:
            for processor, size in zip(executable.processors, self.memory.processor_bytes, strict=True):
                for _ in range(count):
                    opened = factory(processor, size, options)
                    self.devices.append(opened if buffers == 1 else guarded(opened))
        except BaseException:
            self.close()
            raise

    def device(self, processor: int, number: int) -> Device:
        """One of a processor's devices."""
        return self.devices[processor * self._count + number]

    def close(self) -> None:
        """Releases the devices."""
        for device in self.devices:
            device.close()
        self.devices = []
