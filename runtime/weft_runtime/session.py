"""A session: an executable placed on a device, run with inputs by name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from weft_runtime import artifact
from weft_runtime.backend import device_backend
from weft_runtime.devices import Device, DeviceFactory
from weft_runtime.errors import DeviceUnavailableError, SessionError
from weft_runtime.executable import Executable, Processor, Region, TensorBinding
from weft_runtime.host import HostProgram
from weft_runtime.inputs import check_inputs, samples_of, split_samples
from weft_runtime.layout import Bytes, blank, pack_into, unpack
from weft_runtime.memory import DeviceMemoryPlan, RegionPlacement, plan_memory
from weft_runtime.profile import HostProfile, Profile, RegionProfile
from weft_runtime.validate import validate
from weft_sim.result import RunOptions, RunResult

__all__ = ["Session", "SupportsExecutable"]

Array = npt.NDArray[Any]
Tensors = dict[str, Array]


class SupportsExecutable(Protocol):
    """Anything that carries an executable, such as the compiler's answer."""

    @property
    def executable(self) -> Executable:
        """The compiled model."""
        ...


@dataclass
class _Costs:
    """What the samples of one run have cost so far."""

    cycles: int = 0
    transfers: int = 0
    transfer_bytes: int = 0


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

    def run(self, tensors: Tensors, costs: _Costs) -> None:
        for binding in self.region.inputs:
            self._send(binding, tensors[binding.name], costs)
        size = len(self.region.instructions)
        self.result = self._device.launch(self._placement.program, size, self._placement.registers)
        self.result.raise_on_fault(self.region.name, self.region.sources)
        costs.cycles += self.result.cycles
        for binding in self.region.outputs:
            tensors[binding.name] = self._receive(binding, costs)

    def _send(self, binding: TensorBinding, array: Array, costs: _Costs) -> None:
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
        costs.transfers += 1
        costs.transfer_bytes += buffer.size

    def _receive(self, binding: TensorBinding, costs: _Costs) -> Array:
        packed = self._device.read(self._placement.io + binding.offset, binding.layout.nbytes)
        costs.transfers += 1
        costs.transfer_bytes += packed.size
        return unpack(packed, binding.layout, binding.shape, binding.dtype)


class _HostStep:
    """A host graph, loaded, with the time it took in the current run."""

    def __init__(self, program: HostProgram) -> None:
        self.program = program
        self.seconds = 0.0

    def run(self, tensors: Tensors, costs: _Costs) -> None:
        start = time.perf_counter()
        tensors.update(self.program.run(tensors))
        self.seconds += time.perf_counter() - start


class Session:
    """A compiled model on a device; use it as a context manager, or call `close`.

    `source` is the path of an artifact, an Executable, or an object with an `executable`. `device` is a kind of
    device by name, or what opens devices, for every processor; processors whose backend has no device of that name
    run on their default one (at least one must have it). Opening loads the CPU parts, plans device memory and writes
    programs and constants once. Raises ArtifactError, ExecutableError, HostError or DeviceUnavailableError. A
    session belongs to one thread at a time.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Executable | SupportsExecutable,
        device: str | DeviceFactory = "sim",
        options: RunOptions = RunOptions(),
    ) -> None:
        self.executable = _resolve(source)
        self.memory: DeviceMemoryPlan = plan_memory(self.executable)
        self._profile: Profile | None = None
        self._devices: list[Device] = []
        self._open = True
        self._steps: list[_DeviceStep | _HostStep] = []
        programs = [HostProgram(graph) for graph in self.executable.host_graphs]
        factory = _factory(device, self.executable.processors) if isinstance(device, str) else device
        try:
            for processor, size in zip(self.executable.processors, self.memory.processor_bytes, strict=True):
                self._devices.append(factory(processor, size, options))
            self._steps = self._prepare(programs)
        except BaseException:
            self.close()
            raise
        self._expired = _expiry(self.executable)

    def run(
        self,
        inputs: Mapping[str, npt.ArrayLike],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> dict[str, Array]:
        """The model's outputs by name, as fresh arrays.

        Where each input's leading axis is k times the model's batch, its k samples run in turn and the
        results are concatenated along the leading axis (outputs without axes are stacked); `progress(done,
        k)` is called after each. Raises InputError naming the input at fault, DeviceFault naming region,
        instruction and ONNX node, HostError, or SessionError when closed.
        """
        if not self._open:
            raise SessionError("the session is closed; open a new one")
        start = time.perf_counter()
        executable = self.executable
        arrays = check_inputs(inputs, executable.inputs)
        samples = samples_of(arrays, executable.inputs, executable.batch)
        costs = _Costs()
        for step in self._steps:
            if isinstance(step, _HostStep):
                step.seconds = 0.0
        results = []
        for part in split_samples(arrays, executable.inputs, executable.batch):
            results.append(self._run_sample(part, costs))
            progress(len(results), samples)
        outputs = {
            name.name: _join(name.name, [result[name.name] for result in results]) for name in executable.outputs
        }
        self._profile = self._measure(costs, samples, time.perf_counter() - start)
        return outputs

    @property
    def profile(self) -> Profile:
        """What the last run cost. Raises SessionError before the first."""
        if self._profile is None:
            raise SessionError("nothing has run in this session yet: call run first")
        return self._profile

    def close(self) -> None:
        """Release the devices. Closing twice is allowed; the last profile stays readable."""
        for device in self._devices:
            device.close()
        self._open = False
        self._devices = []
        self._steps = []

    def __enter__(self) -> Self:
        if not self._open:
            raise SessionError("the session is closed; open a new one")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self, programs: list[HostProgram]) -> list[_DeviceStep | _HostStep]:
        return [
            self._place(step.index) if step.kind == "device" else _HostStep(programs[step.index])
            for step in self.executable.steps
        ]

    def _place(self, index: int) -> _DeviceStep:
        region = self.executable.regions[index]
        return _DeviceStep(self._devices[region.processor], region, self.memory.regions[index])

    def _run_sample(self, inputs: Tensors, costs: _Costs) -> Tensors:
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

    def _measure(self, costs: _Costs, samples: int, wall_seconds: float) -> Profile:
        hosts = [step for step in self._steps if isinstance(step, _HostStep)]
        regions = [step for step in self._steps if isinstance(step, _DeviceStep)]
        return Profile(
            device=",".join(dict.fromkeys(device.name for device in self._devices)),
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


def _factory(device: str, processors: Sequence[Processor]) -> DeviceFactory:
    """Opens devices of that kind, or the default one where a processor's backend has none of it."""
    backends = {processor.name: device_backend(processor.backend) for processor in processors}
    known = dict.fromkeys(name for backend in backends.values() for name in backend.device_names)
    if backends and device not in known:
        raise DeviceUnavailableError(f"unknown device {device!r}; known devices: {', '.join(known)}")

    def open_device(processor: Processor, dram_bytes: int, options: RunOptions) -> Device:
        backend = backends[processor.name]
        chosen = device if device in backend.device_names else backend.device_names[0]
        return backend.open_device(chosen, processor, dram_bytes, options)

    return open_device


def _resolve(source: str | os.PathLike[str] | Executable | SupportsExecutable) -> Executable:
    if isinstance(source, str | os.PathLike):
        return artifact.load(source)
    executable = source if isinstance(source, Executable) else source.executable
    validate(executable)
    return executable


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


def _join(name: str, results: list[Any]) -> Any:
    if len(results) == 1:
        return results[0]
    if not all(isinstance(result, np.ndarray) for result in results):
        raise SessionError(f"output {name!r} is no tensor: run the samples one by one")
    try:
        return np.concatenate(results) if results[0].ndim else np.stack(results)
    except ValueError as error:
        raise SessionError(f"output {name!r} has another shape for each sample: run them one by one") from error
