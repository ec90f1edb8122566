"""Translates the straight-line pieces of all sections by PyTorch's own ONNX exporter, in one call."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from weft.errors import SourceError
from weft.frontend.torch.sections import Section, Value, Weight, where
from weft.frontend.torch.split import Translation, split
from weft.frontend.torch.translation import export_quietly, untranslated

# What programs do with carried numbers, as operators on scalar tensors.
NUMBER_OPERATORS: Mapping[Any, Any] = {
    operator.add: torch.add, operator.sub: torch.sub, operator.mul: torch.mul, operator.floordiv: torch.floor_divide,
    operator.mod: torch.remainder, operator.neg: torch.neg, operator.lt: torch.lt, operator.le: torch.le,
    operator.gt: torch.gt, operator.ge: torch.ge, operator.eq: torch.eq, operator.ne: torch.ne,
    operator.and_: torch.logical_and, operator.or_: torch.logical_or, torch.sym_not: torch.logical_not,
    torch.sym_max: torch.maximum, torch.sym_min: torch.minimum,
}  # fmt: skip


@dataclass
class Joined:
    """All straight-line pieces as one graph: they share weights and nothing else.

    `inputs` and `outputs` say for each of the graph's inputs and outputs which section's piece it belongs to, and which
    value it is there.
    """

    graph: fx.Graph = field(default_factory=fx.Graph)
    weights: dict[str, Weight] = field(default_factory=dict)
    inputs: list[tuple[str, Value]] = field(default_factory=list)
    outputs: list[tuple[str, Value]] = field(default_factory=list)

    def module(self) -> fx.GraphModule:
        """The graph with its weights."""
        root = torch.nn.Module()
        for name, weight in self.weights.items():
            root.register_buffer(name, weight.tensor.detach())
        # Placeholders and weights may have been appended behind operators; a module wants its placeholders first.
        return fx.GraphModule(root, self.graph)

    def examples(self) -> tuple[torch.Tensor, ...]:
        """Tensors of the inputs' shapes and dtypes."""
        return tuple(torch.zeros(tuple(value.example.shape), dtype=value.example.dtype) for _, value in self.inputs)


def translate(sections: Sequence[Section], needed: Mapping[str, Sequence[Value]]) -> Translation:
    """ONNX nodes for the straight-line nodes of `sections`; `needed` says which values leave each piece.

    PyTorch's exporter sees one graph of disjoint pieces, so its start-up cost (a second) is paid once and a weight
    that several pieces use is one initializer. Its nodes are then told apart by which piece's outputs they lead to.
    Raises SourceError where the exporter has no translation.
    """
    joined = Joined()
    results: list[fx.Node] = []
    entering = {section.name: _placeholders(joined, section) for section in sections}
    weight_nodes: dict[int, fx.Node] = {}
    for section in sections:
        copies = _copy_nodes(joined, section, entering[section.name], weight_nodes)
        for value in needed[section.name]:
            joined.outputs.append((section.name, value))
            results.append(copies[value.name])
    if not results:
        return Translation()
    joined.graph.output(tuple(results))
    try:
        model = export_quietly(joined.module(), joined.examples())
    except Exception as error:
        raise untranslated([node for section in sections for node in section.straight], error) from error
    return split(model, joined.inputs, joined.outputs, {key: each.name for key, each in joined.weights.items()})


def _placeholders(joined: Joined, section: Section) -> dict[str, fx.Node]:
    """Placeholders for the values that a section's piece reads and does not make."""
    made = {value.name for node in section.straight if isinstance(value := section.values.get(node), Value)}
    found: dict[str, fx.Node] = {}
    for node in section.straight:
        for source in node.all_input_nodes:
            value = section.values.get(source)
            if isinstance(value, Value) and value.name not in made and value.name not in found:
                found[value.name] = joined.graph.placeholder(f"input_{len(joined.inputs)}")
                joined.inputs.append((section.name, value))
    return found


def _copy_nodes(
    joined: Joined, section: Section, entering: Mapping[str, fx.Node], weight_nodes: dict[int, fx.Node]
) -> dict[str, fx.Node]:
    """Appends a section's straight-line nodes; gives the copies by the names of their values."""
    copies: dict[fx.Node, fx.Node] = {}
    by_name: dict[str, fx.Node] = {}

    def replacement(source: fx.Node) -> Any:
        if source in copies:
            return copies[source]
        value = section.values.get(source)
        if isinstance(value, Value):
            return entering[value.name]
        if isinstance(value, Weight):
            return _weight_node(joined, value, weight_nodes)
        if isinstance(value, bool | int | float):
            return value
        raise SourceError(f"{where(source)}{source.name} is read as a tensor and is none")

    for node in section.straight:
        arguments = fx.map_arg(node.args, replacement)
        keywords = fx.map_arg(node.kwargs, replacement)
        copies[node] = joined.graph.call_function(_target(node), arguments, keywords)
        copies[node].meta["stack_trace"] = node.meta.get("stack_trace")
        value = section.values.get(node)
        if isinstance(value, Value):
            by_name[value.name] = copies[node]
    return by_name


def _target(node: fx.Node) -> Any:
    """A node's operator; the overload that takes tensors where a program computes with a number it carries."""
    numbers = [each for each in node.all_input_nodes if _is_number(each)]
    if node.target in NUMBER_OPERATORS and (numbers or _is_number(node)):
        return NUMBER_OPERATORS[node.target]
    if numbers and isinstance(node.target, torch._ops.OpOverload):
        return node.target.overloadpacket
    return node.target


def _is_number(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), torch.SymInt | torch.SymFloat | torch.SymBool)


def _weight_node(joined: Joined, weight: Weight, weight_nodes: dict[int, fx.Node]) -> fx.Node:
    key = id(weight.tensor)
    if key not in weight_nodes:
        target = f"weight_{len(joined.weights)}"
        joined.weights[target] = weight
        weight_nodes[key] = joined.graph.get_attr(target)
    return weight_nodes[key]
