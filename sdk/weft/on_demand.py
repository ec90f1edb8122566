"""A model compiled on first use of each combination of extents."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from weft import compiler
from weft.api.shapes import ShapeChoices, combinations
from weft.backends import DEFAULT_TARGET, Target, resolve_target
from weft.frontend import Model
from weft_runtime import artifact
from weft_runtime.errors import ArtifactError
from weft_runtime.executable import Executable, TensorSignature
from weft_runtime.variants import MAX_VARIANTS, observed_extents

__all__ = ["DynamicProgram"]

NO_SHAPES: ShapeChoices = {}


class DynamicProgram:
    """A model that is compiled when inputs with new extents come, and kept: `weft.Session(program)` runs it.

    `model` is quantized (by `weft.quantize` with some extents, or given so with its symbols). The extents in `shapes`
    are compiled at once. Of the variants, the `MAX_VARIANTS` used last are kept. Raises what `weft.compile` raises; a
    session's `run` does too where inputs come for which the model cannot be compiled.
    """

    def __init__(
        self,
        model: Model,
        target: Target = DEFAULT_TARGET,
        *,
        shapes: ShapeChoices | None = None,
        calibration: str = "none",
    ) -> None:
        self._model = model
        self._accelerators = resolve_target(target)
        self._calibration = calibration
        self._cache: dict[tuple[tuple[str, int], ...], Executable] = {}
        self.compilations = 0
        for each in combinations(shapes) if shapes is not None else []:
            self._add(each)

    @property
    def inputs(self) -> tuple[TensorSignature, ...]:
        """The model's inputs; symbolic extents are strings."""
        return self._model.signature

    @property
    def variants(self) -> tuple[Executable, ...]:
        """What is compiled and kept, the one used last at the end."""
        return tuple(self._cache.values())

    def choose(self, arrays: Mapping[str, npt.NDArray[Any]]) -> Executable:
        """The executable for exactly the extents of these inputs, compiled now if it is not there. Raises InputError
        where the inputs contradict each other, and what `weft.compile` raises."""
        extents = observed_extents(arrays, self.inputs)
        key = tuple(sorted(extents.items()))
        found = self._cache.pop(key, None)
        if found is None:
            return self._add(extents)
        self._cache[key] = found
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an artifact of the variants compiled so far. Raises ArtifactError where there are none."""
        if not self._cache:
            raise ArtifactError(f"{path}: nothing is compiled yet; run the model, or give shapes")
        artifact.save(self.variants, path)

    def _add(self, extents: Mapping[str, int]) -> Executable:
        executable = compiler.compile(self._model, self._accelerators, shapes=extents, calibration=self._calibration)
        self.compilations += 1
        while len(self._cache) >= MAX_VARIANTS:
            del self._cache[next(iter(self._cache))]
        self._cache[executable.extents] = executable
        return executable
