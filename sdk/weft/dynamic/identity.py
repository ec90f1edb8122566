"""Whether two sub-networks are the same but for names."""

from __future__ import annotations

import hashlib

import onnx

from weft.frontend.model import Model
from weft.frontend.renaming import renamed

__all__ = ["body_key"]


def body_key(model: Model) -> bytes:
    """A digest that two models share only where they have the same nodes in the same order, the same constants, and
    inputs and outputs of the same types, whatever anything is called."""
    graph = model.proto.graph
    names = {value.name: f"i{index}" for index, value in enumerate(graph.input)}
    constants = sorted(graph.initializer, key=lambda tensor: _first_use(graph, tensor.name))
    names |= {tensor.name: f"c{index}" for index, tensor in enumerate(constants)}
    made = (name for node in graph.node for name in node.output if name)
    names |= {name: f"v{index}" for index, name in enumerate(made)}
    digest = hashlib.sha256()
    for node in graph.node:
        copy = renamed(node, names)
        copy.name = copy.doc_string = ""
        del copy.metadata_props[:]
        _add(digest, copy.SerializeToString(deterministic=True))
    for tensor in constants:
        plain = onnx.TensorProto()
        plain.CopyFrom(tensor)
        plain.name = names[tensor.name]
        _add(digest, plain.SerializeToString(deterministic=True))
    for value in (*graph.input, *graph.output):
        kind = onnx.ValueInfoProto(name=names.get(value.name, value.name), type=value.type)
        _add(digest, kind.SerializeToString(deterministic=True))
    for entry in sorted(model.proto.opset_import, key=lambda each: each.domain):
        _add(digest, f"{entry.domain} {entry.version}".encode())
    return digest.digest()


def _first_use(graph: onnx.GraphProto, name: str) -> tuple[int, str]:
    for index, node in enumerate(graph.node):
        if name in node.input:
            return index, f"{list(node.input).index(name):08d}"
    return len(graph.node), name


def _add(digest: hashlib._Hash, content: bytes) -> None:
    digest.update(len(content).to_bytes(8, "little"))
    digest.update(content)
