"""Values of a program while it is taken apart: names, types, constants, and the sub-networks made so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import onnx
from onnx import helper, numpy_helper

from weft.dynamic.types import Refused, tensor_type
from weft.errors import ModelError
from weft.frontend.model import Model
from weft.frontend.passes.infer_shapes import InferShapes
from weft.frontend.renaming import unused_name
from weft.frontend.topology import all_graphs, sort_nodes, used_names
from weft_runtime.control import Launch, Statement

__all__ = ["Mark", "Scope", "Values"]


@dataclass
class Scope:
    """The program's names for those that one graph uses; a name that is not in it is an outer one and stays."""

    names: dict[str, str]


@dataclass(frozen=True)
class Mark:
    """A point to come back to, where what was begun turns out to be impossible."""

    networks: int
    values: dict[str, str]


class Values:
    """All names are the program's: no two values share one, whatever the graph they come from."""

    def __init__(self, model: Model) -> None:
        self.networks: list[Model] = []
        self.types: dict[str, onnx.TypeProto] = {value.name: value.type for value in model.proto.graph.input}
        self._model = model
        self._constants: dict[str, onnx.TensorProto] = {}
        self._derived: dict[str, onnx.NodeProto] = {}
        self._declared: dict[str, onnx.TypeProto] = {}
        self._values: dict[str, str] = {}
        self._taken: set[str] = set()
        self._defined = Counter(name for graph in all_graphs(model.proto.graph) for name in _defined(graph))
        self._taken.update(_defined(model.proto.graph))
        self._node_names: set[str] = set()
        self.declare(model.proto.graph)

    def fresh(self, base: str) -> str:
        """A name that no value has yet: `base` itself where no other graph defines it, too."""
        name, count = base, 0
        while name in self._taken or self._defined[name] > (1 if not count else 0):
            count += 1
            name = f"{base}__{count}"
        self._taken.add(name)
        return name

    def fresh_node_name(self, base: str) -> str:
        """A name that no node has yet."""
        return unused_name(base, self._node_names)

    def add_constant(self, name: str, tensor: onnx.TensorProto) -> None:
        """Makes `name` a constant."""
        copy = onnx.TensorProto()
        copy.CopyFrom(tensor)
        copy.name = name
        self._constants[name] = copy
        self.types[name] = tensor_type(tensor.data_type, tuple(tensor.dims))

    def derive(self, node: onnx.NodeProto) -> bool:
        """Takes a node that computes from constants alone out of the program, if it is such: every sub-network that
        needs its result has a copy, so that weights never travel."""
        operands = used_names(node)
        if not operands or any(name not in self._constants and name not in self._derived for name in operands):
            return False
        self._derived.update(dict.fromkeys(filter(None, node.output), node))
        return True

    def declare(self, graph: onnx.GraphProto) -> None:
        """Remembers the types that a graph states, for where inference finds none."""
        for value in (*graph.value_info, *graph.output):
            if value.type.WhichOneof("value") is not None:
                self._declared.setdefault(value.name, value.type)

    def shape(self, name: str) -> tuple[int | None, ...] | None:
        """The extents as far as known."""
        kind = self.types.get(name) or self._declared.get(name)
        if kind is None or not kind.tensor_type.HasField("shape"):
            return None
        return tuple(
            extent.dim_value if extent.HasField("dim_value") else None for extent in kind.tensor_type.shape.dim
        )

    def is_true(self, name: str) -> bool:
        """Whether a value is constant and not 0."""
        tensor = self._constants.get(name)
        return tensor is not None and bool(numpy_helper.to_array(tensor).reshape(-1)[:1].all())

    def whole(self, name: str) -> int | None:
        """The value of a constant of one element, if it is a plausible extent."""
        tensor = self._constants.get(name)
        if tensor is None or (values := numpy_helper.to_array(tensor)).size != 1:
            return None
        found = int(values.reshape(-1)[0])
        return found if 0 <= found < 1 << 31 else None

    def value(self, name: str) -> str:
        """The value that stands for a name: itself, or for a constant what `materialize` made of it."""
        return self._values.get(name, name)

    def materialize(self, names: Iterable[str]) -> list[Statement]:
        """A launch that makes values of the constants among these names, if there are any."""
        constants = [name for name in dict.fromkeys(names) if name in self._constants or name in self._derived]
        if not constants:
            return []
        nodes = []
        for name in constants:
            self._values[name] = value = self.fresh(f"{name}_value")
            nodes.append(helper.make_node("Identity", [name], [value], name=self.fresh_node_name(value)))
        return [self.network(nodes, {self._values[name] for name in constants})]

    def network(self, nodes: Sequence[onnx.NodeProto], needed: Collection[str]) -> Launch:
        """Makes a sub-network of nodes; `needed` are the names that something else reads. Raises Refused where the type
        of a value at its border is not known."""
        nodes = [*self._derived_for(nodes), *nodes]
        made = [name for node in nodes for name in node.output if name]
        own = set(made)
        used = dict.fromkeys(name for node in nodes for name in sorted(used_names(node)))
        inputs = [name for name in used if name not in own and name not in self._constants]
        outputs = [name for name in made if name in needed]
        graph = helper.make_graph(
            list(nodes), f"network_{len(self.networks)}",
            [onnx.ValueInfoProto(name=name, type=self._type(name)) for name in inputs],
            [onnx.ValueInfoProto(name=name) for name in outputs],
            [self._constants[name] for name in used if name in self._constants],
        )  # fmt: skip
        proto = onnx.ModelProto(ir_version=self._model.proto.ir_version)
        proto.opset_import.extend(self._model.proto.opset_import)
        proto.functions.extend(self._model.proto.functions)
        proto.graph.CopyFrom(graph)
        model = self._infer(Model(proto, name=f"{self._model.name}/{graph.name}"), outputs)
        self.networks.append(model)
        return Launch(len(self.networks) - 1, tuple(inputs), tuple(outputs))

    def _derived_for(self, nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
        """The nodes on constants that these need, in order."""
        found: dict[int, onnx.NodeProto] = {}
        waiting = list(nodes)
        while waiting:
            node = waiting.pop()
            for name in sorted(used_names(node)):
                if name in self._derived:
                    if id(self._derived[name]) not in found:
                        waiting.append(self._derived[name])
                    found[id(self._derived[name])] = self._derived[name]
        return sort_nodes(list(found.values()))

    def mark(self) -> Mark:
        """The present state."""
        return Mark(len(self.networks), dict(self._values))

    def back_to(self, mark: Mark) -> None:
        """Forgets the sub-networks made since; names stay taken."""
        del self.networks[mark.networks :]
        self._values = dict(mark.values)

    def _type(self, name: str) -> onnx.TypeProto:
        kind = self.types.get(name)
        if kind is None or kind.WhichOneof("value") is None:
            raise Refused(f"the type of {name!r} is not known")
        return kind

    def _infer(self, model: Model, outputs: Sequence[str]) -> Model:
        """The model with the types of its outputs, which become known here, too."""
        try:
            inferred = InferShapes().run(model)
        except ModelError as error:
            raise Refused(str(error)) from error
        found = {value.name: value.type for value in (*inferred.proto.graph.output, *inferred.proto.graph.value_info)}
        for name in outputs:
            kind = found.get(name)
            if kind is None or kind.WhichOneof("value") is None:
                kind = self._declared.get(name)
            if kind is None:
                raise Refused(f"the type of {name!r} is not known")
            self.types[name] = kind
        del inferred.proto.graph.output[:]
        inferred.proto.graph.output.extend(onnx.ValueInfoProto(name=name, type=self.types[name]) for name in outputs)
        return inferred


def _defined(graph: onnx.GraphProto) -> set[str]:
    names = {value.name for value in (*graph.input, *graph.initializer)}
    return names | {name for node in graph.node for name in node.output if name}
