"""Ifs made selects: both branches computed, and one result taken."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from weft.dynamic.form import Form
from weft.dynamic.types import is_static
from weft.frontend.graph import is_standard
from weft.frontend.harmless import is_harmless
from weft.frontend.model import Model
from weft.frontend.renaming import renamed, unused_name
from weft.frontend.topology import all_graphs, all_nodes, subgraphs
from weft_runtime.control import Branch, Launch

__all__ = ["may_be_selected", "with_selects"]

Parameters = tuple[bytes, bytes, int]
"""Bytes of scale and zero point, and the zero point's type."""


def may_be_selected(form: Form, branch: Branch) -> bool:
    """Whether both branches may run whatever the condition: no loops and decisions in them, only operators that cannot
    fail for values that would not have come to them, and float results of one static shape."""
    for block in (branch.then, branch.otherwise):
        for statement in block.statements:
            if not isinstance(statement, Launch) or not _is_harmless(form.networks[statement.network]):
                return False
    for name, ours, theirs in zip(branch.results, branch.then.results, branch.otherwise.results, strict=True):
        kinds = [form.types[each] for each in (name, ours, theirs)]
        if not all(is_static(each) and each.tensor_type.elem_type == TensorProto.FLOAT for each in kinds):
            return False
        shapes = {tuple(extent.dim_value for extent in each.tensor_type.shape.dim) for each in kinds}
        if len(shapes) != 1 or () in shapes:  # a condition of shape [1] would add an axis
            return False
    return bool(branch.results)


def with_selects(model: Model, names: Collection[str]) -> Model:
    """A quantized model (as `assemble` writes it: all names are the program's) with these Ifs, by name, as Where nodes
    behind both branches. Where both branches' results are stored alike, so is the Where's."""
    return _Selecting(model, frozenset(names)).run()


def _is_harmless(network: Model) -> bool:
    graph = network.proto.graph
    constants = {tensor.name for tensor in graph.initializer}
    if not all(is_static(value.type) for value in (*graph.input, *graph.output)):
        return False
    return all(is_harmless(node, constants) for node in graph.node)


class _Selecting:
    def __init__(self, model: Model, names: frozenset[str]) -> None:
        self._model = model
        self._chosen = names
        self._proto = onnx.ModelProto()
        self._proto.CopyFrom(model.proto)
        self._constants = {
            tensor.name: tensor for graph in all_graphs(self._proto.graph) for tensor in graph.initializer
        }
        self._makers = {name: node for node in all_nodes(self._proto.graph) for name in node.output if name}
        self._states: dict[str, tuple[str, ...]] = {}
        for node in all_nodes(self._proto.graph):
            for body in subgraphs(node):
                if is_standard(node, "Loop"):
                    first = zip((value.name for value in body.input[2:]), node.input[2:], strict=True)
                    self._states.update({name: (start,) for name, start in first})
        self._taken = set(self._constants) | set(self._makers) | {node.name for node in all_nodes(self._proto.graph)}
        self._added: list[onnx.TensorProto] = []
        self._renamed: dict[str, str] = {}

    def run(self) -> Model:
        graph = self._proto.graph
        self._graph(graph)
        graph.initializer.extend(self._added)
        if self._renamed:
            _reread(graph, self._renamed)
        return self._model.with_proto(self._proto)

    def _graph(self, graph: onnx.GraphProto) -> None:
        nodes = list(self._flat(graph.node))
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)

    def _flat(self, nodes: Iterator[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
        for node in nodes:
            if not is_standard(node, "If") or node.name not in self._chosen:
                for inner in subgraphs(node):
                    self._graph(inner)
                yield node
                continue
            bodies = {each.name: each.g for each in node.attribute}
            sides = [bodies[key] for key in ("then_branch", "else_branch")]
            for side in sides:
                yield from self._flat(side.node)
                self._added.extend(onnx.TensorProto.FromString(each.SerializeToString()) for each in side.initializer)
            for place, result in enumerate(node.output):
                yield from self._select(node, [side.output[place].name for side in sides], result)

    def _select(self, node: onnx.NodeProto, operands: list[str], result: str) -> Iterator[onnx.NodeProto]:
        found = {self._parameters(name, frozenset()) for name in operands}
        stored = found.pop() if len(found) == 1 else None
        if stored is None:
            yield helper.make_node("Where", [node.input[0], *operands], [result], name=self._fresh(node.name))
            return
        chosen, kept = self._fresh(f"{result}_selected"), self._fresh(f"{result}_stored")
        scale = self._constant(f"{result}_scale", np.frombuffer(stored[0], np.float32).reshape(()))
        kind = helper.tensor_dtype_to_np_dtype(stored[2])
        zero_point = self._constant(f"{result}_zero_point", np.frombuffer(stored[1], kind).reshape(()))
        yield helper.make_node("Where", [node.input[0], *operands], [chosen], name=self._fresh(node.name))
        name = self._fresh(f"{node.name}_store")
        yield helper.make_node("QuantizeLinear", [chosen, scale, zero_point], [kept], name=name)
        name = self._fresh(f"{node.name}_restore")
        yield helper.make_node("DequantizeLinear", [kept, scale, zero_point], [result], name=name)
        for reader in all_nodes(self._proto.graph):
            if is_standard(reader, "QuantizeLinear") and reader.input[0] == result and self._read(reader) == stored:
                self._renamed[reader.output[0]] = kept

    def _parameters(self, name: str, behind: frozenset[str]) -> Parameters | None:
        """How a float is stored before it is dequantized, where that is known and one way."""
        if name in behind:
            return None
        if name in self._states:
            return self._parameters(self._states[name][0], behind | {name})
        node = self._makers.get(name)
        if node is None:
            return None
        if is_standard(node, "Identity"):
            return self._parameters(node.input[0], behind | {name})
        if is_standard(node, "DequantizeLinear"):
            return self._read(node)
        if is_standard(node, "If"):
            place = list(node.output).index(name)
            inner = {self._parameters(each.output[place].name, behind | {name}) for each in subgraphs(node)}
            return inner.pop() if len(inner) == 1 else None
        if is_standard(node, "Loop"):
            place = list(node.output).index(name)
            return self._parameters(node.input[2 + place], behind | {name}) if 2 + place < len(node.input) else None
        return None

    def _read(self, node: onnx.NodeProto) -> Parameters | None:
        """Of one scale and an 8-bit zero point that are constants."""
        tensors = [self._constants.get(name) for name in node.input[1:3]]
        if len(tensors) != 2 or tensors[0] is None or tensors[1] is None or node.attribute:
            return None
        scale, zero_point = (numpy_helper.to_array(each) for each in tensors if each is not None)
        if scale.size != 1 or zero_point.size != 1 or scale.dtype != np.float32 or zero_point.dtype.itemsize != 1:
            return None
        return scale.tobytes(), zero_point.tobytes(), tensors[1].data_type

    def _constant(self, base: str, value: np.ndarray) -> str:
        name = self._fresh(base)
        tensor = numpy_helper.from_array(value, name)
        self._added.append(tensor)
        self._constants[name] = tensor
        return name

    def _fresh(self, base: str) -> str:
        return unused_name(base, self._taken)


def _reread(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Makes everything read other values; nodes that only made those named are gone. A result keeps its name."""
    for each in all_graphs(graph):
        results = {value.name for value in each.output}
        kept = []
        for node in each.node:
            own = names.keys() & set(node.output)
            if not own:
                kept.append(renamed(node, names))
            elif not results.isdisjoint(node.output):
                kept.append(renamed(node, {old: new for old, new in names.items() if old not in own}))
        del each.node[:]
        each.node.extend(kept)
