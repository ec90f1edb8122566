"""Nodes written in the place of one node: names, types and origin kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from weft.frontend.graph import Array, Graph
from weft.frontend.origins import record

FLOAT = onnx.TensorProto.FLOAT


class Builder:
    """Adds float32 nodes that stand for `node`; every constant is made once. Operator set 13 or later."""

    def __init__(self, graph: Graph, node: onnx.NodeProto) -> None:
        self.graph = graph
        self._node = node
        self._base = node.name
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor that was made here, or that the graph knows."""
        shape = self.graph.static_shape(name)
        if shape is None:
            raise RuntimeError(f"'{name}' must have a static shape; this is a bug in Weft")
        return shape

    def constant(self, role: str, value: Array) -> str:
        """The name of a constant, one for all uses of the same value."""
        key = (str(value.dtype), value.shape, value.tobytes())
        if key not in self._constants:
            self._constants[key] = self.graph.add_constant(f"{self._base}_{role}", value)
        return self._constants[key]

    def scalar(self, value: float) -> str:
        """A float32 number."""
        return self.constant("scalar", np.asarray(value, np.float32))

    def unary(self, kind: str, value: str, **attributes: float) -> str:
        """A function of one tensor, element by element."""
        return self._add(kind, [value], [self.shape(value)], **attributes)[0]

    def binary(self, kind: str, left: str, right: str) -> str:
        """Add, Sub or Mul of two tensors that broadcast."""
        shape = np.broadcast_shapes(self.shape(left), self.shape(right))
        return self._add(kind, [left, right], [shape])[0]

    def product(self, left: str, right: str) -> str:
        """[M, K] times [K, N]."""
        return self._add("MatMul", [left, right], [(self.shape(left)[0], self.shape(right)[1])])[0]

    def clip(self, value: str, bound: float) -> str:
        """Limits to -bound..bound."""
        inputs = [value, self.scalar(-bound), self.scalar(bound)]
        return self._add("Clip", inputs, [self.shape(value)])[0]

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        """The same elements in another shape; nothing where it has that shape already."""
        if self.shape(value) == tuple(shape):
            return value
        return self._add("Reshape", [value, self.constant("shape", np.asarray(shape, np.int64))], [shape])[0]

    def split(self, value: str, axis: int, sizes: Sequence[int]) -> list[str]:
        """Parts of these sizes along an axis."""
        if len(sizes) == 1:
            return [value]
        shape = self.shape(value)
        shapes = [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]
        return self._add("Split", [value, self.constant("sizes", np.asarray(sizes, np.int64))], shapes, axis=axis)

    def concat(self, values: Sequence[str], axis: int) -> str:
        """Tensors one after the other along an axis."""
        if len(values) == 1:
            return values[0]
        shapes = [self.shape(value) for value in values]
        extent = sum(shape[axis] for shape in shapes)
        return self._add("Concat", list(values), [(*shapes[0][:axis], extent, *shapes[0][axis + 1 :])], axis=axis)[0]

    def gather(self, value: str, axis: int, indices: Sequence[int]) -> str:
        """These indices of an axis; nothing where they are all of it in order."""
        shape = self.shape(value)
        if list(indices) == list(range(shape[axis])):
            return value
        inputs = [value, self.constant("indices", np.asarray(indices, np.int64))]
        return self._add("Gather", inputs, [(*shape[:axis], len(indices), *shape[axis + 1 :])], axis=axis)[0]

    def identity(self, value: str, target: str) -> None:
        """Gives a tensor the name `target`."""
        self._node_of("Identity", [value], [target])

    def _add(self, kind: str, inputs: list[str], shapes: Sequence[Sequence[int]], **attributes: Any) -> list[str]:
        outputs = [self.graph.fresh(f"{self._base}_{kind}_output") for _ in shapes]
        self._node_of(kind, inputs, outputs, **attributes)
        for output, shape in zip(outputs, shapes, strict=True):
            self.graph.set_type(output, FLOAT, shape)
        return outputs

    def _node_of(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        name = self.graph.fresh_node_name(f"{self._base}_{kind}")
        node = helper.make_node(kind, inputs, outputs, name=name, **attributes)
        record(node, [self._node])
        self.graph.add(node)
