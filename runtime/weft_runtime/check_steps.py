"""Checks what flows through a list of steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from weft_runtime.errors import ExecutableError
from weft_runtime.executable import Executable, HostGraph, Region, TensorBinding
from weft_runtime.steps import Step

__all__ = ["follow_steps"]


def follow_steps(
    executable: Executable, steps: Sequence[Step], inputs: Iterable[str]
) -> dict[str, TensorBinding | None]:
    """The tensors that are there behind the steps, with the binding of those that a region made. Raises ExecutableError
    for one that is used before it is made, made twice, or reaches a region with another type than it was made with."""
    available: dict[str, TensorBinding | None] = dict.fromkeys(inputs)
    for position, step in enumerate(steps):
        part: Region | HostGraph
        part = executable.regions[step.index] if step.kind == "device" else executable.host_graphs[step.index]
        where = f"step {position} ({part.name!r})"
        numbers = () if isinstance(part, HostGraph) else tuple(number.name for number in part.numbers)
        for taken in (*part.inputs, *numbers):
            name = taken if isinstance(taken, str) else taken.name
            if name not in available:
                raise ExecutableError(f"{where} needs tensor {name!r}, which no earlier step gives")
            made = available[name]
            if made is None or isinstance(taken, str):
                continue
            if (made.shape, made.dtype) != (taken.shape, taken.dtype):
                raise ExecutableError(
                    f"{where} takes tensor {name!r} as {taken.dtype} {taken.shape}, "
                    f"but it is made as {made.dtype} {made.shape}"
                )
        tallies = () if isinstance(part, HostGraph) else part.tallies
        for given in (*part.outputs, *tallies):
            name = given if isinstance(given, str) else given.name
            if name in available:
                raise ExecutableError(f"{where} gives tensor {name!r}, which is there already")
            available[name] = None if isinstance(given, str) else given
    return available
