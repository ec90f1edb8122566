"""A dynamic executable on its devices: the host reads decisions and launches regions; tensors stay on the device."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from weft_runtime.control import ControlFlow
from weft_runtime.device_path import DevicePath, packed_number
from weft_runtime.devices import DeviceFactory
from weft_runtime.errors import DeviceError, ExecutableError, SessionError
from weft_runtime.executable import REGISTER_IO, Executable, Region, TensorBinding
from weft_runtime.host import HostProgram
from weft_runtime.inputs import samples_of, split_samples
from weft_runtime.interpreter import Decision, Interpreter
from weft_runtime.layout import pack, unpack
from weft_runtime.memory import Pool
from weft_runtime.opened import Costs, OpenedDevices
from weft_runtime.placed import join
from weft_runtime.profile import HostProfile, Profile, RegionProfile
from weft_runtime.steps import TensorSignature
from weft_runtime.values import DeviceCopy, Value, find_room, rounded
from weft_sim.result import RunOptions, RunResult

__all__ = ["PlacedControl"]

Tensors = dict[str, Any]


class PlacedControl(OpenedDevices):
    """An executable with control flow on devices of its own, one for each processor.

    It is the machine behind the interpreter: a value stays where it was made, a region reads it in place where layout
    and processor agree, and the host gets it when a host graph, a decision or the caller asks. Raises ExecutableError,
    HostError or DeviceUnavailableError.
    """

    def __init__(self, executable: Executable, factory: DeviceFactory, options: RunOptions) -> None:
        if executable.control is None:
            raise ExecutableError("the executable has no control flow")
        self._hosts = [HostProgram(graph) for graph in executable.host_graphs]
        super().__init__(executable, factory, options)
        self._control: ControlFlow = executable.control
        self._interpreter: Interpreter[Value] = Interpreter(self._control.body, self)
        self._costs = Costs()
        self._seconds: dict[str, float] = {}
        self._runs: Counter[str] = Counter()
        self._launched: list[tuple[Region, RunResult]] = []
        self._macs = 0
        self._local: dict[str, Value] = {}
        try:
            for region, placement in zip(executable.regions, self.memory.regions, strict=True):
                self.devices[region.processor].write(placement.program, region.instructions)
                self.devices[region.processor].write(placement.constants, region.constants)
        except BaseException:
            self.close()
            raise

    def run(self, arrays: Tensors, progress: Any) -> tuple[Tensors, Profile]:
        """Outputs by name and what they cost; every sample takes its own path."""
        start = time.perf_counter()
        executable = self.executable
        samples = samples_of(arrays, executable.bound_inputs, executable.batch)
        self._costs, self._seconds, self._runs, self._macs = Costs(), {}, Counter(), 0
        results, paths = [], []
        for part in split_samples(arrays, executable.bound_inputs, executable.batch):
            self._launched = []
            outputs, path = self._run_sample(part)
            results.append(outputs)
            paths.append(path)
            progress(len(results), samples)
        return join(executable, results), self._measure(samples, time.perf_counter() - start, tuple(paths))

    def _run_sample(self, inputs: Tensors) -> tuple[Tensors, tuple[Decision, ...]]:
        values, path = self._interpreter.run({name: Value(array, True) for name, array in inputs.items()})
        given = {id(array) for array in inputs.values()}
        outputs = {}
        for signature, value in zip(self.executable.outputs, values, strict=True):
            array = self._array(value)
            # An output that is an input unchanged must not alias the caller's array.
            outputs[signature.name] = array.copy() if id(array) in given else array
        return outputs, path

    def launch(self, network: int, inputs: Sequence[Value]) -> list[Value]:
        """Runs a sub-network's steps."""
        called = self._control.networks[network]
        self._local = dict(zip(called.inputs, inputs, strict=True))
        for step in called.steps:
            if step.kind == "host":
                self._run_host(self._hosts[step.index])
            else:
                self._run_region(step.index)
        self._macs += called.macs
        outputs = [self._local[name] for name in called.outputs]
        self._local = {}
        return outputs

    def scalar(self, value: Value) -> int:
        """The value's only element. Raises SessionError where it has none or several."""
        array = self._array(value)
        if not isinstance(array, np.ndarray) or array.size != 1 or array.dtype.kind not in "biu":
            raise SessionError(
                "a condition or number of iterations is not one element in this run; reduce it to one, and compile "
                "with batch 1 where each row shall decide for itself"
            )
        return int(array.reshape(-1)[0])

    def constant(self, number: int | bool, rank: int) -> Value:
        """An int64 or bool array with so many axes."""
        array: Any = np.asarray(number, np.bool_ if isinstance(number, bool) else np.int64)
        return Value(array.reshape((1,) * rank), True)

    def stack(self, slices: Sequence[Value], each: TensorSignature) -> Value:
        """The slices on the host. Raises SessionError where they have different shapes."""
        arrays = [self._array(value) for value in slices]
        if not arrays:
            shape = tuple(extent if isinstance(extent, int) else 0 for extent in each.shape)
            return Value(np.zeros((0, *shape), each.dtype), True)
        if len({array.shape for array in arrays}) > 1:
            raise SessionError(f"{each.name!r}: the slices of its iterations have different shapes")
        return Value(np.stack(arrays), True)

    def _run_host(self, program: HostProgram) -> None:
        feeds = {name: self._array(self._local[name]) for name in program.graph.inputs}
        start = time.perf_counter()
        results = program.run(feeds)
        name = program.graph.name
        self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start
        self._runs[name] += 1
        self._local.update({name: Value(array, True) for name, array in results.items()})

    def _run_region(self, index: int) -> None:
        region, placement = self.executable.regions[index], self.memory.regions[index]
        registers = list(placement.registers)
        taken: list[DeviceCopy] = []
        for binding in region.inputs:
            taken.append(self._supply(region, binding, registers, placement.io, taken))
        made: list[DeviceCopy] = []
        bound = {binding.register for binding in region.inputs}
        for binding in region.outputs:
            copy = self._output(region, binding, registers, placement.io, bound, taken)
            bound.add(binding.register)
            taken.append(copy)
            made.append(copy)
        numbers = self._send_numbers(region, placement.workspace)
        device = self.devices[region.processor]
        result = device.launch(placement.program, len(region.instructions), registers)
        result.raise_on_fault(region.name, region.sources)
        self._costs.cycles += result.cycles
        self._launched.append((region, result))
        parts = self._follow(region, placement.workspace, result, numbers)
        for binding, copy in zip(region.outputs, made, strict=True):
            value = Value(copies=[copy])
            if binding.name in parts:
                value = _shortened(copy, parts[binding.name])
            if binding.register == REGISTER_IO:  # the next launch of this region writes there again
                self._array(value)
                value.copies = []
            self._local[binding.name] = value

    def _send_numbers(self, region: Region, workspace: int) -> dict[str, int]:
        """Numbers that a program takes by value, sent; as the program gets them."""
        given: dict[str, int] = {}
        for number in region.numbers:
            value = self.scalar(self._local[number.name])
            bounded, packed = packed_number(value, number.most)
            self.devices[region.processor].write(workspace + number.offset, packed)
            self._costs.count(packed.size)
            given[number.name] = max(bounded, given.get(number.name, 0))
        return given

    def _follow(self, region: Region, workspace: int, result: RunResult, numbers: dict[str, int]) -> dict[str, int]:
        """The way that a program took by itself becomes part of the path. Of outputs that may be short, the parts."""

        def read(offset: int, size: int) -> Any:
            self._costs.count(size)
            return self.devices[region.processor].read(workspace + offset, size)

        found = DevicePath(region, result.mailboxes, numbers, read)
        self._macs += found.macs
        for decision in found.decisions:
            self._interpreter.note(decision)
        for name in region.tallies:
            self._local[name] = self.constant(found.tallies[name], 0)
        return found.parts

    def _supply(
        self, region: Region, binding: TensorBinding, registers: list[int], area: int, taken: Sequence[DeviceCopy]
    ) -> DeviceCopy:
        """An input where the region will look for it: in place, or sent now."""
        value = self._local[binding.name]
        resident = binding.register != REGISTER_IO
        copy = value.copy_for(region.processor, binding) if resident else None
        if copy is None:
            array = self._array(value)
            _check_array(region, binding, array)
            address = self._room(region.processor, binding, taken) if resident else area + binding.offset
            packed = pack(array, binding.layout)
            self.devices[region.processor].write(address, packed)
            self._costs.count(packed.size)
            copy = DeviceCopy(region.processor, address, binding.layout, binding.shape, binding.dtype)
            if resident:
                value.copies.append(copy)
        if resident:
            registers[binding.register] = copy.address
        return copy

    def _output(
        self, region: Region, binding: TensorBinding, registers: list[int], area: int, bound: set[int],
        taken: Sequence[DeviceCopy],
    ) -> DeviceCopy:  # fmt: skip
        """Where an output will lie: on the tensor that it is a view of (an input or another output, whose register is
        bound by then), in a new buffer, or in the region's area.
        """
        if binding.register == REGISTER_IO:
            address = area + binding.offset
        elif binding.register in bound:
            address = registers[binding.register]
        else:
            address = registers[binding.register] = self._room(region.processor, binding, taken)
        return DeviceCopy(region.processor, address, binding.layout, binding.shape, binding.dtype)

    def _room(self, processor: int, binding: TensorBinding, pinned: Sequence[DeviceCopy]) -> int:
        """An address for a tensor. Where the pool is full, values that this launch does not use go to the host."""
        pool, size = self.memory.pools[processor], rounded(binding.layout.nbytes)
        used = [(copy.address, copy.layout.nbytes) for copy in pinned]
        kept = [value for value in self._held() if any(copy.processor == processor for copy in value.copies)]
        while True:
            held = [(copy.address, copy.layout.nbytes) for value in kept for copy in value.copies]
            address = find_room(pool, size, [each for each in (*used, *held) if _within(pool, each)])
            if address is not None:
                return address
            if not kept:
                raise DeviceError(f"no {size} bytes of device memory are left for {binding.name!r}")
            evicted = kept.pop()
            self._array(evicted)
            evicted.copies = [copy for copy in evicted.copies if copy in pinned]
            used += [(copy.address, copy.layout.nbytes) for copy in evicted.copies]

    def _held(self) -> list[Value]:
        return list(dict.fromkeys([*self._interpreter.held, *self._local.values()]))

    def _array(self, value: Value) -> Any:
        """The host's copy, fetched where it has none; of a tensor of one element only that element."""
        if not value.on_host:
            copy = value.copies[0]
            layout, device = copy.layout, self.devices[copy.processor]
            if layout.elements == 1:
                top, left, _, _ = layout.pads
                place = (top * layout.packed_shape[3] + left) * layout.block
                packed = device.read(copy.address + place, 1)
                value.array = packed.view(copy.dtype).reshape(copy.shape)
            else:
                packed = device.read(copy.address, layout.nbytes)
                value.array = unpack(packed, layout, copy.shape, copy.dtype)
            self._costs.count(packed.size)
            value.on_host = True
        return value.array

    def _measure(self, samples: int, seconds: float, paths: tuple[tuple[Decision, ...], ...]) -> Profile:
        costs, processors = self._costs, self.executable.processors
        return Profile(
            device=",".join(dict.fromkeys(device.name for device in self.devices)),
            processors=processors,
            samples=samples,
            cycles=round(costs.cycles / samples),
            macs=round(self._macs / samples),
            host_seconds=sum(self._seconds.values()) / samples,
            wall_seconds=seconds / samples,
            transfers=round(costs.transfers / samples),
            transfer_bytes=round(costs.transfer_bytes / samples),
            regions=tuple(
                RegionProfile(region, processors[region.processor], result) for region, result in self._launched
            ),
            host=tuple(
                HostProfile(name, spent / samples, self._runs[name] / samples) for name, spent in self._seconds.items()
            ),
            paths=paths,
        )


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
