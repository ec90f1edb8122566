"""A dynamic executable on its devices: the host reads decisions and launches regions; tensors stay on the device."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from weft_runtime.control import ControlFlow
from weft_runtime.course_request import CourseRequest, Path, Tensors
from weft_runtime.devices import DeviceFactory
from weft_runtime.dispatch import Assignment, CourseDispatcher, Dispatching, Following, Slot, Work
from weft_runtime.errors import ExecutableError
from weft_runtime.executable import Executable
from weft_runtime.host import HostProgram
from weft_runtime.inputs import split_samples
from weft_runtime.interpreter import Call, Collect, Course, Number, Read, Wish
from weft_runtime.opened import OpenedDevices
from weft_runtime.placed import join
from weft_runtime.profile import HostProfile, Profile, RegionProfile
from weft_runtime.request import FIRST
from weft_runtime.seat import Seat, Tasks
from weft_runtime.values import Value
from weft_sim.result import RunOptions

__all__ = ["PlacedControl", "constant"]


class PlacedControl(OpenedDevices):
    """An executable with control flow on devices of its own, `count` for each processor, each with room for `buffers`
    requests at once. Raises ExecutableError, HostError or DeviceUnavailableError."""

    def __init__(
        self, executable: Executable, factory: DeviceFactory, options: RunOptions, count: int = 1, buffers: int = 1
    ) -> None:
        if executable.control is None:
            raise ExecutableError("the executable has no control flow")
        self.hosts = [HostProgram(graph) for graph in executable.host_graphs]
        super().__init__(executable, factory, options, count, buffers)
        self.buffers = buffers
        self.control: ControlFlow = executable.control
        self._course: Course[Value] = Course(self.control.body)
        try:
            for region, placement in zip(executable.regions, self.memory.regions, strict=True):
                for number in range(count):
                    self.device(region.processor, number).write(placement.program, region.instructions)
                    self.device(region.processor, number).write(placement.constants, region.constants)
        except BaseException:
            self.close()
            raise

    def run(self, arrays: Tensors, progress: Any) -> tuple[Tensors, Profile]:
        """Outputs by name and what they cost; every sample takes its own path."""
        start, parts = time.perf_counter(), self.split(arrays)
        requests: list[CourseRequest] = []
        results: list[Tensors] = []
        for part in parts:
            request = self.request(part)
            while request.pending is not None:
                self.perform(Assignment(0, 0, FIRST), request)
            results.append(request.outputs)
            request.forget()
            for each in requests[-1:]:
                each.forget_launches()  # only those of the last sample are shown
            requests.append(request)
            progress(len(results), len(parts))
        return join(self.executable, results), self.measure(requests, time.perf_counter() - start)

    def split(self, arrays: Tensors) -> list[Tensors]:
        """The inputs of each sample."""
        return list(split_samples(arrays, self.executable.bound_inputs, self.executable.batch))

    def dispatcher(self, devices: int, following: Following) -> Dispatching:
        """Who gives the tasks of requests to so many devices of each processor."""
        processors = sorted({region.processor for region in self.executable.regions})
        return CourseDispatcher(processors, following, devices, self.buffers)

    def request(self, sample: Tensors) -> CourseRequest:
        """A request for one sample."""
        return CourseRequest(dict(sample))

    def perform(self, assignment: Assignment, request: CourseRequest) -> None:
        """A request's next task. Different requests may be performed on at the same time, in different slots."""
        if not request.begun:
            guest = Guest(self, assignment.slot or FIRST, self._course.another())
            request.begin(guest.seat, guest.tasks(request.inputs))
        request.go_on()

    def outputs(self, inputs: Tensors, request: CourseRequest) -> Tensors:
        """What a finished request answers."""
        return request.outputs

    def measure(self, requests: Sequence[CourseRequest], wall_seconds: float) -> Profile:
        """What these finished requests have cost; figures are per request, regions those of the last one."""
        seats = [each.seat for each in requests if each.seat is not None]
        works = tuple(seats[-1].worked) if seats else ()
        return self.sum_up(seats, [each.path for each in requests], wall_seconds, works)

    def sum_up(self, seats: Sequence[Seat], paths: Sequence[Path], seconds: float, works: tuple[Work, ...]) -> Profile:
        """What samples with these paths have cost at these seats; figures are per sample."""
        processors, samples = self.executable.processors, max(1, len(paths))
        spent, runs = Counter[str](), Counter[str]()
        for seat in seats:
            spent.update(seat.seconds)
            runs.update(seat.runs)

        def mean(figure: str) -> float:
            return float(sum(getattr(seat.costs, figure) for seat in seats)) / samples

        return Profile(
            device=",".join(dict.fromkeys(device.name for device in self.devices)),
            processors=processors,
            samples=samples,
            cycles=round(mean("cycles")),
            macs=round(mean("macs")),
            host_seconds=sum(spent.values()) / samples,
            wall_seconds=seconds / samples,
            launches=mean("launches"),
            transfers=round(mean("transfers")),
            transfer_bytes=round(mean("transfer_bytes")),
            regions=tuple(
                RegionProfile(region, processors[region.processor], result, together)
                for seat in seats[-1:]
                for region, result, together in seat.launched
            ),
            host=tuple(HostProfile(name, each / samples, runs[name] / samples) for name, each in spent.items()),
            paths=tuple(paths),
            works=works,
        )


class Guest:
    """One sample on its way through the program."""

    def __init__(self, placed: PlacedControl, slot: Slot, course: Course[Value]) -> None:
        self._placed, self._course = placed, course
        self.seat = Seat(placed, placed.hosts, slot, lambda: course.held)

    def tasks(self, inputs: Mapping[str, Any]) -> Tasks[tuple[Tensors, Path]]:
        """Everything that there is to do, then outputs by name and the path."""
        steps = self._course.steps({name: Value(array, True) for name, array in inputs.items()})
        answer: Any = None
        while True:
            try:
                wish = steps.send(answer)
            except StopIteration as end:
                results, path = end.value
                break
            answer = yield from self._answer(wish)
        given = {id(array) for array in inputs.values()}
        outputs = {}
        for signature, value in zip(self._placed.executable.outputs, results, strict=True):
            array = yield from self.seat.array(value)
            # An output that is an input unchanged must not alias the caller's array.
            outputs[signature.name] = array.copy() if id(array) in given else array
        return outputs, path

    def _answer(self, wish: Wish) -> Tasks[Any]:
        match wish:
            case Call():
                self.seat.costs.macs += self._placed.control.networks[wish.network].macs
                return (yield from self.seat.call(wish.network, wish.inputs, self._course.note))
            case Read():
                return (yield from self.seat.scalar(wish.value, wish.name))
            case Number():
                return constant(wish)
            case Collect():
                return (yield from self.seat.stack(wish.slices, wish.each))


def constant(wish: Number) -> Value:
    """An int64 or bool array with so many axes."""
    number = wish.number
    array: Any = np.asarray(number, np.bool_ if isinstance(number, bool) else np.int64)
    return Value(array.reshape((1,) * wish.rank), True)
