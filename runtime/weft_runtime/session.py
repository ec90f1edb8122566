"""A session: a compiled model on a device, run with inputs by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import numpy.typing as npt

from weft_runtime import artifact
from weft_runtime.backend import device_backend
from weft_runtime.devices import Device, DeviceFactory
from weft_runtime.errors import DeviceUnavailableError, SessionError
from weft_runtime.executable import Executable, Processor
from weft_runtime.inputs import check_inputs
from weft_runtime.memory import DeviceMemoryPlan
from weft_runtime.placed import PlacedExecutable
from weft_runtime.placed_control import PlacedControl
from weft_runtime.profile import Profile
from weft_runtime.validate import validate
from weft_runtime.variants import ExecutableSource, Variants
from weft_sim.result import RunOptions

__all__ = ["Session", "SupportsExecutable"]

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
    further variants follow when inputs first ask for them. Raises ArtifactError, ExecutableError, HostError or
    DeviceUnavailableError. A session belongs to one thread at a time.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Executable | SupportsExecutable | ExecutableSource,
        device: str | DeviceFactory = "sim",
        options: RunOptions = RunOptions(),
    ) -> None:
        self._source = _resolve(source)
        self._device = device
        self._options = options
        self._profile: Profile | None = None
        self._placed: dict[tuple[tuple[str, int], ...], Placed] = {}
        self._current: Placed | None = None
        self._closed = False
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
        k)` is called after each. Raises InputError naming the input at fault, DeviceFault naming region,
        instruction and ONNX node, HostError, or SessionError when closed.
        """
        self._check_open()
        arrays = check_inputs(inputs, self._source.inputs)
        placed = self._place(self._source.choose(arrays))
        outputs, self._profile = placed.run(arrays, progress)
        return outputs

    @property
    def profile(self) -> Profile:
        """What the last run cost. Raises SessionError before the first."""
        if self._profile is None:
            raise SessionError("nothing has run in this session yet: call run first")
        return self._profile

    def close(self) -> None:
        """Release the devices. Closing twice is allowed; the last profile stays readable."""
        for placed in self._placed.values():
            placed.close()
        self._placed.clear()
        self._closed = True

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
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

    def _place(self, executable: Executable) -> Placed:
        """The variant on its device; the dictionary is kept in order of use."""
        placed = self._placed.pop(executable.extents, None)
        if placed is None:
            while len(self._placed) >= PLACED:
                self._placed.pop(next(iter(self._placed))).close()
            device = self._device
            factory = _factory(device, executable.processors) if isinstance(device, str) else device
            kind = PlacedExecutable if executable.control is None else PlacedControl
            placed = kind(executable, factory, self._options)
        self._placed[executable.extents] = self._current = placed
        return placed


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
