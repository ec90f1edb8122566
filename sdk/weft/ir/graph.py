"""Indexed access to an ONNX graph: producers, consumers, constants and static shapes by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from weft.errors import CompileError

__all__ = ["Graph", "attributes", "static_shape"]


class Graph:
    """Read-only index over an ONNX model's main graph. Every node must have a unique, non-empty name. `handed_on`: of
    its inputs and outputs those that other accelerator programs may give or take as they are stored."""

    def __init__(self, model: onnx.ModelProto, handed_on: Collection[str] = ()) -> None:
        self.model = model
        self.handed_on = frozenset(handed_on)
        graph = model.graph
        self.nodes: list[onnx.NodeProto] = list(graph.node)
        self.by_name = {node.name: node for node in self.nodes}
        if len(self.by_name) != len(self.nodes) or "" in self.by_name:
            raise CompileError("the integer graph has nodes without unique names; integerize() gives them")
        self.initializers = {tensor.name: tensor for tensor in graph.initializer}
        self.producer: dict[str, onnx.NodeProto] = {o: node for node in self.nodes for o in node.output if o}
        self.consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys((*node.input, *captured_names(node))):
                if name:
                    self.consumers[name].append(node)
        self.input_names = [value.name for value in graph.input if value.name not in self.initializers]
        self.output_names = [value.name for value in graph.output]
        values = (*graph.input, *graph.value_info, *graph.output)
        self.values = {value.name: value for value in values}
        self._positions = {node.name: index for index, node in enumerate(self.nodes)}
        self._constants: dict[str, npt.NDArray[np.generic]] = {}

    @property
    def opset(self) -> int:
        """The version of the standard operator set; 1 where none is stated."""
        return next((each.version for each in self.model.opset_import if each.domain in ("", "ai.onnx")), 1)

    def in_order(self, names: Collection[str]) -> list[onnx.NodeProto]:
        """The nodes of these names in the graph's order."""
        return [self.by_name[name] for name in sorted(names, key=self._positions.__getitem__)]

    def constant(self, name: str) -> npt.NDArray[np.generic] | None:
        """The initializer of that name as an array, or None."""
        if name not in self.initializers:
            return None
        if name not in self._constants:
            self._constants[name] = numpy_helper.to_array(self.initializers[name])
        return self._constants[name]

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The static shape of a value, or None where it is not known."""
        if name in self.initializers:
            return tuple(self.initializers[name].dims)
        return static_shape(self.values.get(name))

    def only_consumer(self, name: str) -> onnx.NodeProto | None:
        """The single node that reads the value, or None (also if the graph's user reads it)."""
        readers = self.consumers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.output_names else None


def captured_names(node: onnx.NodeProto) -> list[str]:
    """Names of outer values that the node's subgraphs (If, Loop, Scan bodies) read."""
    found: list[str] = []
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            local = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
            local |= {output for inner in graph.node for output in inner.output}
            for inner in graph.node:
                found += [name for name in (*inner.input, *captured_names(inner)) if name and name not in local]
            found += [value.name for value in graph.output if value.name not in local]
    return found


def static_shape(value: onnx.ValueInfoProto | None) -> tuple[int, ...] | None:
    """The value's shape if every dimension is a number, else None."""
    if value is None or not value.type.tensor_type.HasField("shape"):
        return None
    dims: Sequence[onnx.TensorShapeProto.Dimension] = value.type.tensor_type.shape.dim
    if any(not dim.HasField("dim_value") for dim in dims):
        return None
    return tuple(dim.dim_value for dim in dims)


def attributes(node: onnx.NodeProto) -> dict[str, object]:
    """The node's attributes as Python values."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
