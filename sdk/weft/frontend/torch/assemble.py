"""Splices translated pieces and control flow together: If, Loop and Scan, with bodies that read outer values by
name.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from weft.frontend.topology import sort_nodes, subgraphs, used_names
from weft.frontend.torch.program import CapturedProgram
from weft.frontend.torch.prune import prune
from weft.frontend.torch.sections import If, Loop, Operand, Scan, Section, Value, Weight, unfold
from weft.frontend.torch.split import Translation
from weft.frontend.torch.straight import translate

# What the bits of a number in a program are worth: Python's own precision.
NUMBER_DTYPES = {bool: np.bool_, int: np.int64, float: np.float64}


def to_onnx(program: CapturedProgram) -> onnx.ModelProto:
    """The program as one ONNX model. Raises SourceError where a part of it has no ONNX form."""
    prune(program.block)
    main = unfold(program)
    sections = main.all()
    translation = translate(sections, {section.name: _leaving(section) for section in sections})
    emitter = _Emitter(translation)
    nodes = emitter.nodes(main)
    outputs = [
        emitter.under_name(output, name, nodes) for output, name in zip(main.outputs, program.outputs, strict=True)
    ]
    inputs = [
        helper.make_tensor_value_info(name, _element_type(node.meta["val"]), list(node.meta["val"].shape))
        for name, node in zip(program.inputs, _user_inputs(program), strict=True)
    ]
    names = dict(zip((node.name for node in _user_inputs(program)), program.inputs, strict=True)) | translation.aliases
    _rename_reads(nodes, names)
    _forget_origins(nodes)
    graph = helper.make_graph(sort_nodes(nodes), program.name, inputs, outputs, _used(emitter.constants, nodes))
    return helper.make_model(
        graph, opset_imports=translation.opset_imports, functions=translation.functions, producer_name="weft"
    )


def _forget_origins(nodes: Sequence[onnx.NodeProto]) -> None:
    """Drops the exporter's notes: they hold lines of the user's source and paths of the machine that it lies on, and
    may be larger than the weights."""
    for node in nodes:
        del node.metadata_props[:]
        for graph in subgraphs(node):
            _forget_origins(graph.node)


def _user_inputs(program: CapturedProgram) -> list[torch.fx.Node]:
    return [node for node in program.block.placeholders if node.name not in program.weights]


def _leaving(section: Section) -> list[Value]:
    """The values of a section's straight-line piece that anything outside the piece reads."""
    made = {value.name: value for node in section.straight if isinstance(value := section.values.get(node), Value)}
    read: dict[str, None] = {}
    for user in section.all():
        if user is not section:
            read.update(dict.fromkeys(value.name for value in user.values.values() if isinstance(value, Value)))
        for operand in (*user.outputs, *_control_operands(user)):
            if isinstance(operand, Value):
                read[operand.name] = None
    return [made[name] for name in read if name in made]


def _control_operands(section: Section) -> list[Operand]:
    found: list[Operand] = []
    for control in section.controls:
        match control:
            case If(condition=condition):
                found.append(condition)
            case Loop(initial=initial):
                found += initial
            case Scan(initial=initial, sequences=sequences):
                found += [*initial, *sequences]
    return found


class _Emitter:
    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        self.constants = {tensor.name: tensor for tensor in translation.constants}
        self._names_by_tensor: dict[int, str] = {}
        self._copies = 0

    def nodes(self, section: Section) -> list[onnx.NodeProto]:
        """A section's ONNX nodes: its straight-line piece, and its control flow."""
        nodes = list(self._translation.nodes.get(section.name, ()))
        for control in section.controls:
            match control:
                case If():
                    nodes.append(self._if(control))
                case Loop():
                    nodes += self._loop(control)
                case Scan():
                    nodes.append(self._scan(control))
        return nodes

    def under_name(self, operand: Operand, name: str, nodes: list[onnx.NodeProto]) -> onnx.ValueInfoProto:
        """Makes `operand` a graph's output under `name` by an Identity."""
        nodes.append(helper.make_node("Identity", [self._name(operand)], [name], name=f"{name}.copy"))
        example = _example(operand)
        return helper.make_tensor_value_info(name, _element_type(example), list(example.shape))

    def _if(self, control: If) -> onnx.NodeProto:
        name = control.then.name.removesuffix(".then/")
        branches = {
            "then_branch": self._body(control.then, control.then.outputs, [], []),
            "else_branch": self._body(control.other, control.other.outputs, [], []),
        }
        outputs = [value.name for value in control.outputs]
        return helper.make_node("If", [self._name(control.condition)], outputs, name=name, **branches)

    def _loop(self, control: Loop) -> list[onnx.NodeProto]:
        name = control.body.name.removesuffix(".body/")
        first = self.nodes(control.first)
        entering = [
            helper.make_tensor_value_info(f"{name}.iteration", TensorProto.INT64, []),
            helper.make_tensor_value_info(f"{name}.condition", TensorProto.BOOL, []),
            *(_information(value) for value in control.carried),
        ]
        body = self._body(
            control.body, (*control.again.outputs, *control.body.outputs), entering, self.nodes(control.again)
        )
        inputs = ["", self._name(control.first.outputs[0]), *(self._name(each) for each in control.initial)]
        return [
            *first,
            helper.make_node("Loop", inputs, [value.name for value in control.outputs], name=name, body=body),
        ]

    def _scan(self, control: Scan) -> onnx.NodeProto:
        name = control.body.name.removesuffix(".body/")
        entering = [_information(value) for value in (*control.carried, *control.slices)]
        body = self._body(control.body, control.body.outputs, entering, [])
        inputs = [self._name(each) for each in (*control.initial, *control.sequences)]
        outputs = [value.name for value in control.outputs]
        return helper.make_node("Scan", inputs, outputs, name=name, body=body, num_scan_inputs=len(control.sequences))

    def _body(
        self,
        section: Section,
        results: Sequence[Operand],
        entering: Sequence[onnx.ValueInfoProto],
        more: Sequence[onnx.NodeProto],
    ) -> onnx.GraphProto:
        nodes = [*self.nodes(section), *more]
        own = {name for node in nodes for name in node.output}
        outputs: list[onnx.ValueInfoProto] = []
        for index, result in enumerate(results):
            if isinstance(result, Value) and result.name in own:
                own.discard(result.name)
                outputs.append(_information(result))
            else:
                outputs.append(self.under_name(result, f"{section.name}result.{index}", nodes))
        return helper.make_graph(sort_nodes(nodes), section.name.rstrip("/"), entering, outputs)

    def _name(self, operand: Operand) -> str:
        """An operand's ONNX name; weights and numbers become initializers of the main graph."""
        if isinstance(operand, Value):
            return operand.name
        if isinstance(operand, Weight):
            return self._constant(operand.name, operand.tensor.detach().cpu().numpy())
        return self._constant(f"constant/{operand}", np.asarray(operand, NUMBER_DTYPES[type(operand)]))

    def _constant(self, name: str, array: np.ndarray) -> str:
        candidate = name
        while candidate in self.constants:
            known = self.constants[candidate]
            if list(known.dims) == list(array.shape) and numpy_helper.to_array(known).tobytes() == array.tobytes():
                return candidate
            self._copies += 1
            candidate = f"{name}.{self._copies}"
        self.constants[candidate] = numpy_helper.from_array(array, candidate)
        return candidate


def _used(constants: dict[str, TensorProto], nodes: Sequence[onnx.NodeProto]) -> list[TensorProto]:
    read = frozenset().union(*(used_names(node) for node in nodes))
    return [tensor for name, tensor in constants.items() if name in read]


def _rename_reads(nodes: Sequence[onnx.NodeProto], names: dict[str, str]) -> None:
    for node in nodes:
        node.input[:] = [names.get(name, name) for name in node.input]
        for graph in subgraphs(node):
            _rename_reads(graph.node, names)


def _example(operand: Operand) -> torch.Tensor:
    if isinstance(operand, Value):
        return operand.example
    if isinstance(operand, Weight):
        return operand.tensor
    return torch.from_numpy(np.asarray(operand, NUMBER_DTYPES[type(operand)]))


def _information(value: Value) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(value.name, _element_type(value.example), list(value.example.shape))


def _element_type(example: torch.Tensor) -> int:
    return int(helper.np_dtype_to_tensor_dtype(torch.empty((), dtype=example.dtype).numpy().dtype))
