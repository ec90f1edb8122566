"""A model that was bound to some extents, and perhaps quantized since, bound to others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx

from weft.errors import ModelError
from weft.frontend.graph import Graph
from weft.frontend.model import Model
from weft.frontend.normalize import normalize
from weft.frontend.passes.infer_shapes import InferShapes

__all__ = ["rebind"]


def rebind(model: Model, shapes: Mapping[str, int]) -> Model:
    """`model` with the extents in `shapes` in place of those it is bound to; scales and weights stay, so that a sample
    gives the same result whatever the batch.

    The float model is normalized for the old and for the new extents. Where both have the same nodes, what differs
    are constants computed from the extents (targets of Reshape, say), and the quantized model takes those over. A
    model that never had symbols is returned as it is, if nothing is asked of it. Raises ModelError for unknown
    symbols, and where the extents change more than such constants.
    """
    wanted = {**model.extents, **shapes}
    if model.unbound is None or wanted == dict(model.extents):
        return model
    new = normalize(model.unbound, wanted)
    if not model.is_quantized or model.unbound.is_quantized:
        return new
    old = Graph(normalize(model.unbound, model.extents))
    fresh = Graph(new)
    stated = ", ".join(f"{name}={value}" for name, value in shapes.items())
    if [_essence(node) for node in old.nodes] != [_essence(node) for node in fresh.nodes]:
        raise ModelError(f"{model.name}: its graph is another for {stated}: quantize it with these extents")
    proto = _with_shapes_of(new.proto, model.proto)
    graph = Graph(replace(model, proto=proto, extents=wanted))
    for name in old.constants.keys() & fresh.constants.keys():
        value, other = old.constant(name), fresh.constant(name)
        if value is None or other is None or _same(value, other):
            continue
        present = graph.constant(name)
        if present is None or not _same(present, value):
            raise ModelError(
                f"{model.name}: its constant '{name}' is another for {stated} and was quantized: "
                "quantize the model with these extents"
            )
        graph.set_constant(name, other)
    return InferShapes().run(graph.finish())


def _essence(node: onnx.NodeProto) -> bytes:
    """A node without what is for reports only."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    del copy.metadata_props[:]
    copy.doc_string = ""
    return bytes(copy.SerializeToString(deterministic=True))


def _same(value: np.ndarray, other: np.ndarray) -> bool:
    return value.dtype == other.dtype and value.shape == other.shape and value.tobytes() == other.tobytes()


def _with_shapes_of(source: onnx.ModelProto, quantized: onnx.ModelProto) -> onnx.ModelProto:
    """The quantized model with the inputs and outputs of `source`, and no shape of anything between."""
    proto = onnx.ModelProto()
    proto.CopyFrom(quantized)
    del proto.graph.input[:], proto.graph.output[:], proto.graph.value_info[:]
    proto.graph.input.extend(source.graph.input)
    proto.graph.output.extend(source.graph.output)
    return proto
