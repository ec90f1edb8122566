"""An operator without the values of its large constants: all that measuring needs, and small enough to travel."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from weft.ir import Operator
from weft.schedule.choice import FixedTile, Shape, Tile
from weft.schedule.convolution import ConvolutionMode, ConvolutionShape
from weft_sim.machine import MachineConfig

__all__ = ["Subject", "measure", "subject"]

MOST_ELEMENTS = 4096


@dataclass(frozen=True)
class _Zeros:
    """A large array whose values do not matter."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Subject:
    """What is measured: an operator that has this shape on this machine. Equal keys stand for equal subjects."""

    key: str
    operator: Operator
    shape: Shape
    machine: MachineConfig


def subject(key: str, operator: Operator, shape: Shape, machine: MachineConfig) -> Subject:
    """A subject whose large constants are replaced by their shapes."""
    return Subject(key, _stripped(operator), shape, machine)


def measure(given: Subject, tile: Tile) -> int:
    """Exact cycles of the operator with that tile, alone, from DRAM to DRAM. Raises CompileError if it cannot be
    lowered so."""
    from weft.codegen.estimate import estimate_region  # a worker process imports the compiler when it is first used
    from weft.codegen.region import Schedule, lower_region

    operator = _restored(given)
    reads = frozenset(tensor.name for tensor in operator.inputs)
    gathers = isinstance(given.shape, ConvolutionShape) and given.shape.mode == ConvolutionMode.IM2COL
    schedule = Schedule(tiles=FixedTile(given.shape, tile))
    region = lower_region(
        [operator], {operator.output.name}, given.machine, schedule, blocked=frozenset() if gathers else reads
    )
    return estimate_region(operator.name, region, given.machine).cycles


def _stripped(value: Any) -> Any:
    match value:
        case np.ndarray() if value.size > MOST_ELEMENTS:
            return _Zeros(value.shape, value.dtype.str)
        case tuple():
            return tuple(_stripped(each) for each in value)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
            changed = {name: new for name, old in fields.items() if (new := _stripped(old)) is not old}
            return dataclasses.replace(value, **changed) if changed else value
    return value


def _filled(value: Any) -> Any:
    match value:
        case _Zeros():
            return np.zeros(value.shape, np.dtype(value.dtype))
        case tuple():
            return tuple(_filled(each) for each in value)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
            changed = {name: new for name, old in fields.items() if (new := _filled(old)) is not old}
            return dataclasses.replace(value, **changed) if changed else value
    return value


def _restored(given: Subject) -> Operator:
    if given.key not in _KEPT:
        if len(_KEPT) >= MOST_KEPT:
            _KEPT.clear()
        _KEPT[given.key] = _filled(given.operator)
    return _KEPT[given.key]


MOST_KEPT = 64
_KEPT: dict[str, Operator] = {}
