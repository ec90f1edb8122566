"""A dynamic executable on its devices: the host reads decisions and launches regions; tensors stay on the device."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from weft_runtime.control import ControlFlow
from weft_runtime.devices import DeviceFactory
from weft_runtime.dispatch import Slot
from weft_runtime.errors import ExecutableError
from weft_runtime.executable import Executable
from weft_runtime.host import HostProgram
from weft_runtime.inputs import samples_of, split_samples
from weft_runtime.interpreter import Call, Collect, Course, Decision, Number, Read, Wish
from weft_runtime.opened import OpenedDevices
from weft_runtime.placed import join
from weft_runtime.profile import HostProfile, Profile, RegionProfile
from weft_runtime.request import FIRST
from weft_runtime.seat import Seat, Tasks, exhaust
from weft_runtime.values import Value
from weft_sim.result import RunOptions

__all__ = ["Guest", "PlacedControl", "constant"]

Tensors = dict[str, Any]
Path = tuple[Decision, ...]


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
        start = time.perf_counter()
        parts = self.split(arrays)
        seats: list[Seat] = []
        results, paths = [], []
        for part in parts:
            guest = self.guest(FIRST)
            outputs, path = exhaust(guest.tasks(part))
            for each in seats[-1:]:
                each.launched = []  # only those of the last sample are shown
            seats.append(guest.seat)
            results.append(outputs)
            paths.append(path)
            progress(len(results), len(parts))
        return join(self.executable, results), self.measure(seats, paths, len(parts), time.perf_counter() - start)

    def split(self, arrays: Tensors) -> list[Tensors]:
        """The inputs of each sample."""
        samples_of(arrays, self.executable.bound_inputs, self.executable.batch)
        return list(split_samples(arrays, self.executable.bound_inputs, self.executable.batch))

    def guest(self, slot: Slot) -> Guest:
        """Someone who takes one sample through the program, in that slot of the devices."""
        return Guest(self, slot, self._course.another())

    def measure(self, seats: Sequence[Seat], paths: Sequence[Path], samples: int, seconds: float) -> Profile:
        """What these seats' requests have cost: figures are per sample, regions those of the last seat."""
        processors = self.executable.processors
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
                for seat in seats[-1:] for region, result, together in seat.launched
            ),
            host=tuple(HostProfile(name, each / samples, runs[name] / samples) for name, each in spent.items()),
            paths=tuple(paths),
        )  # fmt: skip


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
