"""An editable view of an ONNX graph: who produces, who consumes, what is constant, which shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from weft.frontend.model import Model
from weft.frontend.topology import sort_nodes, subgraphs, used_names
from weft.frontend.wide_nodes import WideNodes

Array = npt.NDArray[Any]
NO_NODES: Mapping[int, onnx.NodeProto] = {}


class Graph:
    """A working copy of a model's main graph. Subgraphs count as uses of what they capture and are not
    edited, except that `rewire` renames captured tensors in them. `finish` gives the edited model back.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._proto = onnx.ModelProto()
        self._proto.CopyFrom(model.proto)
        graph = self._proto.graph
        self._nodes: dict[int, onnx.NodeProto] = {id(node): node for node in graph.node}
        self.constants: dict[str, onnx.TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
        self.output_names = frozenset(value.name for value in graph.output)
        self.input_names = frozenset(value.name for value in graph.input) - self.constants.keys()
        self._types = {value.name: value.type for value in (*graph.value_info, *graph.input, *graph.output)}
        self._arrays: dict[str, Array] = {}
        made = (name for node in self._nodes.values() for name in node.output)
        self._names = {*self._types, *self.constants, *made}
        self._node_names = {node.name for node in self.nodes}
        self._suffixes: dict[tuple[int, str], int] = {}
        self._producers = {name: node for node in self._nodes.values() for name in node.output if name}
        # By the node's id, so that taking one reader of many away does not cost a search.
        self._consumers: dict[str, dict[int, onnx.NodeProto]] = {}
        self._wide = WideNodes()
        for node in self._nodes.values():
            self._count_uses(node)
        self._names |= self._consumers.keys()

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """The nodes, added ones last, as a new list."""
        return list(self._nodes.values())

    @property
    def opset(self) -> int:
        """Version of the standard operator set."""
        return self._model.opset

    @property
    def opset_imports(self) -> tuple[onnx.OperatorSetIdProto, ...]:
        """All operator sets that the model imports."""
        return tuple(self._proto.opset_import)

    @property
    def ir_version(self) -> int:
        """The model's IR version."""
        return self._proto.ir_version

    def producer(self, name: str) -> onnx.NodeProto | None:
        """The node whose output `name` is, or None for inputs and constants."""
        return self._producers.get(name)

    def consumers(self, name: str) -> tuple[onnx.NodeProto, ...]:
        """The nodes that read `name`, each once, also where only a subgraph of theirs reads it."""
        return tuple(self._consumers.get(name, NO_NODES).values())

    def only_consumer(self, name: str) -> onnx.NodeProto | None:
        """The one node that reads `name`; None where it has several readers, none, or is a graph output."""
        readers = self._consumers.get(name, NO_NODES)
        return next(iter(readers.values())) if len(readers) == 1 and name not in self.output_names else None

    def constant(self, name: str) -> Array | None:
        """The value of a constant (do not write to it), or None where `name` is computed or an input."""
        if name not in self._arrays and name in self.constants:
            self._arrays[name] = numpy_helper.to_array(self.constants[name])
        return self._arrays.get(name)

    def shape(self, name: str) -> tuple[int | None, ...] | None:
        """The inferred shape with None for extents that are not static; None where the rank is unknown."""
        if name in self.constants:
            return tuple(self.constants[name].dims)
        if name not in self._types or not self._types[name].tensor_type.HasField("shape"):
            return None
        extents = self._types[name].tensor_type.shape.dim
        return tuple(extent.dim_value if extent.HasField("dim_value") else None for extent in extents)

    def static_shape(self, name: str) -> tuple[int, ...] | None:
        """The shape where every extent is known, else None."""
        shape = self.shape(name)
        if shape is None:
            return None
        known = tuple(extent for extent in shape if extent is not None)
        return known if len(known) == len(shape) else None

    def element_type(self, name: str) -> int:
        """The ONNX element type (TensorProto.DataType), 0 where unknown."""
        if name in self.constants:
            return self.constants[name].data_type
        return self._types[name].tensor_type.elem_type if name in self._types else 0

    def fresh(self, base: str) -> str:
        """A tensor name that nothing uses yet, `base` itself if free."""
        return self._unused(base, self._names)

    def fresh_node_name(self, base: str) -> str:
        """A node name that no node has yet, `base` itself if free."""
        return self._unused(base, self._node_names)

    def add_constant(self, base: str, value: Array) -> str:
        """Adds an initializer and returns its name."""
        name = self.fresh(base)
        self.set_constant(name, value)
        return name

    def set_constant(self, name: str, value: Array) -> None:
        """Makes `name` a constant of this value, new or in place of the old one."""
        self._names.add(name)
        self._arrays.pop(name, None)
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name)

    def set_type(self, name: str, element_type: int, shape: Iterable[int | None]) -> None:
        """Records a new tensor's type so that later matches need no new shape inference."""
        self._types[name] = helper.make_tensor_type_proto(element_type, list(shape))

    def add(self, node: onnx.NodeProto) -> None:
        """Adds a node; `finish` puts it into topological order."""
        self._nodes[id(node)] = node
        self._node_names.add(node.name)
        self._names.update(name for name in node.output if name)
        self._producers.update({name: node for name in node.output if name})
        self._count_uses(node)

    def remove(self, node: onnx.NodeProto) -> None:
        """Takes a node out; its outputs must get a new producer or lose their readers before `finish`."""
        del self._nodes[id(node)]
        for name in node.output:
            if self._producers.get(name) is node:
                del self._producers[name]
        self._forget_uses(node)
        self._wide.forget(node)

    def replace_input(self, node: onnx.NodeProto, index: int, name: str) -> None:
        """Makes input `index` of a node read another tensor."""
        before = node.input[index]
        still_read = self._wide.replace(node, index, name)
        if still_read is None:
            self._forget_uses(node)
            node.input[index] = name
            self._count_uses(node)
            return
        if before and not still_read:
            self._consumers[before].pop(id(node), None)
        if name:
            self._consumers.setdefault(name, {})[id(node)] = node

    def rewire(self, old: str, new: str) -> None:
        """Makes every reader of `old`, subgraphs included, read `new` instead. Graph outputs keep their
        name."""
        for key, node in self._consumers.pop(old, NO_NODES).items():
            if not self._wide.rename(node, old, new):
                _rename_uses(node, old, new)
            self._consumers.setdefault(new, {})[key] = node

    def rename_output(self, node: onnx.NodeProto, old: str, new: str) -> None:
        """Makes a node's output `old` be called `new`; its readers still read `old`."""
        node.output[:] = [new if name == old else name for name in node.output]
        del self._producers[old]
        self._producers[new] = node

    def finish(self) -> Model:
        """The edited model: dead nodes and unused constants dropped, nodes in topological order."""
        graph = self._proto.graph
        live = self._live_nodes()
        ordered = sort_nodes(live)
        if len(ordered) < len(live):
            raise RuntimeError("a graph edit made a cycle; this is a bug in Weft")
        used = {name for node in ordered for name in used_names(node)} | self.output_names
        tensors = [_copy_tensor(tensor) for name, tensor in self.constants.items() if name in used]
        # An unused initializer that old exporters list as an input too must not become a real input.
        inputs = [_copy_value(value) for value in graph.input if value.name in self.input_names | used]
        made = {name for node in ordered for name in node.output}
        types = {name: kind for name, kind in self._types.items() if name in made and name not in self.output_names}
        infos = [onnx.ValueInfoProto(name=name, type=kind) for name, kind in types.items()]
        if len(ordered) != len(graph.node) or any(a is not b for a, b in zip(ordered, graph.node, strict=True)):
            copies = [_copy(node) for node in ordered]
            del graph.node[:]
            graph.node.extend(copies)
        del graph.initializer[:], graph.value_info[:], graph.input[:]
        graph.input.extend(inputs)
        graph.initializer.extend(tensors)
        graph.value_info.extend(infos)
        return self._model.with_proto(self._proto)

    def _live_nodes(self) -> list[onnx.NodeProto]:
        live: set[int] = set()
        waiting = list(self.output_names)
        while waiting:
            node = self._producers.get(waiting.pop())
            if node is not None and id(node) not in live:
                live.add(id(node))
                waiting.extend(used_names(node))
        return [node for node in self.nodes if id(node) in live]

    def _count_uses(self, node: onnx.NodeProto) -> None:
        for name in used_names(node):
            self._consumers.setdefault(name, {})[id(node)] = node

    def _forget_uses(self, node: onnx.NodeProto) -> None:
        for name in used_names(node):
            self._consumers[name].pop(id(node), None)

    def _unused(self, base: str, taken: set[str]) -> str:
        """`base`, or `base` with the least free number; the next call for it goes on from there."""
        key = (id(taken), base)
        name, count = base, self._suffixes.get(key, 0)
        while name in taken:
            count += 1
            name = f"{base}__{count}"
        self._suffixes[key] = count
        taken.add(name)
        return name


def attributes(node: onnx.NodeProto) -> Mapping[str, onnx.AttributeProto]:
    """A node's attributes by name."""
    return {attribute.name: attribute for attribute in node.attribute}


def has(model: Model, *op_types: str) -> bool:
    """Whether one of these standard operators is in the main graph: most passes look for few and find none."""
    return any(is_standard(node, *op_types) for node in model.proto.graph.node)


def integer(node: onnx.NodeProto, name: str, default: int) -> int:
    """An integer attribute, or its default where the node does not have it."""
    found = attributes(node).get(name)
    return default if found is None else int(found.i)


def integers(node: onnx.NodeProto, name: str) -> tuple[int, ...] | None:
    """A list-of-integers attribute, or None where the node does not have it."""
    found = attributes(node).get(name)
    return None if found is None else tuple(found.ints)


def real(node: onnx.NodeProto, name: str, default: float) -> float:
    """A float attribute, or its default where the node does not have it."""
    found = attributes(node).get(name)
    return default if found is None else float(found.f)


def text(node: onnx.NodeProto, name: str, default: str) -> str:
    """A string attribute, or its default where the node does not have it."""
    found = attributes(node).get(name)
    return default if found is None else found.s.decode("utf-8", errors="replace")


def set_attribute(node: onnx.NodeProto, name: str, value: object) -> None:
    """Sets or replaces an attribute."""
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    copies = [onnx.AttributeProto.FromString(attribute.SerializeToString()) for attribute in kept]
    del node.attribute[:]
    node.attribute.extend([*copies, helper.make_attribute(name, value)])


def remove_attribute(node: onnx.NodeProto, name: str) -> None:
    """Removes an attribute where the node has it."""
    for attribute in [attribute for attribute in node.attribute if attribute.name == name]:
        node.attribute.remove(attribute)


def is_standard(node: onnx.NodeProto, *op_types: str) -> bool:
    """Whether a node is one of these operators of ONNX's default domain."""
    return node.domain in ("", "ai.onnx") and node.op_type in op_types


def _rename_uses(node: onnx.NodeProto, old: str, new: str) -> None:
    for index, name in enumerate(node.input):
        if name == old:
            node.input[index] = new
    for inner in subgraphs(node):
        for inner_node in inner.node:
            _rename_uses(inner_node, old, new)
        for value in inner.output:
            if value.name == old:
                value.name = new


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def _copy_value(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    copy = onnx.ValueInfoProto()
    copy.CopyFrom(value)
    return copy


def _copy_tensor(tensor: onnx.TensorProto) -> onnx.TensorProto:
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    return copy
