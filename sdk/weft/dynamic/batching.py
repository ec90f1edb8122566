"""A sub-network written for one sample, rewritten for several at once.

Every tensor of one sample gets the samples as its leading axis: in place of a leading extent of 1 where it has one, in
front of the others otherwise (as JAX's vmap has it). Operators are rewritten one by one by rules that keep samples
apart; one without a rule, or for which it cannot be said, refuses, and the sub-network runs sample by sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx
from onnx import helper, numpy_helper

from weft.dynamic.batch_rules import RULES, Operands
from weft.dynamic.types import Refused, is_static
from weft.errors import ModelError
from weft.frontend.graph import is_standard
from weft.frontend.model import Model
from weft.frontend.passes.infer_shapes import InferShapes
from weft.frontend.topology import subgraphs

__all__ = ["batched", "is_stacked"]

Shape = tuple[int, ...]


def batched(network: Model, size: int) -> Model:
    """The sub-network for `size` samples; inputs and outputs keep their names and order. Raises Refused."""
    try:
        network = InferShapes().run(network)
    except ModelError as error:
        raise Refused(str(error)) from error
    writer = _Writer(network, size)
    for node in network.proto.graph.node:
        writer.take(node)
    return writer.finish()


def is_stacked(kind: onnx.TypeProto) -> bool:
    """Whether samples of a value of this type lie along an axis in front of its own."""
    extents = kind.tensor_type.shape.dim
    return not extents or extents[0].dim_value != 1


class _Writer(Operands):
    def __init__(self, network: Model, size: int) -> None:
        graph = network.proto.graph
        for value in graph.input:
            if not is_static(value.type):
                raise Refused(f"the extents of {value.name!r} are not known before it runs")
        super().__init__(
            size,
            network.opset,
            {value.name: _shape(value.type) for value in (*graph.input, *graph.value_info, *graph.output)
             if is_static(value.type)},
            {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer},
        )  # fmt: skip
        self._network = network
        self.samples.update(value.name for value in graph.input)

    def take(self, node: onnx.NodeProto) -> None:
        """The node, for all samples."""
        if not any(name in self.samples for name in node.input):
            self.nodes.append(node)
            return
        where = f"{node.op_type} {node.name!r}"
        rule = RULES.get(node.op_type)
        if rule is None or not is_standard(node, node.op_type) or any(True for _ in subgraphs(node)):
            raise Refused(f"{where} cannot take several samples at once")
        for name in filter(None, (*node.input, *node.output)):
            shape = self.shapes.get(name)
            if name not in self.constants and (shape is None or not math.prod(shape)):
                raise Refused(f"{where}: the extents of {name!r} are not known, or one is 0")
        try:
            rule(self, node)
        except Refused as why:
            raise Refused(f"{where}: {why}") from None
        self.samples.update(filter(None, node.output))

    def finish(self) -> Model:
        """The rewritten sub-network. Raises Refused where shapes do not come out as they must."""
        source = self._network.proto
        for value in source.graph.output:
            if value.name not in self.samples:
                raise Refused(f"{value.name!r} is the same for all samples")
        proto = onnx.ModelProto()
        proto.CopyFrom(source)
        graph = proto.graph
        del graph.node[:], graph.value_info[:], graph.input[:], graph.output[:], graph.initializer[:]
        graph.node.extend(self.nodes)
        graph.input.extend(self._value(value) for value in source.graph.input)
        graph.output.extend(onnx.ValueInfoProto(name=value.name) for value in source.graph.output)
        graph.initializer.extend(source.graph.initializer)
        graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in self.added.items())
        try:
            model = InferShapes().run(self._network.with_proto(proto))
        except ModelError as error:
            raise Refused(str(error)) from error
        wanted = {value.name: self._value(value) for value in source.graph.output}
        for value in model.proto.graph.output:
            if not is_static(value.type) or _shape(value.type) != _shape(wanted[value.name].type):
                raise Refused(f"the shape of {value.name!r} does not come out as expected")
        return model

    def _value(self, value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
        shape = self.together(_shape(value.type))
        return helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, shape)


def _shape(kind: onnx.TypeProto) -> Shape:
    extents: Sequence[onnx.TensorShapeProto.Dimension] = kind.tensor_type.shape.dim
    return tuple(extent.dim_value for extent in extents)
