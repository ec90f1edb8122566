"""What the runtime asks of a backend: to check its programs, and to open devices that run them.

Backends of other packages are found by their entry point in the group `weft.backends`; an artifact can only name
one that is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Protocol, runtime_checkable

from weft_runtime.devices import Device
from weft_runtime.errors import BackendError
from weft_runtime.executable import Processor, Region
from weft_sim.result import RunOptions

__all__ = ["ENTRY_POINTS", "DeviceBackend", "backend_names", "device_backend", "register_backend", "registered"]

ENTRY_POINTS = "weft.backends"


@runtime_checkable
class DeviceBackend(Protocol):
    """The runtime's face of a backend."""

    @property
    def name(self) -> str:
        """What artifacts and entry points call it."""
        ...

    @property
    def device_names(self) -> tuple[str, ...]:
        """The kinds of device that it can open, the default one first."""
        ...

    def check_region(self, processor: Processor, region: Region) -> None:
        """Raises ExecutableError for a configuration or instructions that are not its own: both may come from a
        file."""
        ...

    def open_device(self, device: str, processor: Processor, dram_bytes: int, options: RunOptions) -> Device:
        """Opens a device with so many bytes of memory. Raises DeviceUnavailableError where it cannot be had."""
        ...


_registered: dict[str, DeviceBackend] = {}


def register_backend(backend: DeviceBackend) -> None:
    """Make a backend known without an entry point, or replace the one of its name."""
    _registered[backend.name] = backend


@contextmanager
def registered(backend: DeviceBackend) -> Iterator[None]:
    """The backend known for as long as this lasts."""
    before = dict(_registered)
    register_backend(backend)
    try:
        yield
    finally:
        _registered.clear()
        _registered.update(before)


def backend_names() -> tuple[str, ...]:
    """Registered backends, then installed ones, each group by name."""
    installed = {entry.name for entry in entry_points(group=ENTRY_POINTS)}
    return (*_registered, *sorted(installed - set(_registered)))


def device_backend(name: str) -> DeviceBackend:
    """The backend of that name. Raises BackendError for one that is not installed, or that cannot be loaded."""
    found = _registered.get(name)
    return found if found is not None else _load(name)


def _load(name: str) -> DeviceBackend:
    entries = [entry for entry in entry_points(group=ENTRY_POINTS) if entry.name == name]
    if not entries:
        known = ", ".join(backend_names())
        raise BackendError(f"no backend {name!r} is installed; known: {known}; install the package that provides it")
    try:
        loaded = entries[0].load()
    except Exception as error:  # whatever another package's import raises
        reason = f"{type(error).__name__}: {error}"
        raise BackendError(f"backend {name!r} ({entries[0].value}) cannot be loaded: {reason}") from error
    if not isinstance(loaded, DeviceBackend) or loaded.name != name:
        raise BackendError(f"entry point {name!r} ({entries[0].value}) is no backend of that name")
    register_backend(loaded)
    return loaded
