"""Accelerator cycles of single operators, from the timing-only simulator, remembered in memory and on disk."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import hashlib
import json
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

import weft.codegen
import weft.ir
import weft.schedule
import weft_sim
from weft.codegen.estimate import estimate_region
from weft.codegen.region import lower_region
from weft.errors import CompileError
from weft.ir import Movement, Operator, TableLookup, Tensor, View
from weft.ir.operators import Convolution
from weft.ir.select import Select
from weft.partition.costs.cache import NumberCache, cache_folder
from weft_sim.machine import MachineConfig

__all__ = ["OperatorCycles", "compiler_digest"]

FILE = "operator-cycles.json"
SCALE_FREE = (Convolution, Movement, TableLookup)
"""Operators whose instructions do not depend on the scales of their tensors; for others a scale decides whether the
VPU multiplies or divides."""


class OperatorCycles:
    """How long an operator takes on a machine as a region of its own, so with loads and stores of all its tensors.

    In a larger region operators overlap at their borders, so a region takes a little less than the sum. Results are
    a function of the operator's kind, shapes and attributes, of the machine and of the compiler's own code, never of
    weights; that is the key under which they are kept.
    """

    def __init__(self, config: MachineConfig, folder: Path | None = None) -> None:
        self.config = config
        self._cache = _shared_cache((cache_folder() if folder is None else folder) / FILE)
        self._prefix = f"{compiler_digest()}:{config.hash()}:"

    def cycles(self, operator: Operator) -> int:
        """Cycles of the operator alone. Raises CompileError if it does not fit the machine."""
        if isinstance(operator, View):
            return 0
        key = _digest(self._prefix + json.dumps(_describe(operator), sort_keys=True))
        known = self._cache.get(key)
        if known is None:
            region = lower_region([operator], {operator.output.name}, self.config)
            known = estimate_region(operator.name, region, self.config).cycles
            self._cache.put(key, known)
        return known


@functools.cache
def _shared_cache(path: Path) -> NumberCache:
    """One for a file and process; what is new is written when the process ends."""
    cache = NumberCache(path)
    atexit.register(cache.save)
    return cache


@functools.cache
def compiler_digest() -> str:
    """A digest of the code that decides about cycles: operators, schedules, emission, and the simulator."""
    state = hashlib.sha256()
    folders = [Path(folder) for each in (weft.ir, weft.schedule, weft.codegen, weft_sim) for folder in each.__path__]
    core = [file for folder in folders for file in sorted(folder.glob("_core*"))]
    for file in (*(file for folder in folders for file in sorted(folder.rglob("*.py"))), *core):
        data = file.read_bytes()
        state.update(f"{file.name}:{len(data)}:".encode() + data)
    return state.hexdigest()[:16]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _describe(operator: Operator) -> Any:
    """Everything about the operator that its instructions depend on, as JSON values: no names, no weights."""
    fields: dict[str, Any] = {"kind": type(operator).__name__}
    with_scale = not isinstance(operator, SCALE_FREE)
    for field in dataclasses.fields(operator):
        if field.name not in ("name", "nodes"):
            fields[field.name] = _value(getattr(operator, field.name), with_scale)
    if isinstance(operator, Select):
        fields["table"] = operator.threshold is None
    if isinstance(operator, Movement):
        fields["index"] = hashlib.sha256(operator.index.tobytes()).hexdigest()
    return fields


def _value(value: Any, with_scale: bool) -> Any:
    match value:
        case Tensor():
            scale = float(value.scale).hex() if with_scale else ""
            return [list(value.shape), value.dtype, scale, value.zero_point, value.form.value]
        case Operator():
            return _describe(value)
        case np.ndarray():
            return [list(value.shape), str(value.dtype)]
        case np.generic():
            return float(value).hex() if with_scale else ""
        case Enum():
            return value.name
        case tuple() | list():
            return [_value(each, with_scale) for each in value]
        case bool() | int() | str() | None:
            return value
        case float():
            return value.hex()
        case _ if dataclasses.is_dataclass(value):
            return {each.name: _value(getattr(value, each.name), with_scale) for each in dataclasses.fields(value)}
    raise CompileError(f"an operator's field of type {type(value).__name__} has no key in the cache of cycles")
