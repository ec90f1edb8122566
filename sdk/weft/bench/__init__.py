"""Benchmarks of the command line: `weft bench NAME`. A benchmark is one entry of `BENCHMARKS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["BENCHMARKS", "Benchmark"]


@dataclass(frozen=True)
class Benchmark:
    """A measurement with a name.

    `run(**options)` measures and returns plain JSON values; each option is a string as given on the command
    line (`weft bench NAME --set key=value`), and an option that it does not know raises TypeError as any call
    does. It raises WeftError where it cannot measure, and prints nothing.
    """

    name: str
    summary: str
    run: Callable[..., dict[str, Any]]


BENCHMARKS: dict[str, Benchmark] = {}
"""Every benchmark by its name."""
