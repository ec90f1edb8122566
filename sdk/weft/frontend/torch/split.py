"""Takes apart the ONNX model that PyTorch's exporter made of many disjoint pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import onnx
from onnx import helper

from weft.frontend.torch.sections import Value

OPSET = 20


@dataclass
class Translation:
    """ONNX nodes of each piece under its section's name, the constants of all, and the operator sets they need.

    `aliases` maps values that turned out constant to the constants' names.
    """

    nodes: dict[str, list[onnx.NodeProto]] = field(default_factory=dict)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    opset_imports: list[onnx.OperatorSetIdProto] = field(default_factory=lambda: [helper.make_opsetid("", OPSET)])
    functions: list[onnx.FunctionProto] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)


def split(
    model: onnx.ModelProto,
    inputs: Sequence[tuple[str, Value]],
    outputs: Sequence[tuple[str, Value]],
    weight_names: Mapping[str, str],
) -> Translation:
    """The model's nodes by section, under the names of the sections' values.

    Pieces have no input in common, so a node that leads to two pieces' outputs computes on constants only; each
    piece gets a copy of it.
    """
    graph = model.graph
    translation = Translation(opset_imports=list(model.opset_import), functions=list(model.functions))
    constant_names = _constants(graph, weight_names, translation)
    producers = {name: node for node in graph.node for name in node.output if name}
    input_names = {entry.name: pair for entry, pair in zip(graph.input, inputs, strict=True)}
    sections = dict.fromkeys(section for section, _ in outputs)
    for section in sections:
        ends = [
            (entry.name, value) for entry, (owner, value) in zip(graph.output, outputs, strict=True) if owner == section
        ]
        translation.aliases |= {value.name: constant_names[name] for name, value in ends if name in constant_names}
        ends = [(name, value) for name, value in ends if name not in constant_names]
        names = dict(constant_names)
        names |= {name: value.name for name, (_, value) in input_names.items()}
        translation.nodes[section] = list(_piece(ends, producers, graph.node, names, section))
    return translation


def _constants(graph: onnx.GraphProto, weight_names: Mapping[str, str], translation: Translation) -> dict[str, str]:
    """Enters the initializers, each content once, and gives their new names by their present ones."""
    names: dict[str, str] = {}
    by_content: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    taken: set[str] = set()
    for tensor in graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        content = (tensor.data_type, tuple(tensor.dims), array.tobytes())
        if content not in by_content:
            base = weight_names.get(tensor.name, f"constant/{tensor.name}")
            name = base
            while name in taken:
                name = f"{base}.{len(taken)}"
            taken.add(name)
            by_content[content] = name
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.name = name
            translation.constants.append(copy)
        names[tensor.name] = by_content[content]
    return names


def _piece(
    ends: Sequence[tuple[str, Value]],
    producers: Mapping[str, onnx.NodeProto],
    order: Sequence[onnx.NodeProto],
    names: dict[str, str],
    section: str,
) -> Iterator[onnx.NodeProto]:
    """Copies of the nodes that lead to `ends`, in order, renamed; Identities where an end is no node's own output."""
    wanted: set[int] = set()
    pending = [name for name, _ in ends]
    while pending:
        node = producers.get(pending.pop())
        if node is not None and id(node) not in wanted:
            wanted.add(id(node))
            pending += [name for name in node.input if name]
    for name, value in ends:
        if name in producers and name not in names:
            names[name] = value.name
    for node in order:
        if id(node) not in wanted:
            continue
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = f"{section}{node.name or node.op_type}"
        copy.input[:] = [_renamed(names, name, section) for name in node.input]
        copy.output[:] = [_renamed(names, name, section) for name in node.output]
        yield copy
    for name, value in ends:
        if names.get(name) != value.name:
            yield helper.make_node("Identity", [names[name]], [value.name], name=f"{value.name}.copy")


def _renamed(names: dict[str, str], name: str, section: str) -> str:
    if not name:
        return ""
    return names.setdefault(name, f"{section}onnx/{name}")
