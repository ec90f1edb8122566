"""Where in the user's source a refusal belongs."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch

from weft.errors import SourceError

OWN_FOLDER = str(Path(__file__).parent) + os.sep
LIBRARIES = tuple(
    str(Path(folder)) + os.sep
    for folder in {
        str(Path(torch.__file__).parent),
        str(Path(contextlib.__file__).parent),
        sysconfig.get_paths()["stdlib"],
    }
)
TRACE_LINE = re.compile(r'File "([^"<>]+)", line (\d+)')
PACKAGES = f"{os.sep}site-packages{os.sep}"


@functools.cache
def is_users(filename: str) -> bool:
    """Whether a file holds the user's source: not this package, PyTorch or the standard library."""
    if filename.startswith(OWN_FOLDER) or filename.startswith("<"):
        return False
    if (
        filename.startswith(LIBRARIES[0])
        or f"{PACKAGES}torch{os.sep}" in filename
        or f"{PACKAGES}numpy{os.sep}" in filename
    ):
        return False
    return PACKAGES in filename or not filename.startswith(LIBRARIES)


_FUNCTION: list[str] = []


@contextlib.contextmanager
def at_function(function: Any) -> Iterator[None]:
    """Refusals while this lasts name the line where `function` is defined: it has ended, and its results are looked
    at.
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    _FUNCTION.append(f"{code.co_filename}:{code.co_firstlineno}: " if code is not None else "")
    try:
        yield
    finally:
        _FUNCTION.pop()


def refuse(message: str) -> SourceError:
    """A SourceError that names the innermost line of the user's source that is now running."""
    if _FUNCTION:
        return SourceError(f"{_FUNCTION[-1]}{message}")
    frame = _users_frame()
    return SourceError(message if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}: {message}")


def running_line() -> str:
    """The innermost line of the user's source that is now running, as a line of a stack trace; empty if none."""
    frame = _users_frame()
    return "" if frame is None else f'File "{frame.f_code.co_filename}", line {frame.f_lineno}'


def _users_frame() -> FrameType | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_users(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def located(error: BaseException, trace: TracebackType | None) -> SourceError:
    """An error that the user's source raised while it was recorded, with its innermost line there."""
    message = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
    for entry in reversed(traceback.extract_tb(trace)):
        if is_users(entry.filename):
            return SourceError(f"{entry.filename}:{entry.lineno}: recording stopped with {message}")
    return SourceError(f"recording stopped with {message}")


def user_place(trace: str) -> str:
    """The innermost place in the user's source that a written stack trace names, as "file:line: "; empty if none."""
    for match in reversed(TRACE_LINE.findall(trace)):
        if is_users(match[0]):
            return f"{match[0]}:{match[1]}: "
    return ""
