"""Which nodes of the loaded model a node was made of."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

ORIGINS_KEY = "weft.nodes"
SEPARATOR = ";;"


def origins(node: onnx.NodeProto) -> tuple[str, ...]:
    """Names of the original nodes that `node` stands for; its own name where nothing was merged."""
    for entry in node.metadata_props:
        if entry.key == ORIGINS_KEY and isinstance(entry.value, str):  # bytes, where a file holds no UTF-8
            return tuple(entry.value.split(SEPARATOR))
    return (node.name,)


def record(node: onnx.NodeProto, sources: Iterable[onnx.NodeProto]) -> None:
    """Writes into `node` that it stands for all of `sources`, in this order, each original once."""
    names = dict.fromkeys(name for source in sources for name in origins(source))
    entries = [(entry.key, entry.value) for entry in node.metadata_props if entry.key != ORIGINS_KEY]
    kept = [(key, value) for key, value in entries if isinstance(key, str) and isinstance(value, str)]
    del node.metadata_props[:]
    for key, value in (*kept, (ORIGINS_KEY, SEPARATOR.join(names))):
        node.metadata_props.add(key=key, value=value)
