"""Errors of the machine: the root of every error that Weft raises on purpose."""

from __future__ import annotations

__all__ = ["DeviceFault", "InstructionError", "MachineError", "WeftError"]


class WeftError(Exception):
    """Root of all typed errors. The message is one line: what, where, and what to do about it."""


class MachineError(WeftError):
    """A machine configuration that no machine can be built from, or an unknown preset name."""


class InstructionError(WeftError):
    """A field value that its instruction cannot hold, or bytes that are no instruction."""


class DeviceFault(WeftError):
    """A program stopped with a fault: the message names the cause and the instruction."""
