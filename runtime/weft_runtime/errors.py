"""Errors of the host runtime. Every message is one line: what, where, and what to do about it."""

from __future__ import annotations

from weft_sim.errors import WeftError

__all__ = [
    "ArtifactError",
    "BackendError",
    "DeviceError",
    "DeviceUnavailableError",
    "ExecutableError",
    "HostError",
    "InputError",
    "LayoutError",
    "SessionError",
]


class LayoutError(WeftError):
    """A layout that no tensor can have, or an array that does not fit its layout."""


class ExecutableError(WeftError):
    """An executable whose parts contradict each other: the message names the region, step or tensor."""


class ArtifactError(WeftError):
    """A `.weft` file that is damaged, of another version, for another machine, or impossible."""


class BackendError(WeftError):
    """A backend that is not installed, cannot be loaded, or does not keep to the interface."""


class DeviceError(WeftError):
    """An access outside the device's memory, or a device that is used after it was closed."""


class DeviceUnavailableError(DeviceError):
    """An unknown device name, or a device that this installation cannot open."""


class HostError(WeftError):
    """ONNX Runtime refused to load or to run a part of the model that stays on the CPU."""


class InputError(WeftError):
    """An input that the model does not have, lacks, or that has the wrong data type or shape."""


class SessionError(WeftError):
    """A session that is used after it was closed, or asked for what no run has produced yet."""
