"""Several executables of one model, each for other extents, and the choice among them by the inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from weft_runtime.errors import ExecutableError, InputError
from weft_runtime.executable import Executable, TensorSignature

__all__ = ["MAX_VARIANTS", "ExecutableSource", "Variants", "extents_text", "observed_extents"]

Array = npt.NDArray[Any]
MAX_VARIANTS = 64


@runtime_checkable
class ExecutableSource(Protocol):
    """What a session asks for the executable that fits the inputs: a fixed set, or a compiler on demand."""

    @property
    def inputs(self) -> tuple[TensorSignature, ...]:
        """The model's inputs; symbolic extents are strings."""
        ...

    @property
    def variants(self) -> tuple[Executable, ...]:
        """What is compiled so far, the first one first."""
        ...

    def choose(self, arrays: Mapping[str, Array]) -> Executable:
        """The executable for inputs that `check_inputs` accepted. Raises InputError naming input and extent."""
        ...


@dataclass(frozen=True)
class Variants:
    """A fixed set, one executable or more, of one model for one machine. Raises ExecutableError where they do not
    belong together."""

    executables: tuple[Executable, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.executables) <= MAX_VARIANTS:
            raise ExecutableError(f"{len(self.executables)} variants of a model are not 1 to {MAX_VARIANTS}")
        first = self.executables[0]
        for index, other in enumerate(self.executables[1:], 1):
            if other.processors != first.processors:
                raise ExecutableError(f"variant {index} is compiled for other processors than the first")
            if (other.inputs, other.outputs) != (first.inputs, first.outputs):
                raise ExecutableError(f"variant {index} has other inputs or outputs than the first")
        if len({each.extents for each in self.executables}) < len(self.executables):
            raise ExecutableError("two variants are compiled for the same extents")

    @property
    def inputs(self) -> tuple[TensorSignature, ...]:
        """The model's inputs, the same for all variants."""
        return self.executables[0].inputs

    @property
    def variants(self) -> tuple[Executable, ...]:
        """All executables, in the order given."""
        return self.executables

    def choose(self, arrays: Mapping[str, Array]) -> Executable:
        """The variant whose extents are those of the inputs. Along a leading symbolic axis (the batch) the inputs may
        hold k times as many rows: of the variants that divide them, the largest is taken, so that k is least."""
        if len(self.executables) == 1:
            misfit = _misfit(self.executables[0], arrays)
            if misfit:
                raise InputError(f"{misfit}; compile the model for these extents")
            return self.executables[0]
        fitting = [each for each in self.executables if not _misfit(each, arrays)]
        if not fitting:
            known = "; ".join(extents_text(each.extents) for each in self.executables)
            raise InputError(f"{_misfit(self.executables[0], arrays)}; the variants compiled are for: {known}")
        return max(fitting, key=lambda each: math.prod(extent for _, extent in each.extents))


def extents_text(extents: Sequence[tuple[str, int]]) -> str:
    """Extents as a person writes them: N=1, H=32."""
    return ", ".join(f"{name}={value}" for name, value in extents) or "no symbolic extent"


def observed_extents(arrays: Mapping[str, Array], signatures: Sequence[TensorSignature]) -> dict[str, int]:
    """The value of every symbolic extent in these inputs. Raises InputError where two inputs disagree, and for an
    extent of 0."""
    found: dict[str, tuple[int, str]] = {}
    for signature in signatures:
        for axis, symbol in _symbols(signature):
            extent = np.shape(arrays[signature.name])[axis]
            before, owner = found.setdefault(symbol, (extent, signature.name))
            if extent < 1:
                raise InputError(f"input {signature.name!r}: its extent {symbol!r} (axis {axis}) is {extent}")
            if extent != before:
                raise InputError(
                    f"input {signature.name!r}: its extent {symbol!r} (axis {axis}) is {extent}, "
                    f"but {before} in input {owner!r}"
                )
    return {symbol: extent for symbol, (extent, _) in found.items()}


def _symbols(signature: TensorSignature) -> list[tuple[int, str]]:
    if signature.shape == ("...",):
        return []
    return [(axis, extent) for axis, extent in enumerate(signature.shape) if isinstance(extent, str)]


def _misfit(executable: Executable, arrays: Mapping[str, Array]) -> str:
    """Which input does not fit the extents that an executable was compiled for; empty where all do."""
    extents = dict(executable.extents)
    for signature in executable.inputs:
        for axis, symbol in _symbols(signature):
            if symbol not in extents:
                continue
            found, wanted = arrays[signature.name].shape[axis], extents[symbol]
            fits = found == wanted or (axis == 0 and 0 < wanted < found and found % wanted == 0)
            if not fits:
                multiple = " or a multiple" if axis == 0 else ""
                return (
                    f"input {signature.name!r}: its extent {symbol!r} (axis {axis}) is {found}, "
                    f"but {wanted}{multiple} is expected"
                )
    return ""
