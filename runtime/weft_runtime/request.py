"""What the steps of an executable do for one request. Steps hold no state of a request, so that several requests can be
on their way at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from weft_runtime.devices import Device
from weft_runtime.dispatch import Phase, Slot
from weft_runtime.errors import SessionError
from weft_runtime.executable import Region, TensorBinding
from weft_runtime.host import HostProgram
from weft_runtime.layout import Bytes, blank, pack_into, unpack
from weft_runtime.memory import RegionPlacement
from weft_sim.result import RunResult

__all__ = ["FIRST", "DeviceStep", "HostStep", "Request", "Tensors"]

Array = npt.NDArray[Any]
Tensors = dict[str, Any]

FIRST = Slot(0, 0)
"""The slot of a request that has the devices for itself."""


@dataclass
class Request:
    """One sample on its way: its tensors by name, what arrived from a device and is still packed, and what it has cost
    so far."""

    tensors: Tensors
    packed: list[Bytes] = field(default_factory=list)
    cycles: int = 0
    transfers: int = 0
    transfer_bytes: int = 0
    host_seconds: dict[int, float] = field(default_factory=dict)
    results: dict[int, RunResult] = field(default_factory=dict)

    def count(self, size: int) -> None:
        """One transfer of so many bytes."""
        self.transfers += 1
        self.transfer_bytes += size

    def forget(self) -> None:
        """The request is answered: only what it has cost is still of use."""
        self.tensors = {}


class HostStep:
    """A host graph, loaded. ONNX Runtime's sessions may run in several threads at once."""

    def __init__(self, program: HostProgram, index: int) -> None:
        self.program = program
        self.index = index

    def perform(self, phase: Phase, request: Request, slot: Slot) -> None:
        start = time.perf_counter()
        request.tensors.update(self.program.run(request.tensors))
        request.host_seconds[self.index] = time.perf_counter() - start


class DeviceStep:
    """A region on each of a processor's devices, with buffers for every slot."""

    def __init__(self, devices: Sequence[Device], region: Region, index: int, placement: RegionPlacement) -> None:
        self.region = region
        self.index = index
        self._devices = devices
        self._placement = placement
        self._buffers = {
            Slot(device, buffer): {binding.offset: blank(binding.layout) for binding in region.inputs}
            for device in range(len(devices))
            for buffer in range(len(placement.areas))
        }
        for device in devices:
            device.write(placement.program, region.instructions)
            device.write(placement.constants, region.constants)

    def perform(self, phase: Phase, request: Request, slot: Slot) -> None:
        match phase:
            case Phase.PACK:
                self._pack(request, slot)
            case Phase.SEND:
                self._send(request, slot)
            case Phase.LAUNCH:
                self._launch(request, slot)
            case Phase.RECEIVE:
                self._receive(request, slot)
            case _:
                self._unpack(request)

    def _pack(self, request: Request, slot: Slot) -> None:
        for binding in self.region.inputs:
            array = request.tensors[binding.name]
            self._check(binding, array)
            pack_into(self._buffers[slot][binding.offset], array, binding.layout)

    def _check(self, binding: TensorBinding, array: Any) -> None:
        if not isinstance(array, np.ndarray):
            raise SessionError(f"region {self.region.name!r} takes {binding.name!r}, which is no tensor in this run")
        if array.dtype.name != binding.dtype or array.size != binding.layout.elements:
            raise SessionError(
                f"region {self.region.name!r} takes {binding.name!r} as {binding.dtype} "
                f"{list(binding.shape)}, but it is {array.dtype.name} {list(array.shape)} in this run"
            )

    def _send(self, request: Request, slot: Slot) -> None:
        for binding in self.region.inputs:
            buffer = self._buffers[slot][binding.offset]
            self._devices[slot.device].write(self._placement.areas[slot.buffer] + binding.offset, buffer)
            request.count(buffer.size)

    def _launch(self, request: Request, slot: Slot) -> None:
        size, registers = len(self.region.instructions), self._placement.registers_of(slot.buffer)
        result = self._devices[slot.device].launch(self._placement.program, size, registers)
        result.raise_on_fault(self.region.name, self.region.sources)
        request.results[self.index] = result
        request.cycles += result.cycles

    def _receive(self, request: Request, slot: Slot) -> None:
        device, area = self._devices[slot.device], self._placement.areas[slot.buffer]
        request.packed = [device.read(area + each.offset, each.layout.nbytes) for each in self.region.outputs]
        for packed in request.packed:
            request.count(packed.size)

    def _unpack(self, request: Request) -> None:
        for binding, packed in zip(self.region.outputs, request.packed, strict=True):
            request.tensors[binding.name] = unpack(packed, binding.layout, binding.shape, binding.dtype)
        request.packed = []
