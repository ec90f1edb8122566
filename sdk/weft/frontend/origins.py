"""Which nodes of the loaded model a node was made of."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

ORIGINS_KEY = "weft.nodes"
SEPARATOR = ";;"


def origins(node: onnx.NodeProto) -> tuple[str, ...]:
    """Names of the original nodes that `node` stands for; its own name where nothing was merged."""
    for entry in node.metadata_props:
        if entry.key == ORIGINS_KEY:
            return tuple(entry.value.split(SEPARATOR))
    return (node.name,)


def record(node: onnx.NodeProto, sources: Iterable[onnx.NodeProto]) -> None:
    """Writes into `node` that it stands for all of `sources`, in this order, each original once."""
    names = dict.fromkeys(name for source in sources for name in origins(source))
    kept = [(entry.key, entry.value) for entry in node.metadata_props if entry.key != ORIGINS_KEY]
    del node.metadata_props[:]
    for key, value in (*kept, (ORIGINS_KEY, SEPARATOR.join(names))):
        node.metadata_props.add(key=key, value=value)
