"""An executable on its devices: CPU parts loaded, memory planned, programs and constants written."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import numpy as np

from weft_runtime.devices import Device, DeviceFactory
from weft_runtime.dispatch import BUFFERS, Assignment, Dispatcher, Dispatching, Following, Phase, tasks_of
from weft_runtime.errors import SessionError
from weft_runtime.executable import Executable
from weft_runtime.host import HostProgram
from weft_runtime.inputs import split_samples
from weft_runtime.memory import DeviceMemoryPlan, plan_memory
from weft_runtime.profile import HostProfile, Profile, RegionProfile
from weft_runtime.request import FIRST, DeviceStep, HostStep, Request, Tensors
from weft_runtime.sharing import guarded
from weft_sim.result import RunOptions

__all__ = ["PlacedExecutable", "Tensors", "join"]

Progress = Callable[[int, int], None]


class PlacedExecutable:
    """An executable placed on devices of its own, `count` for each processor, each with `buffers` input/output areas.
    Raises ExecutableError, HostError or DeviceUnavailableError."""

    def __init__(
        self, executable: Executable, factory: DeviceFactory, options: RunOptions, count: int = 1, buffers: int = 1
    ) -> None:
        self.executable = executable
        self.tasks = tasks_of(executable)
        self.memory: DeviceMemoryPlan = plan_memory(executable, buffers)
        self.devices: list[Device] = []
        self._steps: list[DeviceStep | HostStep] = []
        programs = [HostProgram(graph) for graph in executable.host_graphs]
        try:
            for processor, size in zip(executable.processors, self.memory.processor_bytes, strict=True):
                for _ in range(count):
                    opened = factory(processor, size, options)
                    self.devices.append(opened if buffers == 1 else guarded(opened))
            self._steps = self._prepare(programs, count)
        except BaseException:
            self.close()
            raise
        self._expired = _expiry(executable)

    def run(self, arrays: Tensors, progress: Progress) -> tuple[Tensors, Profile]:
        """Outputs by name and what they cost, from inputs that `check_inputs` accepted; sample after sample."""
        start = time.perf_counter()
        parts = self.split(arrays)
        requests, results = [], []
        for part in parts:
            request = Request(dict(part))
            for index in range(len(self.tasks)):
                self.perform(Assignment(0, index, FIRST), request)
            results.append(self.outputs(part, request))
            request.forget()
            requests.append(request)
            progress(len(results), len(parts))
        return join(self.executable, results), self.measure(requests, time.perf_counter() - start)

    def split(self, arrays: Tensors) -> list[Tensors]:
        """The inputs of each sample."""
        return list(split_samples(arrays, self.executable.bound_inputs, self.executable.batch))

    def dispatcher(self, devices: int, following: Following) -> Dispatching:
        """Who gives the tasks of requests to so many devices of each processor."""
        return Dispatcher(self.tasks, devices, BUFFERS)

    def request(self, sample: Tensors) -> Request:
        """A request for one sample."""
        return Request(dict(sample))

    def perform(self, assignment: Assignment, request: Request) -> None:
        """One task of a request. Different requests may be performed on at the same time, in different slots."""
        task = self.tasks[assignment.task]
        self._steps[task.step].perform(task.phase, request, assignment.slot or FIRST)
        if task.phase in (Phase.HOST, Phase.UNPACK):  # the step's last one
            for name in self._expired[task.step]:
                del request.tensors[name]

    def outputs(self, inputs: Tensors, request: Request) -> Tensors:
        """What a finished request answers. An output that is an input unchanged must not alias the caller's array."""
        tensors = request.tensors
        return {
            each.name: copy(tensors[each.name]) if each.name in inputs else tensors[each.name]
            for each in self.executable.outputs
        }

    def close(self) -> None:
        """Releases the devices."""
        for device in self.devices:
            device.close()
        self.devices = []
        self._steps = []

    def measure(self, requests: Sequence[Request], wall_seconds: float) -> Profile:
        """What these finished requests have cost; figures are per request, regions those of the last one."""
        executable, samples = self.executable, max(1, len(requests))
        results = requests[-1].results if requests else {}
        seconds = [
            (graph.name, sum(each.host_seconds.get(index, 0.0) for each in requests) / samples)
            for index, graph in enumerate(executable.host_graphs)
        ]
        return Profile(
            device=",".join(dict.fromkeys(device.name for device in self.devices)),
            processors=executable.processors,
            samples=samples,
            cycles=round(sum(each.cycles for each in requests) / samples),
            macs=executable.macs,
            host_seconds=sum(each for _, each in seconds),
            wall_seconds=wall_seconds / samples,
            launches=float(sum(step.kind == "device" for step in executable.steps)),
            transfers=sum(each.transfers for each in requests) // samples,
            transfer_bytes=sum(each.transfer_bytes for each in requests) // samples,
            regions=tuple(
                RegionProfile(
                    executable.regions[step.index], executable.processors[region.processor], results[step.index]
                )
                for step in executable.steps
                if step.kind == "device" and step.index in results
                for region in (executable.regions[step.index],)
            ),
            host=tuple(HostProfile(*seconds[step.index]) for step in executable.steps if step.kind == "host"),
        )

    def _prepare(self, programs: list[HostProgram], count: int) -> list[DeviceStep | HostStep]:
        executable = self.executable
        steps: list[DeviceStep | HostStep] = []
        for step in executable.steps:
            if step.kind == "host":
                steps.append(HostStep(programs[step.index], step.index))
                continue
            region = executable.regions[step.index]
            own = self.devices[region.processor * count : (region.processor + 1) * count]
            steps.append(DeviceStep(own, region, step.index, self.memory.regions[step.index]))
        return steps


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


def join(executable: Executable, results: Sequence[Tensors]) -> Tensors:
    """The outputs of all samples, along their leading axes. Raises SessionError for those that cannot be joined."""
    return {each.name: _join(each.name, [result[each.name] for result in results]) for each in executable.outputs}


def _join(name: str, results: list[Any]) -> Any:
    if len(results) == 1:
        return results[0]
    if not all(isinstance(result, np.ndarray) for result in results):
        raise SessionError(f"output {name!r} is no tensor: run the samples one by one")
    try:
        return np.concatenate(results) if results[0].ndim else np.stack(results)
    except ValueError as error:
        raise SessionError(f"output {name!r} has another shape for each sample: run them one by one") from error
