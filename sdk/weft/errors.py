"""Every typed error of Weft in one place: the compiler's own, and those of the runtime and the simulator.

Each message is one line: what is wrong, where (file, node, tensor, instruction), and what to do about it.
"""

from __future__ import annotations

from weft_runtime.errors import (
    ArtifactError,
    BackendError,
    DeviceError,
    DeviceUnavailableError,
    ExecutableError,
    HostError,
    InputError,
    LayoutError,
    SessionError,
)
from weft_sim.errors import DeviceFault, InstructionError, MachineError, WeftError
from weft_sim.rtl_build import RtlError

__all__ = [
    "ArtifactError",
    "BackendError",
    "CompileError",
    "DeviceError",
    "DeviceFault",
    "DeviceUnavailableError",
    "ExecutableError",
    "HostError",
    "InputError",
    "InstructionError",
    "LayoutError",
    "MachineError",
    "ModelError",
    "QuantizationError",
    "RtlError",
    "SessionError",
    "SourceError",
    "WeftError",
]


MESSAGE_LIMIT = 1000


class _OneLineError(WeftError):
    """Messages quote names from untrusted files: whatever those hold, the message stays one printable
    line."""

    def __init__(self, message: str) -> None:
        printable = "".join(char if char.isprintable() else repr(char)[1:-1] for char in message[:MESSAGE_LIMIT])
        super().__init__(printable)


class ModelError(_OneLineError):
    """A model file that cannot be read, breaks ONNX's rules, or asks for data outside its own folder."""


class QuantizationError(_OneLineError):
    """Calibration data that do not fit the model, or a float model that cannot be quantized."""


class CompileError(_OneLineError):
    """A model that is valid but cannot be compiled with the given target and options."""


class SourceError(_OneLineError):
    """A PyTorch program that has no ONNX form, with the file and line of what cannot be taken where it has one."""
