"""Comparisons that random programs decide on: each with its text in PyTorch and its nodes in ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from onnx_writer import GraphWriter
from operations import Use, layer_node, shaped, whole
from tree import Combine, Compare, Test


@dataclass(frozen=True)
class Form:
    """A number made of a variable, as PyTorch text and as an ONNX tensor, and what it is compared with."""

    torch: Callable[[Use, str], str]
    onnx: Callable[[GraphWriter, Use, str], str]
    bound: Callable[[Use], float | int]
    signs: tuple[str, str] = (">", "<")


def _scored(g: GraphWriter, use: Use, name: str) -> str:
    return layer_node(g, name, "score", use.layer)


def _element(g: GraphWriter, use: Use, name: str) -> str:
    return str(g.node("Gather", [name, g.constant(np.asarray([use.index], np.int64), "position")], axis=1))


def _confidence(g: GraphWriter, use: Use, name: str) -> str:
    return g.confidence(layer_node(g, name, "classes", use.layer))


def _winner(g: GraphWriter, use: Use, name: str) -> str:
    return str(g.node("ArgMax", [layer_node(g, name, "classes", use.layer)], axis=1, keepdims=0))


def _reduced(op: str) -> Callable[[GraphWriter, Use, str], str]:
    return lambda g, use, name: str(g.node(op, [name], keepdims=0))


FORMS: Mapping[str, Form] = {
    "score": Form(lambda use, name: f"self.score_{use.layer}({name})[0, 0]", _scored, lambda use: use.number * 0.4),
    "sigmoid": Form(
        lambda use, name: f"torch.sigmoid(self.score_{use.layer}({name}))[0, 0]",
        lambda g, use, name: str(g.node("Sigmoid", [_scored(g, use, name)])), lambda use: 0.5 + use.number * 0.1,
    ),
    "element": Form(lambda use, name: f"{name}[0, {use.index}]", _element, lambda use: use.number * 0.4),
    "largest": Form(lambda use, name: f"{name}.max()", _reduced("ReduceMax"), lambda use: 1.0 + use.number),
    "image": Form(lambda use, name: f"{name}.mean()", _reduced("ReduceMean"), lambda use: use.number * 0.2),
    "confidence": Form(
        lambda use, name: f"torch.softmax(self.classes_{use.layer}({name}), dim=1).max()", _confidence,
        lambda use: 0.45 + use.number * 0.1,
    ),
    "argmax": Form(
        lambda use, name: f"self.classes_{use.layer}({name}).argmax()", _winner, lambda use: use.index, ("==", "!=")
    ),
    "number": Form(lambda use, name: name, lambda g, use, name: name, lambda use: use.index),
    "odd": Form(
        lambda use, name: f"{name} % 2", lambda g, use, name: str(g.node("Mod", [name, whole(g, 2)])),
        lambda use: use.index % 2, ("==", "!="),
    ),
}  # fmt: skip


def test_nodes(g: GraphWriter, test: Test, names: Mapping[str, str]) -> str:
    """Appends a test's nodes; its result is a scalar bool."""
    if isinstance(test, Combine):
        left = test_nodes(g, test.left, names)
        if test.right is None:
            return str(g.node("Not", [left]))
        return str(g.node({"and": "And", "or": "Or"}[test.word], [left, test_nodes(g, test.right, names)]))
    form = FORMS[test.form]
    made, bound = form.onnx(g, test.use, names[test.source]), form.bound(test.use)
    sign = form.signs[0] if test.above else form.signs[1]
    limit = g.constant(np.float32(bound) if isinstance(bound, float) else np.int64(bound), "bound")
    held = g.node({">": "Greater", "<": "Less"}.get(sign, "Equal"), [made, limit])
    if sign == "!=":
        held = g.node("Not", [held])
    return shaped(g, held, [])


def comparison_text(compare: Compare, names: Mapping[str, str], item: str = "") -> str:
    """A comparison in PyTorch; `item` stands behind the compared value (".item()")."""
    form = FORMS[compare.form]
    sign = form.signs[0] if compare.above else form.signs[1]
    value = form.torch(compare.use, names[compare.source])
    return f"{value}{item if compare.form not in ('number', 'odd') else ''} {sign} {form.bound(compare.use)}"
