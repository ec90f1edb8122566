"""Where a node with many inputs reads a tensor, without a search through all of them for each."""

from __future__ import annotations

import onnx

from weft.frontend.topology import subgraphs

__all__ = ["WideNodes"]

WIDE = 32
Places = dict[str, list[int]]


class WideNodes:
    """Input positions by tensor, of nodes that have many inputs and no subgraphs, found at the first question. All
    changes of such a node's inputs have to go through here; other nodes are not kept."""

    def __init__(self) -> None:
        self._places: dict[int, Places] = {}

    def forget(self, node: onnx.NodeProto) -> None:
        """Drops what is known of a node, which leaves the graph."""
        self._places.pop(id(node), None)

    def rename(self, node: onnx.NodeProto, old: str, new: str) -> bool:
        """Makes a wide node read `new` wherever it read `old`; False for other nodes, which stay as they are."""
        places = self._of(node)
        if places is None:
            return False
        if old != new:
            found = places.pop(old, [])
            for index in found:
                node.input[index] = new
            places.setdefault(new, []).extend(found)
        return True

    def replace(self, node: onnx.NodeProto, index: int, name: str) -> bool | None:
        """Makes input `index` of a wide node read `name`; whether the node still reads what it read there, None for
        other nodes, which stay as they are."""
        places = self._of(node)
        if places is None:
            return None
        before = node.input[index]
        places[before].remove(index)
        node.input[index] = name
        places.setdefault(name, []).append(index)
        return bool(places[before])

    def _of(self, node: onnx.NodeProto) -> Places | None:
        known = self._places.get(id(node))
        if known is not None:
            return known
        if len(node.input) < WIDE or any(True for _ in subgraphs(node)):
            return None
        places: Places = {}
        for index, name in enumerate(node.input):
            places.setdefault(name, []).append(index)
        self._places[id(node)] = places
        return places
