"""Devices behind one small protocol: memory, and launches of programs that lie in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from weft_runtime.errors import DeviceError, DeviceUnavailableError
from weft_runtime.executable import Processor
from weft_sim import golden, rtl
from weft_sim.isa import INSTRUCTION_BYTES
from weft_sim.machine import MachineConfig
from weft_sim.result import RunOptions, RunResult

__all__ = [
    "Device",
    "DeviceFactory",
    "GoldenDevice",
    "MemoryDevice",
    "NpuFactory",
    "RtlDevice",
    "SimulatorDevice",
    "device_names",
    "open_device",
    "register_device",
]

Bytes = npt.NDArray[np.uint8]


class Device(Protocol):
    """What the runtime needs of a device. Addresses and sizes are in bytes; memory starts as zeros.

    A device with an attribute `overlaps` that is true allows memory that a running program does not touch to be read
    and written from other threads meanwhile. On others, transfers and launches take turns.
    """

    @property
    def name(self) -> str:
        """The name under which the device was opened."""
        ...

    def write(self, address: int, data: bytes | Bytes) -> None:
        """Copy bytes to device memory. Raises DeviceError outside of it."""
        ...

    def read(self, address: int, size: int) -> Bytes:
        """A copy of `size` bytes of device memory, uint8 [size]. Raises DeviceError outside of it."""
        ...

    def launch(self, program_address: int, program_bytes: int, registers: Sequence[int]) -> RunResult:
        """Run a program to its end or fault; a fault is in the result, not raised."""
        ...

    def close(self) -> None:
        """Release the device; every later access raises DeviceError. Closing twice is allowed."""
        ...


DeviceFactory = Callable[[Processor, int, RunOptions], Device]
"""Opens a device for a processor with so many bytes of memory, launching programs with these options."""

NpuFactory = Callable[[MachineConfig, int, RunOptions], Device]
"""The same for Weft's own processor, by its machine configuration."""


class Runner(Protocol):
    """`weft_sim.golden.run` and `weft_sim.simulator.run`."""

    def __call__(
        self,
        config: MachineConfig,
        dram: Bytes,
        program_address: int,
        instruction_count: int,
        registers: Sequence[int],
        options: RunOptions,
    ) -> RunResult: ...


class MemoryDevice:
    """A device whose memory is one array in this process. Subclasses name themselves and say what runs a
    program."""

    name: ClassVar[str]
    overlaps: ClassVar[bool] = True

    def __init__(self, machine: MachineConfig, dram_bytes: int, options: RunOptions, run: Runner) -> None:
        self._machine = machine
        self._options = options
        self._run = run
        try:
            self._memory: Bytes | None = np.zeros(dram_bytes, np.uint8)
        except (MemoryError, ValueError) as error:
            raise DeviceError(f"device {self.name!r}: cannot provide {dram_bytes} bytes of memory") from error

    def write(self, address: int, data: bytes | Bytes) -> None:
        content = np.frombuffer(data, np.uint8)
        self._window(address, content.size)[...] = content

    def read(self, address: int, size: int) -> Bytes:
        return self._window(address, size).copy()

    def launch(self, program_address: int, program_bytes: int, registers: Sequence[int]) -> RunResult:
        memory, count = self._open_memory(), program_bytes // INSTRUCTION_BYTES
        return self._run(self._machine, memory, program_address, count, registers, self._options)

    def close(self) -> None:
        self._memory = None

    def _open_memory(self) -> Bytes:
        if self._memory is None:
            raise DeviceError(f"device {self.name!r} is closed")
        return self._memory

    def _window(self, address: int, size: int) -> Bytes:
        memory = self._open_memory()
        if address < 0 or size < 0 or address + size > memory.size:
            raise DeviceError(
                f"device {self.name!r}: bytes {address} to {address + size} "
                f"lie outside its memory of {memory.size} bytes"
            )
        return memory[address : address + size]


class GoldenDevice(MemoryDevice):
    """The golden model: exact and slow, without time."""

    name = "golden"

    def __init__(self, machine: MachineConfig, dram_bytes: int, options: RunOptions = RunOptions()) -> None:
        super().__init__(machine, dram_bytes, options, golden.run)


class SimulatorDevice(MemoryDevice):
    """The cycle-level simulator. Raises DeviceUnavailableError where its compiled core is missing."""

    name = "sim"

    def __init__(self, machine: MachineConfig, dram_bytes: int, options: RunOptions = RunOptions()) -> None:
        super().__init__(machine, dram_bytes, options, _simulator())


def _simulator() -> Runner:
    # Imported on first use, so that everything but the simulator works where its compiled core was not built.
    try:
        from weft_sim import simulator
    except ImportError as error:
        raise DeviceUnavailableError(
            f"device 'sim' is not available: its compiled core cannot be loaded ({error}); "
            "install Weft with a C++ compiler present, or use device 'golden'"
        ) from error
    return simulator.run


class RtlDevice(MemoryDevice):
    """The SystemVerilog accelerator, Verilated; the first launch builds its model into a cache (a minute or so).
    Raises RtlError where the extra weft[rtl] or a compiler is missing."""

    name = "rtl"

    def __init__(self, machine: MachineConfig, dram_bytes: int, options: RunOptions = RunOptions()) -> None:
        super().__init__(machine, dram_bytes, options, rtl.run)


_factories: dict[str, NpuFactory] = {"sim": SimulatorDevice, "golden": GoldenDevice, "rtl": RtlDevice}


def register_device(name: str, factory: NpuFactory) -> None:
    """Make a device of Weft's own processor known under a name, or replace the one that has it."""
    _factories[name] = factory


def device_names() -> tuple[str, ...]:
    """The names that `open_device` knows, in order of registration; the first is the default."""
    return tuple(_factories)


def open_device(
    name: str,
    machine: MachineConfig,
    dram_bytes: int,
    options: RunOptions = RunOptions(),
) -> Device:
    """Open a device of Weft's own processor by name. Raises DeviceUnavailableError for unknown names and for devices
    that cannot be had."""
    factory = _factories.get(name)
    if factory is None:
        raise DeviceUnavailableError(f"unknown device {name!r}; known devices: {', '.join(device_names())}")
    return factory(machine, dram_bytes, options)
