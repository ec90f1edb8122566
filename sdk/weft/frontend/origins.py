"""What a node carries through the passes: the original nodes it was made of, and why it stays on the host."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

ORIGINS_KEY = "weft.nodes"
PIN_KEY = "weft.pin"
REASON_KEY = "weft.reason"
EMPTIED_KEY = "weft.emptied"
SEPARATOR = ";;"


def origins(node: onnx.NodeProto) -> tuple[str, ...]:
    """Names of the original nodes that `node` stands for; its own name where nothing was merged."""
    found = _get(node, ORIGINS_KEY)
    return (node.name,) if found is None else tuple(found.split(SEPARATOR))


def pin(node: onnx.NodeProto) -> str | None:
    """Where the model's author wants the node to run: the metadata "weft.pin"; None where nothing is said."""
    return _get(node, PIN_KEY)


def record(node: onnx.NodeProto, sources: Iterable[onnx.NodeProto]) -> None:
    """Writes into `node` that it stands for all of `sources`, in this order, each original once, and the first
    pin among them unless it has one."""
    sources = tuple(sources)
    names = dict.fromkeys(name for source in sources for name in origins(source))
    pins = [text for source in sources if (text := pin(source)) is not None]
    if pins and pin(node) is None:
        _set(node, PIN_KEY, pins[0])
    _set(node, ORIGINS_KEY, SEPARATOR.join(names))


def give_reason(node: onnx.NodeProto, reason: str) -> None:
    """Writes into `node` why it stays on the host."""
    _set(node, REASON_KEY, reason)


def reason(node: onnx.NodeProto) -> str:
    """Why a pass left the node to the host; empty where none said so."""
    return _get(node, REASON_KEY) or ""


def mark_emptied(node: onnx.NodeProto) -> None:
    """Writes into an If that products were moved out of its branches, so that it belongs between two of them."""
    _set(node, EMPTIED_KEY, "1")


def is_emptied(node: onnx.NodeProto) -> bool:
    """Whether products were moved out of an If's branches."""
    return _get(node, EMPTIED_KEY) is not None


def _get(node: onnx.NodeProto, name: str) -> str | None:
    for entry in node.metadata_props:
        if entry.key == name and isinstance(entry.value, str):  # bytes, where a file holds no UTF-8
            return entry.value
    return None


def _set(node: onnx.NodeProto, name: str, text: str) -> None:
    entries = [(entry.key, entry.value) for entry in node.metadata_props if entry.key != name]
    kept = [(key, value) for key, value in entries if isinstance(key, str) and isinstance(value, str)]
    del node.metadata_props[:]
    for key, value in (*kept, (name, text)):
        node.metadata_props.add(key=key, value=value)
