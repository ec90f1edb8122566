"""Symbolic extents of the inputs given their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import onnx

from weft.errors import ModelError
from weft.frontend.model import Model, axis_key


@dataclass(frozen=True)
class BindShapes:
    """Replaces symbolic extents by numbers.

    `shapes` maps a symbol (as in the model, or `input[axis]` where the model names none) to its value. A
    leading symbolic extent that is not given is the batch and becomes 1; other symbols that are not given
    stay symbolic. The result remembers the model with its symbols. Raises ModelError for unknown symbols and negative
    values.
    """

    shapes: Mapping[str, int] = field(default_factory=dict)
    name: str = "bind-shapes"

    def run(self, model: Model) -> Model:
        symbols, batch = _symbols(model)
        for key, value in self.shapes.items():
            if key not in symbols:
                known = ", ".join(sorted(symbols)) or "none"
                raise ModelError(f"{model.name}: has no symbolic extent '{key}'; it has: {known}")
            if value < 0:
                raise ModelError(f"{model.name}: the extent '{key}' must not be negative, as {value} is")
        if not symbols:
            return model
        values = {**dict.fromkeys(batch, 1), **self.shapes}
        proto = onnx.ModelProto()
        proto.CopyFrom(model.proto)
        for value_info in proto.graph.input:
            _bind(value_info, values)
        # What was inferred or written down for other extents may now contradict; inference fills it in again.
        del proto.graph.value_info[:]
        for value_info in proto.graph.output:
            _bind(value_info, values)
            _forget_symbols(value_info)
        bound = {symbol: values[symbol] for symbol in sorted(symbols) if symbol in values}
        return replace(model, proto=proto, unbound=model.unbound or model, extents={**model.extents, **bound})


def _symbols(model: Model) -> tuple[frozenset[str], frozenset[str]]:
    """All symbols of the inputs, and those that lead an input."""
    names = {extent for value in model.inputs for extent in value.shape if isinstance(extent, str)}
    leading = {value.shape[0] for value in model.inputs if value.shape and isinstance(value.shape[0], str)}
    unranked = {"..."}
    return frozenset(names - unranked), frozenset(str(name) for name in leading - unranked)


def _bind(value_info: onnx.ValueInfoProto, values: Mapping[str, int]) -> None:
    for axis, extent in enumerate(value_info.type.tensor_type.shape.dim):
        key = extent.dim_param or axis_key(value_info.name, axis)
        if not extent.HasField("dim_value") and key in values:
            extent.dim_value = values[key]


def _forget_symbols(value_info: onnx.ValueInfoProto) -> None:
    for extent in value_info.type.tensor_type.shape.dim:
        if extent.HasField("dim_param"):
            extent.ClearField("dim_param")
