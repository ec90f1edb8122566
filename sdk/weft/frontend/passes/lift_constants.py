"""Constant nodes and defaults of inputs made initializers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from weft.frontend.graph import Array, Graph, is_standard
from weft.frontend.model import Model

# From this IR version on an initializer need not be an input too, and a node may carry metadata.
IR_VERSION = 10


@dataclass(frozen=True)
class LiftConstants:
    """Turns Constant nodes into initializers, and takes initializers off the list of inputs: they are
    constants."""

    name: str = "lift-constants"

    def run(self, model: Model) -> Model:
        graph = Graph(model)
        for node in list(graph.nodes):
            if is_standard(node, "Constant") and node.output[0] not in graph.output_names:
                value = constant_value(node)
                if value is not None:
                    graph.remove(node)
                    graph.set_constant(node.output[0], value)
        lifted = graph.finish()
        proto = lifted.proto
        inputs = [_copy(value) for value in proto.graph.input if value.name not in graph.constants]
        del proto.graph.input[:]
        proto.graph.input.extend(inputs)
        proto.ir_version = max(proto.ir_version, IR_VERSION)
        return lifted


def constant_value(node: onnx.NodeProto) -> Array | None:
    """The value of a Constant node; None where it is a string or sparse."""
    attribute = node.attribute[0]
    if attribute.name == "value":
        return numpy_helper.to_array(attribute.t)
    if attribute.name == "value_float":
        return np.asarray(attribute.f, np.float32)
    if attribute.name == "value_floats":
        return np.asarray(attribute.floats, np.float32)
    if attribute.name == "value_int":
        return np.asarray(attribute.i, np.int64)
    if attribute.name == "value_ints":
        return np.asarray(attribute.ints, np.int64)
    return None


def _copy(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    copy = onnx.ValueInfoProto()
    copy.CopyFrom(value)
    return copy
