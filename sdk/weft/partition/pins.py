"""Where the user wants nodes to run: by name, by a function, or by metadata in the model."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx

from weft.errors import CompileError
from weft.frontend.origins import origins
from weft.frontend.origins import pin as pin_of
from weft.ir import Graph, Operator, Recognition

__all__ = ["Annotate", "Pin", "Pins", "resolve_pins"]

HOST, ACCELERATOR = "cpu", "accelerator"

Annotate = Callable[[onnx.NodeProto], str | None]
"""The hook: for a node of the integer graph "cpu", "accelerator" (or a processor's name), or None for no wish."""


@dataclass(frozen=True)
class Pin:
    """The node that the user named, and the processor: its name, or ACCELERATOR for any."""

    node: str
    processor: str


@dataclass(frozen=True)
class Pins:
    """What the user's wishes mean for operators, by name: `host` with the reason, and `accelerators`."""

    host: Mapping[str, str]
    accelerators: Mapping[str, Pin]
    any_accelerator: str = ACCELERATOR


def resolve_pins(
    graph: Graph,
    recognition: Recognition,
    original: onnx.GraphProto,
    wanted: Mapping[str, str],
    annotate: Annotate | None,
    processors: Sequence[str],
) -> Pins:
    """Pins of nodes as pins of operators; `processors` are the accelerators' names.

    `wanted` (by node name) comes before `annotate`, that before the metadata "weft.pin" of the model's nodes. A name is
    a node of the integer graph or of the original model that went into one. Raises CompileError for an unknown node, an
    unknown processor, wishes that contradict each other, or a node that no pattern of an accelerator covers.
    """
    known = _names(graph)
    asked: dict[str, str] = {}
    for node in original.node:
        text = pin_of(node)
        if text is not None and node.name:
            asked.update(dict.fromkeys(_found(node.name, known, original), _processor(text, node.name, processors)))
    for node in graph.nodes:
        text = pin_of(node)
        if text is not None and node.name not in asked:
            asked[node.name] = _processor(text, node.name, processors)
    for node in graph.nodes if annotate is not None else ():
        answer = annotate(node) if annotate is not None else None
        if answer is not None:
            asked[node.name] = _processor(answer, node.name, processors)
    for name, text in wanted.items():
        asked.update(dict.fromkeys(_found(name, known, original), _processor(text, name, processors)))
    return _by_operator(recognition, asked)


def _names(graph: Graph) -> dict[str, list[str]]:
    """Nodes of the integer graph by every name that a user may know them by."""
    known: dict[str, list[str]] = {}
    for node in graph.nodes:
        for name in dict.fromkeys((node.name, *origins(node))):
            known.setdefault(name, []).append(node.name)
    return known


def _found(name: str, known: Mapping[str, list[str]], original: onnx.GraphProto) -> list[str]:
    if name in known:
        return known[name]
    if any(node.name == name for node in original.node):
        raise CompileError(f"cannot pin {name!r}: the compiler folded the node away; remove its pin")
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(map(repr, near))}?" if near else "`weft explain` lists the nodes"
    raise CompileError(f"cannot pin {name!r}: the model has no node of that name; {hint}")


def _processor(text: str, name: str, processors: Sequence[str]) -> str:
    if text in (HOST, "host"):
        return HOST
    if text == ACCELERATOR or text in processors:
        return text
    known = ", ".join(map(repr, (HOST, ACCELERATOR, *processors)))
    raise CompileError(f"cannot pin {name!r} to {text!r}: the processors here are {known}")


def _by_operator(recognition: Recognition, asked: Mapping[str, str]) -> Pins:
    covering: dict[str, list[Operator]] = {}
    for operator in recognition.operators:
        for node in operator.nodes:
            covering.setdefault(node, []).append(operator)
    host: dict[str, str] = {}
    accelerators: dict[str, Pin] = {}
    for node, processor in asked.items():
        operators = covering.get(node, [])
        if processor == HOST:
            host.update({each.name: f"pinned to the host by {node!r}" for each in operators})
            continue
        roots = [each for each in operators if each.nodes[-1] == node] or operators
        if not roots:
            reason = recognition.refused.get(node, "no operator of the accelerator covers it")
            raise CompileError(f"cannot pin {node!r} to {processor!r}: {reason}")
        for each in roots:
            pin = accelerators.setdefault(each.name, Pin(node, processor))
            if pin.processor != processor:
                raise CompileError(
                    f"the pins of {node!r} and {pin.node!r}, which are one operator, contradict each other"
                )
    for name in sorted(host.keys() & accelerators.keys()):
        raise CompileError(f"cannot pin {accelerators[name].node!r} to an accelerator: its operator is {host[name]}")
    return Pins(host, accelerators)
