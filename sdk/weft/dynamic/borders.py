"""One sub-network's inputs and outputs changed from float to stored form."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from weft.frontend.graph import Graph, is_standard
from weft.frontend.integer.quantization import Quantization, activation, read
from weft.frontend.model import Model
from weft.frontend.passes.remove_identities import RemoveIdentities

__all__ = ["Border", "same", "stored_type"]


def same(first: Quantization, second: Quantization) -> bool:
    """Whether both store alike."""
    return (
        first.dtype == second.dtype
        and first.scale.tobytes() == second.scale.tobytes()
        and first.zero_point.tobytes() == second.zero_point.tobytes()
    )


def stored_type(kind: onnx.TypeProto, quantization: Quantization | None) -> onnx.TypeProto:
    """The type of the stored form; `kind` itself where there is none."""
    if quantization is None:
        return kind
    result = onnx.TypeProto()
    result.CopyFrom(kind)
    result.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(quantization.dtype)
    return result


class Border:
    """An editor of one normalized sub-network."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._graph = Graph(model)
        self._inputs = [value.name for value in model.proto.graph.input]
        self._outputs = [value.name for value in model.proto.graph.output]
        self._new_types: dict[str, Quantization] = {}

    def made_with(self, name: str) -> Quantization | None:
        """What an output is dequantized with."""
        found = activation(self._graph, name)
        return None if found is None else found.quantization

    def read_with(self, name: str) -> Quantization | None:
        """What all readers of an input quantize it with at once; None where they do not agree or one does not."""
        readers = self._graph.consumers(name)
        found = [self._quantized_by(node) if node.input[0] == name else None for node in readers]
        if not found or found[0] is None or name in self._graph.output_names:
            return None
        first = found[0]
        return first if all(each is not None and same(each, first) for each in found) else None

    def makes_exactly(self, name: str, quantization: Quantization) -> bool:
        """Whether an output is a constant that the stored form holds exactly."""
        node = self._graph.producer(name)
        while node is not None and is_standard(node, "Identity"):
            name = node.input[0]
            node = self._graph.producer(name)
        values = self._graph.constant(name)
        if node is not None or values is None or values.dtype != np.float32:
            return False
        low, high = quantization.limits()
        offset = np.float32(quantization.zero_point)
        stored = np.clip(np.rint(values / quantization.scale) + offset, low, high)
        return np.array_equal((stored - offset) * quantization.scale, values)

    def make_stored(self, name: str, quantization: Quantization) -> None:
        """Makes an output the stored form."""
        graph = self._graph
        inner = graph.fresh(f"{name}_float")
        node = graph.producer(name)
        assert node is not None
        found = activation(graph, name)
        self._new_types[name] = quantization
        if found is not None and same(found.quantization, quantization):
            graph.remove(node)
            if graph.consumers(name):  # others in here read the float
                graph.rename_output(self._added(node), name, inner)
                graph.rewire(name, inner)
            graph.add(helper.make_node("Identity", [found.name], [name], name=graph.fresh_node_name(f"{name}_stored")))
            return
        graph.rename_output(node, name, inner)
        graph.rewire(name, inner)
        self._convert("QuantizeLinear", inner, name, quantization)

    def read_stored(self, name: str, quantization: Quantization) -> None:
        """Makes an input the stored form."""
        graph = self._graph
        self._new_types[name] = quantization
        quantized = []
        for node in graph.consumers(name):
            found = self._quantized_by(node) if node.input[0] == name else None
            if found is not None and same(found, quantization) and node.output[0] not in graph.output_names:
                graph.remove(node)
                quantized.append(node.output[0])
        if graph.consumers(name):  # others, and what graphs within them capture, read the float
            restored = graph.fresh(f"{name}_float")
            graph.rewire(name, restored)
            self._convert("DequantizeLinear", name, restored, quantization)
        for stored in quantized:
            graph.rewire(stored, name)

    def restore(self, name: str, quantization: Quantization) -> None:
        """Makes an output, which stays float, what is left of it when it is stored."""
        graph = self._graph
        inner, stored = graph.fresh(f"{name}_float"), graph.fresh(f"{name}_quantized")
        node = graph.producer(name)
        assert node is not None
        graph.rename_output(node, name, inner)
        graph.rewire(name, inner)
        self._convert("QuantizeLinear", inner, stored, quantization)
        self._convert("DequantizeLinear", stored, name, quantization)

    def finish(self) -> Model:
        """The edited sub-network."""
        model = self._graph.finish()
        proto = onnx.ModelProto()
        proto.CopyFrom(model.proto)
        for value in (*proto.graph.input, *proto.graph.output):
            value.type.CopyFrom(stored_type(value.type, self._new_types.get(value.name)))
        return RemoveIdentities().run(model.with_proto(proto))

    def _added(self, node: onnx.NodeProto) -> onnx.NodeProto:
        self._graph.add(node)
        return node

    def _quantized_by(self, node: onnx.NodeProto) -> Quantization | None:
        found = read(self._graph, node) if is_standard(node, "QuantizeLinear") else None
        if found is None or not found.is_per_tensor or not found.scale > 0 or found.dtype not in (np.int8, np.uint8):
            return None
        return found

    def _convert(self, op: str, source: str, target: str, quantization: Quantization) -> None:
        graph = self._graph
        scale = graph.add_constant(f"{target}_scale", quantization.scale)
        zero_point = graph.add_constant(f"{target}_zero_point", quantization.zero_point)
        name = graph.fresh_node_name(f"{target}_{op}")
        graph.add(helper.make_node(op, [source, scale, zero_point], [target], name=name))
