"""What a whole host graph takes on a host."""

from __future__ import annotations

import onnx
from google.protobuf.message import DecodeError

from weft.errors import ModelError
from weft.frontend.model import Model
from weft.frontend.passes.infer_shapes import InferShapes
from weft.ir import Graph
from weft.partition.costs.host import host_nanoseconds
from weft.partition.costs.profile import HostProfile
from weft_runtime.executable import HostGraph

__all__ = ["graph_nanoseconds", "model_nanoseconds"]


def graph_nanoseconds(host: HostGraph, profile: HostProfile) -> int:
    """What a host graph takes on a host. Raises ModelError where it cannot be read."""
    try:
        proto = onnx.load_model_from_string(host.model)
    except DecodeError as error:
        raise ModelError(f"host graph {host.name!r} cannot be read: {error}") from error
    return model_nanoseconds(proto, host.name, profile)


def model_nanoseconds(proto: onnx.ModelProto, name: str, profile: HostProfile) -> int:
    """What a model takes on a host, node by node."""
    graph = Graph(InferShapes().run(Model(proto, name=name)).proto)
    return sum(host_nanoseconds(graph, node, profile) for node in graph.nodes)
