"""An operator without the values of its large constants: all that measuring needs, and small enough to travel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from weft.ir import Operator
from weft.ir.operators import Convolution
from weft.ir.products import MatrixProduct
from weft.schedule.choice import ChosenTiles, Shape, Tile
from weft.schedule.convolution import ConvolutionMode, ConvolutionShape
from weft.schedule.options import ScheduleOptions
from weft_sim.machine import MachineConfig

__all__ = ["Subject", "measure", "restore", "strip", "subject"]

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
    return Subject(key, strip(operator), shape, machine)


def measure(given: Subject, tile: Tile) -> int:
    """Exact cycles of the operator with that tile, alone, from DRAM to DRAM. Raises CompileError if it cannot be
    lowered so."""
    from weft.codegen.estimate import estimate_region  # a worker process imports the compiler when it is first used
    from weft.codegen.region import Schedule, lower_region

    operator = _restored(given)
    reads = frozenset(tensor.name for tensor in operator.inputs)
    gathers = isinstance(given.shape, ConvolutionShape) and given.shape.mode == ConvolutionMode.IM2COL
    schedule = Schedule(ScheduleOptions(chains=False), ChosenTiles({(given.shape, given.machine): tile}))
    region = lower_region(
        [operator], {operator.output.name}, given.machine, schedule, blocked=frozenset() if gathers else reads
    )
    return estimate_region(operator.name, region, given.machine).cycles


def strip(operator: Operator) -> Operator:
    """The operator with weights and constant operands replaced by their shapes, if they are large."""
    return _with_constants(operator, _hollow)


def restore(operator: Operator) -> Operator:
    """The inverse of `strip`, with zeros."""
    return _with_constants(operator, _filled)


def _with_constants(operator: Operator, change: Callable[[Any], Any]) -> Operator:
    match operator:
        case Convolution():
            return dataclasses.replace(operator, weights=change(operator.weights))
        case MatrixProduct():
            a, b = (dataclasses.replace(each, constant=change(each.constant)) for each in operator.operands)
            return dataclasses.replace(operator, a=a, b=b)
    return operator


def _hollow(value: Any) -> Any:
    large = isinstance(value, np.ndarray) and value.size > MOST_ELEMENTS
    return _Zeros(value.shape, value.dtype.str) if large else value


def _filled(value: Any) -> Any:
    return np.zeros(value.shape, np.dtype(value.dtype)) if isinstance(value, _Zeros) else value


def _restored(given: Subject) -> Operator:
    if given.key not in _KEPT:
        if len(_KEPT) >= MOST_KEPT:
            _KEPT.clear()
        _KEPT[given.key] = restore(given.operator)
    return _KEPT[given.key]


MOST_KEPT = 64
_KEPT: dict[str, Operator] = {}
