"""Which nodes of the loaded model a node was made of."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

ORIGINS_KEY = "weft.nodes"
PIN_KEY = "weft.pin"
SEPARATOR = ";;"


def origins(node: onnx.NodeProto) -> tuple[str, ...]:
    """Names of the original nodes that `node` stands for; its own name where nothing was merged."""
    for entry in node.metadata_props:
        if entry.key == ORIGINS_KEY and isinstance(entry.value, str):  # bytes, where a file holds no UTF-8
            return tuple(entry.value.split(SEPARATOR))
    return (node.name,)


def pin(node: onnx.NodeProto) -> str | None:
    """Where the model's author wants the node to run: the metadata "weft.pin"; None where nothing is said."""
    for entry in node.metadata_props:
        if entry.key == PIN_KEY and isinstance(entry.value, str):
            return entry.value
    return None


def record(node: onnx.NodeProto, sources: Iterable[onnx.NodeProto]) -> None:
    """Writes into `node` that it stands for all of `sources`, in this order, each original once, and the first
    pin among them unless it has one."""
    sources = tuple(sources)
    names = dict.fromkeys(name for source in sources for name in origins(source))
    pins = [(PIN_KEY, text) for source in sources if (text := pin(source)) is not None and pin(node) is None]
    entries = [(entry.key, entry.value) for entry in node.metadata_props if entry.key != ORIGINS_KEY] + pins[:1]
    kept = [(key, value) for key, value in entries if isinstance(key, str) and isinstance(value, str)]
    del node.metadata_props[:]
    for key, value in (*kept, (ORIGINS_KEY, SEPARATOR.join(names))):
        node.metadata_props.add(key=key, value=value)
