"""Unfolds a captured program into sections: one per place where a block runs, with every tensor under its ONNX name."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx
from torch.utils import _pytree as pytree

from weft.errors import SourceError
from weft.frontend.torch.location import user_place
from weft.frontend.torch.program import COND, CONSTANT_COPIES, SCAN, WHILE_LOOP, Block, CapturedProgram

UNDERSTOOD = "cond, while_loop and scan"


@dataclass(frozen=True)
class Value:
    """A tensor under its name in the ONNX model; `example` has its dtype and shape."""

    name: str
    example: torch.Tensor


@dataclass(frozen=True)
class Weight:
    """A tensor that is known: a parameter, a buffer or a constant of the program."""

    name: str
    tensor: torch.Tensor


Operand = Value | Weight | bool | int | float


@dataclass(frozen=True)
class If:
    """`outputs` are those of `then` where `condition` holds, else those of `other`."""

    condition: Operand
    then: Section
    other: Section
    outputs: tuple[Value, ...]


@dataclass(frozen=True)
class Loop:
    """While the last test held, `body` turns `carried` into its outputs; `again` tests those, `first` the `initial`."""

    initial: tuple[Operand, ...]
    first: Section
    carried: tuple[Value, ...]
    body: Section
    again: Section
    outputs: tuple[Value, ...]


@dataclass(frozen=True)
class Scan:
    """`body` runs once for each slice along axis 0 of `sequences`; behind its states it gives slices of outputs."""

    initial: tuple[Operand, ...]
    sequences: tuple[Operand, ...]
    carried: tuple[Value, ...]
    slices: tuple[Value, ...]
    body: Section
    outputs: tuple[Value, ...]


@dataclass
class Section:
    """One place where a block runs: its straight-line nodes, its control flow, and what it gives back."""

    name: str
    block: Block
    values: dict[fx.Node, Any] = field(default_factory=dict)
    straight: list[fx.Node] = field(default_factory=list)
    controls: list[If | Loop | Scan] = field(default_factory=list)
    outputs: tuple[Operand, ...] = ()

    def inner(self) -> list[Section]:
        """The sections directly within this one's control flow."""
        found: list[Section] = []
        for control in self.controls:
            match control:
                case If(then=then, other=other):
                    found += [then, other]
                case Loop(first=first, body=body, again=again):
                    found += [first, body, again]
                case Scan(body=body):
                    found.append(body)
        return found

    def all(self) -> list[Section]:
        """This section and all within it."""
        return [self, *(each for inner in self.inner() for each in inner.all())]


def unfold(program: CapturedProgram) -> Section:
    """The program's main section. Raises SourceError for operators of higher order that ONNX cannot express."""
    operands: list[Operand] = []
    for node in program.block.placeholders:
        if node.name in program.weights:
            operands.append(Weight(*program.weights[node.name]))
        else:
            operands.append(Value(node.name, node.meta["val"]))
    return _section(program.block, operands, "")


def _section(block: Block, operands: Sequence[Operand], name: str) -> Section:
    section = Section(name, block)
    placeholders = block.placeholders
    if len(placeholders) != len(operands):
        raise SourceError(f"body '{name}' takes {len(placeholders)} operands and is given {len(operands)}")
    section.values.update(zip(placeholders, operands, strict=True))
    for node in block.graph.nodes:
        match node.op:
            case "get_attr":
                _attribute(section, node)
            case "call_function":
                _call(section, node)
            case "output":
                flat = pytree.tree_leaves(node.args[0])
                section.outputs = tuple(_operand(section, leaf) for leaf in flat if leaf is not None)
    return section


def _attribute(section: Section, node: fx.Node) -> None:
    name = str(node.target)
    if name in section.block.tensors:
        section.values[node] = Weight(f"{section.name}{name}", section.block.tensors[name])
    else:
        section.values[node] = section.block.blocks[name]


def _call(section: Section, node: fx.Node) -> None:
    if node.target is COND:
        _if(section, node)
    elif node.target is WHILE_LOOP:
        _loop(section, node)
    elif node.target is SCAN:
        _scan(section, node)
    elif isinstance(node.target, torch._ops.HigherOrderOperator):
        raise SourceError(f"{where(node)}the operator {node.target} has no ONNX form; use {UNDERSTOOD}")
    elif node.target is operator.getitem and isinstance(section.values.get(node.args[0]), tuple):
        section.values[node] = section.values[node.args[0]][node.args[1]]
    elif node.target in CONSTANT_COPIES:
        section.values[node] = _operand(section, node.args[0])
    else:
        section.straight.append(node)
        example = node.meta.get("val")
        if any(isinstance(each, torch.SymInt) for leaf in _tensors(example) for each in leaf.shape):
            raise SourceError(
                f"{where(node)}the shape of {node.target}'s result depends on data; an accelerator's tensors have "
                "fixed shapes: keep all elements and select by torch.where"
            )
        if isinstance(example, torch.Tensor):
            section.values[node] = Value(f"{section.name}{node.name}", example)
        elif isinstance(example, torch.SymInt | torch.SymFloat | torch.SymBool):
            section.values[node] = Value(f"{section.name}{node.name}", symbol_example(example))


def _tensors(example: Any) -> list[torch.Tensor]:
    return [leaf for leaf in pytree.tree_leaves(example) if isinstance(leaf, torch.Tensor)]


def _if(section: Section, node: fx.Node) -> None:
    condition, then_node, other_node, operands = node.args[:4]
    given = [_operand(section, each) for each in operands]
    name = f"{section.name}{node.name}"
    then = _section(section.values[then_node], given, f"{name}.then/")
    other = _section(section.values[other_node], given, f"{name}.else/")
    section.controls.append(If(_operand(section, condition), then, other, _results(section, node)))


def _loop(section: Section, node: fx.Node) -> None:
    test_node, body_node, operands, additional = node.args[:4]
    initial = tuple(_operand(section, each) for each in operands)
    more = [_operand(section, each) for each in additional]
    test, body_block = section.values[test_node], section.values[body_node]
    name = f"{section.name}{node.name}"
    carried = _carried(body_block, len(initial), f"{name}.carried")
    body = _section(body_block, [*carried, *more], f"{name}.body/")
    first = _section(test, [*initial, *more], f"{name}.test/")
    again = _section(test, [*body.outputs, *more], f"{name}.again/")
    section.controls.append(Loop(initial, first, carried, body, again, _results(section, node)))


def _scan(section: Section, node: fx.Node) -> None:
    body_node, initials, sequences, additional = node.args[:4]
    body_block = section.values[body_node]
    initial = tuple(_operand(section, each) for each in initials)
    over = tuple(_operand(section, each) for each in sequences)
    more = [_operand(section, each) for each in additional]
    name = f"{section.name}{node.name}"
    entering = _carried(body_block, len(initial) + len(over), f"{name}.carried")
    body = _section(body_block, [*entering, *more], f"{name}.body/")
    carried, slices = entering[: len(initial)], entering[len(initial) :]
    section.controls.append(Scan(initial, over, carried, slices, body, _results(section, node)))


def _carried(block: Block, count: int, name: str) -> tuple[Value, ...]:
    entering = block.placeholders[:count]
    return tuple(Value(f"{name}.{index}", _example(node)) for index, node in enumerate(entering))


def _results(section: Section, node: fx.Node) -> tuple[Value, ...]:
    """Names and examples of a control-flow node's outputs, entered as the node's value."""
    flat = pytree.tree_leaves(node.meta["val"])
    name = f"{section.name}{node.name}"
    results = tuple(Value(f"{name}.{index}", symbol_example(each)) for index, each in enumerate(flat))
    section.values[node] = results
    return results


def _example(node: fx.Node) -> torch.Tensor:
    return symbol_example(node.meta["val"])


def symbol_example(example: Any) -> torch.Tensor:
    """A tensor's own example, or a scalar tensor's where a program carries a number."""
    if isinstance(example, torch.Tensor):
        return example
    if isinstance(example, bool | torch.SymBool):
        return torch.zeros((), dtype=torch.bool)
    if isinstance(example, int | torch.SymInt):
        return torch.zeros((), dtype=torch.int64)
    if isinstance(example, float | torch.SymFloat):
        return torch.zeros((), dtype=torch.float64)
    raise SourceError(
        f"a program carries a value of type {type(example).__name__}; only tensors and numbers can be carried"
    )


def _operand(section: Section, argument: Any) -> Operand:
    if isinstance(argument, fx.Node):
        value = section.values.get(argument)
        if isinstance(value, Value | Weight | bool | int | float):
            return value
        raise SourceError(f"{where(argument)}{argument.name} is no tensor, and control flow takes tensors")
    if isinstance(argument, bool | int | float):
        return argument
    raise SourceError(f"control flow is given a value of type {type(argument).__name__}; it takes tensors and numbers")


def where(node: fx.Node) -> str:
    """The place in the user's source that a node comes from, as "file:line: ", where PyTorch remembers it."""
    return user_place(str(node.meta.get("stack_trace") or node.stack_trace or ""))
