"""What a request of a dynamic program does on the devices, piece by piece.

Everything that occupies the host, the bus or a device is a task of its own, announced before it is done: a generator
yields the task, and does it when it is resumed. So several requests can be on their way at once, and whoever resumes
them decides who goes first.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from weft_runtime.device_path import DevicePath, packed_number
from weft_runtime.devices import Device
from weft_runtime.dispatch import Phase, Slot, Task, Work
from weft_runtime.errors import DeviceError, SessionError
from weft_runtime.executable import REGISTER_IO, Executable, Region, TensorBinding
from weft_runtime.host import HostProgram
from weft_runtime.interpreter import Decision
from weft_runtime.layout import pack, unpack
from weft_runtime.memory import Pool
from weft_runtime.opened import Costs, OpenedDevices
from weft_runtime.steps import TensorSignature
from weft_runtime.values import DeviceCopy, Value, find_room, rounded
from weft_sim.result import RunResult

__all__ = ["NoRoomError", "Seat", "Tasks", "exhaust", "only_element"]

Answer = TypeVar("Answer")
Tasks = Generator[Task, None, Answer]
"""Tasks, and what they come to."""

Held = Callable[[], list[Value]]
"""The values that may still be needed."""

Note = Callable[[Decision], None]
"""Takes a decision of a region's program."""


class NoRoomError(DeviceError):
    """One launch needs more device memory than there is."""


def exhaust(tasks: Tasks[Answer]) -> Answer:
    """Does one task after the other."""
    while True:
        try:
            next(tasks)
        except StopIteration as end:
            answer: Answer = end.value
            return answer


def only_element(array: Any, name: str) -> int:
    """The only element of a value on the host. Raises SessionError where it has none or several."""
    if not isinstance(array, np.ndarray) or array.size != 1 or array.dtype.kind not in "biu":
        raise SessionError(
            f"{name!r}: a condition or number of iterations is not one element in this run; reduce it to one, and "
            "compile with batch 1 where each row shall decide for itself"
        )
    return int(array.reshape(-1)[0])


class Seat:
    """A place on the devices for one request at a time: a device of each processor and a part of its pool. A value
    stays where it was made, a region reads it in place where layout and processor agree, and the host gets it when a
    host graph, a decision or the caller asks."""

    def __init__(self, opened: OpenedDevices, hosts: Sequence[HostProgram], slot: Slot, held: Held) -> None:
        self.costs = Costs()
        self.seconds: dict[str, float] = {}
        self.runs: Counter[str] = Counter()
        self.launched: list[tuple[Region, RunResult, int]] = []
        self.worked: list[Work] = []
        self._opened, self._hosts, self._slot, self._held_outside = opened, hosts, slot, held
        self._executable: Executable = opened.executable
        self._local: dict[str, Value] = {}

    def reset(self) -> None:
        """Forgets what the requests before have cost."""
        self.costs, self.seconds, self.runs, self.launched, self.worked = Costs(), {}, Counter(), [], []

    def call(self, network: int, inputs: Sequence[Value], note: Note) -> Tasks[list[Value]]:
        """Runs a sub-network's steps."""
        assert self._executable.control is not None
        called = self._executable.control.networks[network]
        self._local = dict(zip(called.inputs, inputs, strict=True))
        try:
            for step in called.steps:
                if step.kind == "host":
                    yield from self._run_host(step.index)
                else:
                    yield from self._run_region(step.index, note)
            return [self._local[name] for name in called.outputs]
        finally:
            self._local = {}

    def scalar(self, value: Value, name: str) -> Tasks[int]:
        """The only element of the value of that name. Raises SessionError where it has none or several."""
        array = yield from self.array(value)
        return only_element(array, name)

    def stack(self, slices: Sequence[Value], each: TensorSignature) -> Tasks[Value]:
        """The slices on the host. Raises SessionError where they have different shapes."""
        arrays = []
        for value in slices:
            arrays.append((yield from self.array(value)))
        if not arrays:
            shape = tuple(extent if isinstance(extent, int) else 0 for extent in each.shape)
            return Value(np.zeros((0, *shape), each.dtype), True)
        if len({array.shape for array in arrays}) > 1:
            raise SessionError(f"{each.name!r}: the slices of its iterations have different shapes")
        return Value(np.stack(arrays), True)

    def array(self, value: Value) -> Tasks[Any]:
        """The host's copy, fetched where it has none; of a tensor of one element only that element."""
        if not value.on_host:
            copy = value.copies[0]
            layout = copy.layout
            if layout.elements == 1:
                top, left, _, _ = layout.pads
                place = (top * layout.packed_shape[3] + left) * layout.block
                packed = yield from self._receive(copy.processor, copy.address + place, 1)
                value.array = packed.view(copy.dtype).reshape(copy.shape)
            else:
                value.array = yield from self.fetch(copy)
            value.on_host = True
        return value.array

    def fetch(self, copy: DeviceCopy) -> Tasks[Any]:
        """A tensor from device memory, as it lies there."""
        packed = yield from self._receive(copy.processor, copy.address, copy.layout.nbytes)
        return unpack(packed, copy.layout, copy.shape, copy.dtype)

    def _receive(self, processor: int, address: int, size: int) -> Tasks[Any]:
        yield (task := Task(-1, Phase.RECEIVE, -1, processor))
        packed = self._device(processor).read(address, size)
        self.costs.count(size)
        self.worked.append(Work(task, size))
        yield (task := Task(-1, Phase.UNPACK, -1, processor))
        self.worked.append(Work(task, size))
        return packed

    def _send(self, processor: int, region: int, address: int, array: Any, binding: TensorBinding) -> Tasks[None]:
        yield (task := Task(-1, Phase.PACK, region, processor))
        packed = pack(array, binding.layout)
        self.worked.append(Work(task, packed.size))
        yield (task := Task(-1, Phase.SEND, region, processor))
        self._device(processor).write(address, packed)
        self.costs.count(packed.size)
        self.worked.append(Work(task, packed.size))

    def _device(self, processor: int) -> Device:
        return self._opened.device(processor, self._slot.device)

    def _pool(self, processor: int) -> Pool:
        return self._opened.memory.pools[processor].of(self._slot.buffer)

    def _run_host(self, index: int) -> Tasks[None]:
        program = self._hosts[index]
        feeds = {}
        for name in program.graph.inputs:
            feeds[name] = yield from self.array(self._local[name])
        yield (task := Task(index, Phase.HOST))
        start = time.perf_counter()
        results = program.run(feeds)
        name = program.graph.name
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
        self.runs[name] += 1
        self.worked.append(Work(task))
        self._local.update({name: Value(array, True) for name, array in results.items()})

    def _run_region(self, index: int, note: Note) -> Tasks[None]:
        region, placement = self._executable.regions[index], self._opened.memory.regions[index]
        registers = list(placement.registers_of(self._slot.buffer))
        area = registers[REGISTER_IO]
        taken: list[DeviceCopy] = []
        for binding in region.inputs:
            taken.append((yield from self._supply(index, binding, registers, area, taken)))
        made: list[DeviceCopy] = []
        bound = {binding.register for binding in region.inputs}
        for binding in region.outputs:
            copy = yield from self._output(region, binding, registers, area, bound, (*taken, *made))
            bound.add(binding.register)
            made.append(copy)
        packed = yield from self._numbers(region)
        yield (task := Task(-1, Phase.LAUNCH, index, region.processor))
        numbers = self._send_numbers(region, placement.workspace, packed)
        device = self._device(region.processor)
        result = device.launch(placement.program, len(region.instructions), registers)
        result.raise_on_fault(region.name, region.sources)
        self.costs.cycles += result.cycles
        self.costs.launches += 1
        self.launched.append((region, result, 1))
        self.worked.append(Work(task, 0, result.cycles))
        parts = self._follow(region, placement.workspace, result, numbers, note)
        for binding, copy in zip(region.outputs, made, strict=True):
            value = Value(copies=[copy])
            if binding.register == REGISTER_IO:  # the next launch of this region writes there again
                yield from self.array(value)
                value.copies = []
            if binding.name in parts:
                value = _shortened(copy, parts[binding.name])
            self._local[binding.name] = value

    def _numbers(self, region: Region) -> Tasks[dict[str, tuple[int, Any]]]:
        """Numbers that a program takes by value, as it gets them, and their bytes."""
        found: dict[str, tuple[int, Any]] = {}
        for number in region.numbers:
            value = yield from self.scalar(self._local[number.name], number.name)
            found[f"{number.offset} {number.name}"] = packed_number(value, number.most)
        return found

    def _send_numbers(self, region: Region, workspace: int, packed: dict[str, tuple[int, Any]]) -> dict[str, int]:
        """Sends them; requests share the workspace, so this happens while the device is this one's."""
        given: dict[str, int] = {}
        for number in region.numbers:
            bounded, content = packed[f"{number.offset} {number.name}"]
            self._device(region.processor).write(workspace + number.offset, content)
            self.costs.count(content.size)
            self.worked.append(Work(Task(-1, Phase.SEND, -1, region.processor), content.size))
            given[number.name] = max(bounded, given.get(number.name, 0))
        return given

    def _follow(
        self, region: Region, workspace: int, result: RunResult, numbers: dict[str, int], note: Note
    ) -> dict[str, int]:
        """The way that a program took by itself becomes part of the path. Of outputs that may be short, the parts."""

        def read(offset: int, size: int) -> Any:
            self.costs.count(size)
            self.worked.append(Work(Task(-1, Phase.RECEIVE, -1, region.processor), size))
            return self._device(region.processor).read(workspace + offset, size)

        found = DevicePath(region, result.mailboxes, numbers, read)
        self.costs.macs += found.macs
        for decision in found.decisions:
            note(decision)
        for name in region.tallies:
            self._local[name] = Value(np.asarray(found.tallies[name], np.int64), True)
        return found.parts

    def _supply(
        self, index: int, binding: TensorBinding, registers: list[int], area: int, taken: Sequence[DeviceCopy]
    ) -> Tasks[DeviceCopy]:
        """An input where the region will look for it: in place, or sent now."""
        region, value = self._executable.regions[index], self._local[binding.name]
        resident = binding.register != REGISTER_IO
        copy = value.copy_for(region.processor, binding) if resident else None
        if copy is None:
            array = yield from self.array(value)
            _check_array(region, binding, array)
            room = self._room(region.processor, binding, taken)
            address = (yield from room) if resident else area + binding.offset
            yield from self._send(region.processor, index, address, array, binding)
            copy = DeviceCopy(region.processor, address, binding.layout, binding.shape, binding.dtype)
            if resident:
                value.copies.append(copy)
        if resident:
            registers[binding.register] = copy.address
        return copy

    def _output(
        self,
        region: Region,
        binding: TensorBinding,
        registers: list[int],
        area: int,
        bound: set[int],
        taken: Sequence[DeviceCopy],
    ) -> Tasks[DeviceCopy]:
        """Where an output will lie: on the tensor that it is a view of (an input or another output, whose register is
        bound by then), in a new buffer, or in the region's area."""
        if binding.register == REGISTER_IO:
            address = area + binding.offset
        elif binding.register in bound:
            address = registers[binding.register]
        else:
            address = registers[binding.register] = yield from self._room(region.processor, binding, taken)
        return DeviceCopy(region.processor, address, binding.layout, binding.shape, binding.dtype)

    def _room(self, processor: int, binding: TensorBinding, pinned: Sequence[DeviceCopy]) -> Tasks[int]:
        """An address for a tensor. Where the pool is full, values that this launch does not use go to the host. Raises
        NoRoomError where that is not enough."""
        pool, size = self._pool(processor), rounded(binding.layout.nbytes)
        used = [(copy.address, copy.layout.nbytes) for copy in pinned]
        kept = [value for value in self._held() if any(copy.processor == processor for copy in value.copies)]
        while True:
            held = [(copy.address, copy.layout.nbytes) for value in kept for copy in value.copies]
            address = find_room(pool, size, [each for each in (*used, *held) if _within(pool, each)])
            if address is not None:
                return address
            if not kept:
                raise NoRoomError(f"no {size} bytes of device memory are left for {binding.name!r}")
            evicted = kept.pop()
            yield from self.array(evicted)
            evicted.copies = [copy for copy in evicted.copies if copy in pinned]
            used += [(copy.address, copy.layout.nbytes) for copy in evicted.copies]

    def _held(self) -> list[Value]:
        return list(dict.fromkeys([*self._held_outside(), *self._local.values()]))


def _shortened(copy: DeviceCopy, parts: int) -> Value:
    """The first so many parts of an output along its leading axis."""
    if parts == 0:
        return Value(np.zeros((0, *copy.shape[1:]), copy.dtype), True)
    samples, *extents = copy.layout.view
    view = (samples // copy.shape[0] * parts, extents[0], extents[1], extents[2])
    return Value(copies=[replace(copy, layout=replace(copy.layout, view=view), shape=(parts, *copy.shape[1:]))])


def _within(pool: Pool, buffer: tuple[int, int]) -> bool:
    return pool.start <= buffer[0] < pool.start + pool.size


def _check_array(region: Region, binding: TensorBinding, array: Any) -> None:
    if not isinstance(array, np.ndarray):
        raise SessionError(f"region {region.name!r} takes {binding.name!r}, which is no tensor in this run")
    if array.dtype.name != binding.dtype or array.size != binding.layout.elements:
        raise SessionError(
            f"region {region.name!r} takes {binding.name!r} as {binding.dtype} "
            f"{list(binding.shape)}, but it is {array.dtype.name} {list(array.shape)} in this run"
        )
