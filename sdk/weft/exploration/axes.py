"""Machines that differ from a base in some parameters."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from weft.errors import CompileError, MachineError
from weft_sim.machine import MachineConfig

__all__ = ["Invalid", "Point", "machines", "parse_axes"]

KIB = 1024
LARGEST_DENOMINATOR = 1000
LEAST_BEAT = 4
MOST_POINTS = 4096

PLAIN = tuple(
    field.name
    for field in dataclasses.fields(MachineConfig)
    if field.name not in ("name", "dram_rate_numerator", "dram_rate_denominator")
)
DERIVED = ("scratchpad_kib", "dram_bytes_per_cycle")
Value = int | float


@dataclass(frozen=True)
class Point:
    """A machine with the parameters in which it differs."""

    parameters: tuple[tuple[str, Value], ...]
    machine: MachineConfig

    @property
    def label(self) -> str:
        """The parameters as text."""
        return " ".join(f"{name}={value:g}" for name, value in self.parameters)


@dataclass(frozen=True)
class Invalid:
    """Parameters that make no machine, and why."""

    parameters: tuple[tuple[str, Value], ...]
    reason: str


def parse_axes(given: Sequence[str]) -> dict[str, tuple[Value, ...]]:
    """`NAME=VALUE[,VALUE...]` texts as values by parameter. Raises CompileError for an unknown parameter, one that is
    given twice, or what is not a number."""
    axes: dict[str, tuple[Value, ...]] = {}
    for text in given:
        name, separator, values = text.partition("=")
        if not separator or name not in (*PLAIN, *DERIVED):
            raise CompileError(f"{text!r} does not vary a parameter; known: {', '.join((*DERIVED, *PLAIN))}")
        if name in axes:
            raise CompileError(f"{name} is varied twice")
        axes[name] = tuple(dict.fromkeys(_number(name, value) for value in values.split(",")))
    if math.prod(len(values) for values in axes.values()) > MOST_POINTS:
        raise CompileError(f"these are more than {MOST_POINTS} machines; vary less")
    return axes


def machines(base: MachineConfig, axes: Mapping[str, Sequence[Value]]) -> tuple[list[Point], list[Invalid]]:
    """Every combination as a machine, in the order of the values, the last parameter fastest; and the combinations that
    make none."""
    points: list[Point] = []
    invalid: list[Invalid] = []
    for values in itertools.product(*axes.values()):
        parameters = tuple(zip(axes, values, strict=True))
        try:
            points.append(Point(parameters, _machine(base, dict(parameters))))
        except MachineError as error:
            invalid.append(Invalid(parameters, str(error)))
    return points, invalid


def _number(name: str, text: str) -> Value:
    try:
        if name != "dram_bytes_per_cycle":
            return int(text)
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        whole = "a number" if name == "dram_bytes_per_cycle" else "a whole number"
        raise CompileError(f"--vary {name}: {text!r} is not {whole}")
    return value


def _machine(base: MachineConfig, parameters: Mapping[str, Value]) -> MachineConfig:
    changes: dict[str, Any] = {name: value for name, value in parameters.items() if name in PLAIN}
    if "scratchpad_kib" in parameters:
        changes["scratchpad_bytes"] = int(parameters["scratchpad_kib"]) * KIB
    if "dram_bytes_per_cycle" in parameters:
        changes |= _bus(float(parameters["dram_bytes_per_cycle"]), changes.get("dram_beat_bytes"))
    name = base.name + "".join(f"-{key}{value:g}" for key, value in parameters.items())
    return dataclasses.replace(base, name=name, **changes)


def _bus(rate: float, beat: int | None) -> dict[str, int]:
    """The narrowest bus of a power of two bytes that moves so many bytes per cycle, or the one asked for."""
    if rate <= 0:
        raise MachineError(f"dram_bytes_per_cycle={rate:g} must be positive")
    width = beat or max(LEAST_BEAT, 1 << math.ceil(math.log2(rate)))
    share = Fraction(rate / width).limit_denominator(LARGEST_DENOMINATOR)
    if share == 0:
        raise MachineError(f"dram_bytes_per_cycle={rate:g} is too little for a bus of {width} bytes")
    return {
        "dram_beat_bytes": width, "dram_rate_numerator": share.numerator, "dram_rate_denominator": share.denominator,
    }  # fmt: skip
