"""Devices that several sessions share: every session has memory of its own there, launches take turns."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from weft_runtime.devices import Bytes, Device, DeviceFactory
from weft_runtime.executable import Processor
from weft_sim.result import RunOptions, RunResult

__all__ = ["SharedDevices", "Turnstile"]


class Turnstile:
    """A lock that threads pass in the order in which they came, so that none starves."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._queue: deque[threading.Event] = deque()
        self._taken = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Waits for its turn and has it until the end of the block."""
        gate = threading.Event()
        with self._guard:
            if self._taken:
                self._queue.append(gate)
            else:
                self._taken = True
                gate.set()
        gate.wait()
        try:
            yield
        finally:
            with self._guard:
                if self._queue:
                    self._queue.popleft().set()
                else:
                    self._taken = False


class SharedDevices:
    """`count` devices of each kind of processor for any number of sessions: give it to each as `device`.

    `open_device` opens a session's memory on a device (for a kind of device by name, `shared_devices(name)`). Sessions
    get the devices in turn. Programs of one session cannot reach another's memory, as with an address space for each;
    a device runs one program at a time, first come, first served.
    """

    def __init__(self, open_device: DeviceFactory, count: int = 1) -> None:
        if count < 1:
            raise ValueError(f"{count} devices cannot be shared")
        self._open = open_device
        self._count = count
        self._guard = threading.Lock()
        self._turnstiles: dict[tuple[str, str], list[Turnstile]] = {}
        self._opened: dict[tuple[str, str], int] = {}

    def __call__(self, processor: Processor, dram_bytes: int, options: RunOptions) -> Device:
        """Opens memory on the next device; what a session calls."""
        with self._guard:
            key = (processor.name, processor.identity)
            stiles = self._turnstiles.setdefault(key, [Turnstile() for _ in range(self._count)])
            number = self._opened.get(key, 0)
            self._opened[key] = number + 1
        return _Shared(self._open(processor, dram_bytes, options), stiles[number % self._count])


class _Shared:
    """A device of which only the launches are shared."""

    def __init__(self, device: Device, turnstile: Turnstile) -> None:
        self._device = device
        self._turnstile = turnstile

    @property
    def name(self) -> str:
        return self._device.name

    def write(self, address: int, data: bytes | Bytes) -> None:
        self._device.write(address, data)

    def read(self, address: int, size: int) -> Bytes:
        return self._device.read(address, size)

    def launch(self, program_address: int, program_bytes: int, registers: Sequence[int]) -> RunResult:
        with self._turnstile.turn():
            return self._device.launch(program_address, program_bytes, registers)

    def close(self) -> None:
        self._device.close()
