"""An executable on its devices: CPU parts loaded, memory planned, programs and constants written."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from weft_runtime.devices import Device, DeviceFactory
from weft_runtime.errors import SessionError
from weft_runtime.executable import Executable, Region, TensorBinding
from weft_runtime.host import HostProgram
from weft_runtime.inputs import samples_of, split_samples
from weft_runtime.layout import Bytes, blank, pack_into, unpack
from weft_runtime.memory import RegionPlacement
from weft_runtime.opened import Costs, OpenedDevices, join_samples
from weft_runtime.profile import HostProfile, Profile, RegionProfile
from weft_sim.result import RunOptions, RunResult

__all__ = ["PlacedExecutable", "Tensors"]

Array = npt.NDArray[Any]
Tensors = dict[str, Array]
Progress = Callable[[int, int], None]


class _DeviceStep:
    """A region placed on the device, with its transfers planned and their buffers ready."""

    def __init__(self, device: Device, region: Region, placement: RegionPlacement) -> None:
        self.region = region
        self._device = device
        self._placement = placement
        self._buffers: dict[int, Bytes] = {binding.offset: blank(binding.layout) for binding in region.inputs}
        self.result: RunResult | None = None
        device.write(placement.program, region.instructions)
        device.write(placement.constants, region.constants)

    def run(self, tensors: Tensors, costs: Costs) -> None:
        for binding in self.region.inputs:
            self._send(binding, tensors[binding.name], costs)
        size = len(self.region.instructions)
        self.result = self._device.launch(self._placement.program, size, self._placement.registers)
        self.result.raise_on_fault(self.region.name, self.region.sources)
        costs.cycles += self.result.cycles
        for binding in self.region.outputs:
            tensors[binding.name] = self._receive(binding, costs)

    def _send(self, binding: TensorBinding, array: Array, costs: Costs) -> None:
        if not isinstance(array, np.ndarray):
            raise SessionError(f"region {self.region.name!r} takes {binding.name!r}, which is no tensor in this run")
        if array.dtype.name != binding.dtype or array.size != binding.layout.elements:
            raise SessionError(
                f"region {self.region.name!r} takes {binding.name!r} as {binding.dtype} "
                f"{list(binding.shape)}, but it is {array.dtype.name} {list(array.shape)} in this run"
            )
        buffer = self._buffers[binding.offset]
        pack_into(buffer, array, binding.layout)
        self._device.write(self._placement.io + binding.offset, buffer)
        costs.count(buffer.size)

    def _receive(self, binding: TensorBinding, costs: Costs) -> Array:
        packed = self._device.read(self._placement.io + binding.offset, binding.layout.nbytes)
        costs.count(packed.size)
        return unpack(packed, binding.layout, binding.shape, binding.dtype)


class _HostStep:
    """A host graph, loaded, with the time it took in the current run."""

    def __init__(self, program: HostProgram) -> None:
        self.program = program
        self.seconds = 0.0

    def run(self, tensors: Tensors, costs: Costs) -> None:
        start = time.perf_counter()
        tensors.update(self.program.run(tensors))
        self.seconds += time.perf_counter() - start


class PlacedExecutable(OpenedDevices):
    """An executable placed on devices of its own, one for each processor. Raises ExecutableError, HostError or
    DeviceUnavailableError."""

    def __init__(self, executable: Executable, factory: DeviceFactory, options: RunOptions) -> None:
        self._steps: list[_DeviceStep | _HostStep] = []
        programs = [HostProgram(graph) for graph in executable.host_graphs]
        super().__init__(executable, factory, options)
        try:
            self._steps = self._prepare(programs)
        except BaseException:
            self.close()
            raise
        self._expired = _expiry(executable)

    def run(self, arrays: Tensors, progress: Progress) -> tuple[Tensors, Profile]:
        """Outputs by name and what they cost, from inputs that `check_inputs` accepted; sample after sample."""
        start = time.perf_counter()
        executable = self.executable
        samples = samples_of(arrays, executable.bound_inputs, executable.batch)
        costs = Costs()
        for step in self._steps:
            if isinstance(step, _HostStep):
                step.seconds = 0.0
        results = []
        for part in split_samples(arrays, executable.bound_inputs, executable.batch):
            results.append(self._run_sample(part, costs))
            progress(len(results), samples)
        outputs = {
            name.name: join_samples(name.name, [result[name.name] for result in results]) for name in executable.outputs
        }
        return outputs, self._measure(costs, samples, time.perf_counter() - start)

    def close(self) -> None:
        """Releases the devices."""
        super().close()
        self._steps = []

    def _prepare(self, programs: list[HostProgram]) -> list[_DeviceStep | _HostStep]:
        return [
            self._place(step.index) if step.kind == "device" else _HostStep(programs[step.index])
            for step in self.executable.steps
        ]

    def _place(self, index: int) -> _DeviceStep:
        region = self.executable.regions[index]
        return _DeviceStep(self.devices[region.processor], region, self.memory.regions[index])

    def _run_sample(self, inputs: Tensors, costs: Costs) -> Tensors:
        tensors = dict(inputs)
        for step, expired in zip(self._steps, self._expired, strict=True):
            step.run(tensors, costs)
            for name in expired:
                del tensors[name]
        # An output that is an input unchanged must not alias the caller's array.
        return {
            signature.name: copy(tensors[signature.name]) if signature.name in inputs else tensors[signature.name]
            for signature in self.executable.outputs
        }

    def _measure(self, costs: Costs, samples: int, wall_seconds: float) -> Profile:
        hosts = [step for step in self._steps if isinstance(step, _HostStep)]
        regions = [step for step in self._steps if isinstance(step, _DeviceStep)]
        return Profile(
            device=",".join(dict.fromkeys(device.name for device in self.devices)),
            processors=self.executable.processors,
            samples=samples,
            cycles=round(costs.cycles / samples),
            macs=self.executable.macs,
            host_seconds=sum(step.seconds for step in hosts) / samples,
            wall_seconds=wall_seconds / samples,
            transfers=costs.transfers // samples,
            transfer_bytes=costs.transfer_bytes // samples,
            regions=tuple(
                RegionProfile(step.region, self.executable.processors[step.region.processor], step.result)
                for step in regions
                if step.result is not None
            ),
            host=tuple(HostProfile(step.program.graph.name, step.seconds / samples) for step in hosts),
        )


def _expiry(executable: Executable) -> list[list[str]]:
    """For each step, the tensors that nothing needs after it."""
    last: dict[str, int] = {}
    for position, step in enumerate(executable.steps):
        if step.kind == "device":
            region = executable.regions[step.index]
            names = [binding.name for binding in (*region.inputs, *region.outputs)]
        else:
            graph = executable.host_graphs[step.index]
            names = [*graph.inputs, *graph.outputs]
        last.update(dict.fromkeys(names, position))
    kept = {signature.name for signature in executable.outputs}
    expired: list[list[str]] = [[] for _ in executable.steps]
    for name, position in last.items():
        if name not in kept:
            expired[position].append(name)
    return expired
