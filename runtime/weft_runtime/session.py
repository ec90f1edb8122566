"""A session: a compiled model on a device, run with inputs by name."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from types import TracebackType
from typing import Any, Protocol, Self

import numpy.typing as npt

from weft_runtime import artifact
from weft_runtime.backend import device_backend
from weft_runtime.devices import Device, DeviceFactory
from weft_runtime.dispatch import BUFFERS
from weft_runtime.errors import DeviceUnavailableError, SessionError
from weft_runtime.executable import Executable, Processor
from weft_runtime.inputs import check_inputs, samples_of
from weft_runtime.memory import DeviceMemoryPlan
from weft_runtime.pipeline import Answer, Pipeline, PipelineClosedError
from weft_runtime.placed import PlacedExecutable
from weft_runtime.placed_batches import PlacedBatches
from weft_runtime.placed_control import PlacedControl
from weft_runtime.profile import Profile
from weft_runtime.sharing import SharedDevices
from weft_runtime.validate import validate
from weft_runtime.variants import ExecutableSource, Variants
from weft_sim.result import RunOptions

__all__ = ["Session", "SupportsExecutable", "shared_devices"]

PLACED = 8
"""How many variants are held on devices at a time; beyond, the one unused for longest leaves."""

Placed = PlacedExecutable | PlacedControl


class SupportsExecutable(Protocol):
    """Anything that carries an executable, such as the compiler's answer."""

    @property
    def executable(self) -> Executable:
        """The compiled model."""
        ...


class Session:
    """A compiled model on a device; use it as a context manager, or call `close`.

    `source` is the path of an artifact, an Executable, an object with an `executable`, or several variants for
    different extents (an ExecutableSource). `device` is a kind of device by name, or what opens devices, for every
    processor; processors whose backend has no device of that name run on their default one (at least one must have
    it). Opening loads the CPU parts of the first variant, plans device memory and writes programs and constants once;
    further variants follow when inputs first ask for them.

    `run` does one thing after the other. `submit` lets requests overlap: host, bus and `devices` devices of each
    processor work at the same time, with at most `queue` samples inside. Sessions that are given the same
    `shared_devices` as `device` take turns on them. All methods may be called from several threads.

    Raises ArtifactError, ExecutableError, HostError or DeviceUnavailableError, and SessionError for `devices` or
    `queue` below 1.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Executable | SupportsExecutable | ExecutableSource,
        device: str | DeviceFactory = "sim",
        options: RunOptions = RunOptions(),
        devices: int = 1,
        queue: int = 16,
    ) -> None:
        if devices < 1 or queue < 1:
            raise SessionError(f"a session needs at least 1 device and a queue of 1, not {devices} and {queue}")
        self._source = _resolve(source)
        self._device: str | DeviceFactory = device
        self._options = options
        self._devices_each, self._queue = devices, queue
        self._profile: Profile | None = None
        self._placed: dict[tuple[tuple[str, int], ...], Placed] = {}
        self._pipelines: dict[tuple[tuple[str, int], ...], Pipeline] = {}
        self._current: Placed | None = None
        self._lock = threading.RLock()
        self._running = self._closed = False
        weakref.finalize(self, _abandon, self._pipelines)  # for sessions that nobody closes
        if self._source.variants:
            self._place(self._source.variants[0])

    @property
    def executable(self) -> Executable:
        """The variant that ran last, or the first one. Raises SessionError while nothing is compiled."""
        return self._latest().executable

    @property
    def memory(self) -> DeviceMemoryPlan:
        """Where that variant lies in device memory."""
        return self._latest().memory

    def run(
        self,
        inputs: Mapping[str, npt.ArrayLike],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> dict[str, npt.NDArray[Any]]:
        """The model's outputs by name, as fresh arrays.

        Where each input's leading axis is k times the model's batch, its k samples run in turn and the
        results are concatenated along the leading axis (outputs without axes are stacked); `progress(done,
        k)` is called after each. After a `submit` the request joins the others and waits for its answer, with one
        call of `progress` at the end. Raises
        InputError naming the input at fault, DeviceFault naming region, instruction and ONNX node, HostError, or
        SessionError when closed.
        """
        with self._lock:
            self._check_open()
            arrays = check_inputs(inputs, self._source.inputs)
            executable = self._source.choose(arrays)
            if not self._pipelines:
                return self._run_alone(executable, arrays, progress)
        try:
            outputs = self._submit(executable, arrays).result()
        except CancelledError as error:
            raise SessionError("the run was cancelled before it began") from error
        samples = samples_of(arrays, executable.bound_inputs, executable.batch)
        progress(samples, samples)
        return outputs

    def submit(self, inputs: Mapping[str, npt.ArrayLike]) -> Answer:
        """The future of what `run` would answer; requests overlap, and each has its own answer or error.

        Waits while the queue is full. `future.cancel()` works until the request begins. The first call places the
        model anew, with buffers for several requests. Samples of a model whose path depends on its input are requests
        of their own, also where it is compiled for batches. Raises InputError, SessionError when closed, and what
        placing the model raises.
        """
        with self._lock:
            self._check_open()
            if self._running:
                raise SessionError("submit was called from the progress callback of run: wait until run has ended")
            arrays = check_inputs(inputs, self._source.inputs)
            executable = self._source.choose(arrays)
        return self._submit(executable, arrays)

    def cancel(self) -> int:
        """Cancels submissions that have not begun, and says how many those were."""
        with self._lock:
            return sum(pipeline.cancel() for pipeline in self._pipelines.values())

    @property
    def profile(self) -> Profile:
        """What the last run cost, or the submission that ended last. Raises SessionError before the first."""
        if self._profile is None:
            raise SessionError("nothing has run in this session yet: call run first")
        return self._profile

    def close(self) -> None:
        """Finish what was submitted and release the devices. Closing twice is allowed; the last profile stays
        readable. To end sooner, call `cancel` first."""
        with self._lock:
            self._closed = True
            pipelines, placed = list(self._pipelines.values()), list(self._placed.values())
            self._pipelines.clear()
            self._placed.clear()
        for pipeline in pipelines:
            pipeline.close()
        for each in placed:
            each.close()

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes; after an exception, what has not begun is cancelled."""
        if error is not None:
            self.cancel()
        self.close()

    @property
    def _devices(self) -> list[Device]:
        return [] if self._current is None else self._current.devices

    def _check_open(self) -> None:
        if self._closed:
            raise SessionError("the session is closed; open a new one")

    def _latest(self) -> Placed:
        if self._current is None:
            raise SessionError("nothing is compiled in this session yet: call run first")
        return self._current

    def _run_alone(
        self, executable: Executable, arrays: dict[str, Any], progress: Callable[[int, int], None]
    ) -> dict[str, Any]:
        self._running = True
        try:
            outputs, self._profile = self._place(executable).run(arrays, progress)
        finally:
            self._running = False
        return outputs

    def _submit(self, executable: Executable, arrays: dict[str, Any]) -> Answer:
        while True:
            pipeline, unused = self._pipeline(executable)
            for each in unused:
                each.close()
            try:
                return pipeline.submit(arrays)
            except PipelineClosedError:  # either the session is closed, or too many other variants came between
                self._check_open()

    def _pipeline(self, executable: Executable) -> tuple[Pipeline, list[Pipeline]]:
        """The variant's pipeline, and those that had to leave for it. The dictionary is kept in order of use."""
        with self._lock:
            self._check_open()
            for placed in self._placed.values():  # for one request at a time: not needed any more
                placed.close()
            self._placed.clear()
            unused = []
            pipeline = self._pipelines.pop(executable.extents, None)
            if pipeline is None:
                while len(self._pipelines) >= PLACED:
                    unused.append(self._pipelines.pop(next(iter(self._pipelines))))
                if not isinstance(self._device, SharedDevices):  # variants take turns on the same devices
                    self._device = SharedDevices(self._factory(executable), self._devices_each)
                kind = PlacedExecutable if executable.control is None else PlacedControl
                opened = kind(executable, self._device, self._options, self._devices_each, BUFFERS)
                pipeline = Pipeline(opened, self._devices_each, self._queue, _recorder(self))
            self._pipelines[executable.extents] = pipeline
            self._current = pipeline.placed
            return pipeline, unused

    def _factory(self, executable: Executable) -> DeviceFactory:
        device = self._device
        return _factory(device, executable.processors) if isinstance(device, str) else device

    def _place(self, executable: Executable) -> Placed:
        """The variant on its device; the dictionary is kept in order of use."""
        placed = self._placed.pop(executable.extents, None)
        if placed is None:
            while len(self._placed) >= PLACED:
                self._placed.pop(next(iter(self._placed))).close()
            placed = _kind(executable)(executable, self._factory(executable), self._options)
        self._placed[executable.extents] = self._current = placed
        return placed


def _kind(executable: Executable) -> type[PlacedExecutable] | type[PlacedControl]:
    if executable.control is None:
        return PlacedExecutable
    return PlacedControl if executable.control.batching is None else PlacedBatches


def _recorder(session: Session) -> Callable[[Profile], None]:
    """Keeps the last profile, but not the session alive."""
    reference = weakref.ref(session)

    def record(profile: Profile) -> None:
        found = reference()
        if found is not None:
            found._profile = profile

    return record


def _abandon(pipelines: dict[tuple[tuple[str, int], ...], Pipeline]) -> None:
    for pipeline in pipelines.values():
        pipeline.abandon()


def shared_devices(device: str = "sim", count: int = 1) -> SharedDevices:
    """`count` devices of a kind by name, for several sessions: pass the result to each as `device`."""

    def open_device(processor: Processor, dram_bytes: int, options: RunOptions) -> Device:
        return _factory(device, [processor])(processor, dram_bytes, options)

    return SharedDevices(open_device, count)


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


def _resolve(
    source: str | os.PathLike[str] | Executable | SupportsExecutable | ExecutableSource,
) -> ExecutableSource:
    if isinstance(source, str | os.PathLike):
        return Variants(artifact.load_variants(source))
    if isinstance(source, Executable):
        validate(source)
        return Variants((source,))
    if not isinstance(source, ExecutableSource):
        validate(source.executable)
        return Variants((source.executable,))
    for executable in source.variants:
        validate(executable)
    return source
