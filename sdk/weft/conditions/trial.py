"""A condition's computation, tried in ONNX Runtime on stored tensors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from weft.ir.device_control import Unjoinable
from weft_runtime.errors import HostError
from weft_runtime.executable import HostGraph
from weft_runtime.host import HostProgram

__all__ = ["Trial"]

Array = npt.NDArray[Any]


class Trial:
    """A model of one input, which has this shape and type (int8 or uint8)."""

    def __init__(self, model: onnx.ModelProto, shape: tuple[int, ...], dtype: str) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        limits = np.iinfo(dtype)
        self.domain = np.arange(limits.min, limits.max + 1)
        self._model = model
        self._found: dict[str, Array] = {}

    def values(self, name: str) -> Array:
        """What stands in a tensor where the input holds one stored value everywhere: a row for each of the 256. Raises
        Unjoinable where ONNX Runtime fails, or its extents depend on the value."""
        if name not in self._found:
            self._found[name] = self.results(name, (np.full(self.shape, value, self.dtype) for value in self.domain))
        return self._found[name]

    def results(self, name: str, feeds: Iterable[Array]) -> Array:
        """A tensor's elements for each of several inputs, a row each. Raises Unjoinable."""
        (given,) = self._model.graph.input
        program = program_of(self._model, name)
        try:
            rows = [np.asarray(program.run({given.name: feed})[name]).reshape(-1) for feed in feeds]
        except HostError as error:
            raise Unjoinable(f"its condition cannot be tried: {error}") from error
        if any(row.size != rows[0].size for row in rows):
            raise Unjoinable("its condition has other extents for other values")
        return np.stack(rows)


def program_of(model: onnx.ModelProto, output: str) -> HostProgram:
    """The model with another tensor as its output. Raises Unjoinable where ONNX Runtime refuses it."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model)
    del proto.graph.output[:]
    proto.graph.output.append(onnx.ValueInfoProto(name=output))
    inputs = tuple(value.name for value in model.graph.input)
    try:
        return HostProgram(HostGraph("condition", proto.SerializeToString(), inputs, (output,)))
    except HostError as error:
        raise Unjoinable(f"its condition cannot be tried: {error}") from error
