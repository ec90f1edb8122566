"""From the control-flow form back to one ONNX model with If and Loop."""

from __future__ import annotations

import onnx
from onnx import helper

from weft.dynamic.form import Form
from weft.dynamic.types import scalar_type
from weft.frontend.model import Model
from weft.frontend.renaming import renamed, unused_name
from weft.frontend.topology import all_graphs
from weft_runtime.control import Block, Branch, Launch, Loop, ReadScalar, Statement, statements_within, written_by

__all__ = ["assemble"]


def assemble(form: Form) -> Model:
    """The model that the form was made of, with its present sub-networks in place of the nodes that they were made of.

    All constants become initializers of the main graph. Values at sub-networks' borders keep their names.
    """
    return _Assembler(form).run()


class _Assembler:
    def __init__(self, form: Form) -> None:
        self._form = form
        self._scalars = {
            statement.scalar: statement.value
            for statement in statements_within(form.body)
            if isinstance(statement, ReadScalar)
        }
        self._taken = {value.name for value in form.model.proto.graph.input} | set(form.body.results)
        for statement in statements_within(form.body):
            self._taken.update(written_by(statement))
            if isinstance(statement, Loop):
                self._taken.update((*statement.parameters, statement.index, statement.going))
        self._node_names: set[str] = set()
        self._constants: dict[str, onnx.TensorProto] = {}
        self._shared: dict[bytes, str] = {}

    def run(self) -> Model:
        source = self._form.model.proto
        proto = onnx.ModelProto()
        proto.CopyFrom(source)
        graph = proto.graph
        del graph.node[:], graph.initializer[:], graph.value_info[:], graph.output[:]
        graph.node.extend(self._nodes(self._form.body))
        for value, name in zip(source.graph.output, self._form.body.results, strict=True):
            if value.name != name:
                graph.node.append(self._identity(name, value.name))
        graph.output.extend(source.graph.output)
        graph.initializer.extend(self._constants.values())
        versions = {entry.domain: entry.version for each in self._form.networks for entry in each.proto.opset_import}
        del proto.opset_import[:]
        proto.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in versions.items())
        proto.ir_version = max([proto.ir_version, *(each.proto.ir_version for each in self._form.networks)])
        return self._form.model.with_proto(proto)

    def _nodes(self, block: Block) -> list[onnx.NodeProto]:
        return [node for statement in block.statements for node in self._statement(statement)]

    def _statement(self, statement: Statement) -> list[onnx.NodeProto]:
        match statement:
            case Launch():
                return self._launch(statement)
            case Branch():
                bodies = {
                    "then_branch": self._graph(statement.then, f"{statement.name}_then"),
                    "else_branch": self._graph(statement.otherwise, f"{statement.name}_else"),
                }
                condition = self._scalars[statement.condition]
                name = self._node_name(statement.name)
                return [helper.make_node("If", [condition], list(statement.results), name=name, **bodies)]
            case Loop():
                return [self._loop(statement)]
        return []

    def _launch(self, launch: Launch) -> list[onnx.NodeProto]:
        model = self._form.networks[launch.network]
        graph = model.proto.graph
        names = dict(zip((value.name for value in graph.input), launch.inputs, strict=True))
        names.update(zip((value.name for value in graph.output), launch.outputs, strict=True))
        for tensor in graph.initializer:
            names[tensor.name] = self._constant(tensor)
        for inner in all_graphs(graph):
            for node in inner.node:
                for name in filter(None, node.output):
                    if inner is graph and name not in names:
                        names[name] = self._fresh(name)
        nodes = [renamed(node, names) for node in graph.node]
        for node in nodes:
            node.name = self._node_name(node.name or node.op_type)
        return nodes

    def _constant(self, tensor: onnx.TensorProto) -> str:
        """The name of an initializer with this value, one for all uses."""
        copy = onnx.TensorProto()
        copy.CopyFrom(tensor)
        copy.name = ""
        key = copy.SerializeToString(deterministic=True)
        if key not in self._shared:
            self._shared[key] = copy.name = self._fresh(tensor.name)
            self._constants[copy.name] = copy
        return self._shared[key]

    def _graph(self, block: Block, name: str) -> onnx.GraphProto:
        """A branch: every result is made inside it, as ONNX wants it."""
        nodes, outputs = self._nodes(block), []
        for result in block.results:
            given = self._fresh(f"{result}_result")
            nodes.append(self._identity(result, given))
            outputs.append(onnx.ValueInfoProto(name=given, type=self._form.types[result]))
        return helper.make_graph(nodes, name, [], outputs)

    def _loop(self, loop: Loop) -> onnx.NodeProto:
        types = self._form.types
        graph = self._graph(loop.body, f"{loop.name}_body")
        condition = self._fresh(f"{loop.going}_next")
        graph.node.append(self._identity(self._scalars[loop.proceed] if loop.proceed else loop.going, condition))
        outputs = [helper.make_tensor_value_info(condition, onnx.TensorProto.BOOL, None), *graph.output]
        del graph.output[:]
        graph.output.extend(outputs)
        index = scalar_type(onnx.TensorProto.INT64, loop.index_rank)
        going = scalar_type(onnx.TensorProto.BOOL, loop.going_rank)
        graph.input.append(onnx.ValueInfoProto(name=loop.index, type=index))
        graph.input.append(onnx.ValueInfoProto(name=loop.going, type=going))
        graph.input.extend(onnx.ValueInfoProto(name=name, type=types[name]) for name in loop.parameters)
        limits = [self._scalars.get(loop.count, ""), self._scalars.get(loop.condition, "")]
        outputs_outside = [*loop.results, *(each.name for each in loop.stacked)]
        name = self._node_name(loop.name)
        return helper.make_node("Loop", [*limits, *loop.initial], outputs_outside, name=name, body=graph)

    def _identity(self, source: str, target: str) -> onnx.NodeProto:
        return helper.make_node("Identity", [source], [target], name=self._node_name(f"{target}_identity"))

    def _fresh(self, base: str) -> str:
        return unused_name(base, self._taken)

    def _node_name(self, base: str) -> str:
        return unused_name(base, self._node_names)
