"""Straight operators of random programs: each with its text in PyTorch and its nodes in ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from onnx_writer import FLOAT, INT64, GraphWriter
from weights import weights_of

WIDTH, CHANNELS, SIDE = 16, 4, 4
VECTOR, IMAGE, NUMBER, ROW = "vector", "image", "number", "row"
SHAPES: dict[str, list[int]] = {VECTOR: [1, WIDTH], IMAGE: [1, CHANNELS, SIDE, SIDE], NUMBER: []}
ELEMENTS = {VECTOR: FLOAT, IMAGE: FLOAT, NUMBER: INT64}


@dataclass(frozen=True)
class Use:
    """One use of an operator: the layer whose weights it takes (-1: none), a number, and an index."""

    layer: int
    number: float
    index: int


@dataclass(frozen=True)
class Operation:
    """`sources` and `result` are kinds of values, `layer` the kind of weights that it takes.

    `torch` gives an expression over the sources' names, in which numbers may be Python's or tensors; `onnx` appends
    nodes.
    """

    name: str
    sources: tuple[str, ...]
    result: str
    layer: str
    torch: Callable[[Use, Sequence[str]], str]
    onnx: Callable[[GraphWriter, Use, Sequence[str]], str]


def layer_node(g: GraphWriter, source: str, kind: str, layer: int) -> str:
    """A linear layer or a convolution, with its weights in `g`."""
    weight, bias = weights_of(kind, layer)
    if weight.ndim == 2:
        return g.dense(source, np.ascontiguousarray(weight.T), bias)
    names = [source, g.constant(weight, "weights"), g.constant(bias, "bias")]
    pad = weight.shape[2] // 2
    return str(g.node("Conv", names, pads=[pad] * 4, group=CHANNELS if kind == "depth" else 1))


def float_constant(g: GraphWriter, value: float) -> str:
    return g.constant(np.float32(value), "number")


def whole(g: GraphWriter, value: int) -> str:
    return g.constant(np.int64(value), "whole")


def shaped(g: GraphWriter, source: str, shape: Sequence[int]) -> str:
    return str(g.node("Reshape", [source, g.constant(np.asarray(shape, np.int64), "shape")]))


def _layer(name: str, kind: str, source: str, result: str, relu: bool) -> Operation:
    def text(use: Use, names: Sequence[str]) -> str:
        call = f"self.{kind}_{use.layer}({names[0]})"
        return f"torch.relu({call})" if relu else call

    def nodes(g: GraphWriter, use: Use, names: Sequence[str]) -> str:
        made = layer_node(g, names[0], kind, use.layer)
        return str(g.node("Relu", [made])) if relu else made

    return Operation(name, (source,), result, kind, text, nodes)


def _plain(name: str, kinds: str, result: str, text: str, op: str) -> Operation:
    """An operator of ONNX that PyTorch has, too; `kinds` has a kind for each source, `text` {0}, {1}."""
    return Operation(
        name, tuple(kinds.split()), result, "",
        lambda use, names: text.format(*names), lambda g, use, names: str(g.node(op, list(names))),
    )  # fmt: skip


def _scaled(kind: str) -> Operation:
    return Operation(
        f"scaled_{kind}", (kind,), kind, "",
        lambda use, names: f"{names[0]} * {use.number}",
        lambda g, use, names: str(g.node("Mul", [names[0], float_constant(g, use.number)])),
    )  # fmt: skip


def _shifted(kind: str) -> Operation:
    return Operation(
        f"shifted_{kind}", (kind,), kind, "",
        lambda use, names: f"{names[0]} + {use.number}",
        lambda g, use, names: str(g.node("Add", [names[0], float_constant(g, use.number)])),
    )  # fmt: skip


def _mean_removed(g: GraphWriter, use: Use, names: Sequence[str]) -> str:
    mean = g.node("ReduceMean", [names[0], g.constant(np.asarray([1], np.int64), "axes")], keepdims=1)
    return str(g.node("Sub", [names[0], mean]))


def _poked(g: GraphWriter, use: Use, names: Sequence[str]) -> str:
    change = np.zeros((1, WIDTH), np.float32)
    change[0, use.index] = use.number
    return str(g.node("Add", [names[0], g.constant(change, "change")]))


def _pooled(g: GraphWriter, use: Use, names: Sequence[str]) -> str:
    return str(g.node("MaxPool", [names[0]], kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1]))


def _entered(g: GraphWriter, use: Use, names: Sequence[str]) -> str:
    return layer_node(g, shaped(g, names[0], [1, 1, SIDE, SIDE]), "entry", use.layer)


def _flattened(g: GraphWriter, use: Use, names: Sequence[str]) -> str:
    return layer_node(g, shaped(g, names[0], [1, CHANNELS * SIDE * SIDE]), "flat", use.layer)


def _row_added(g: GraphWriter, use: Use, names: Sequence[str]) -> str:
    wide = g.node("Tile", [names[1], g.constant(np.asarray([1, WIDTH // 4], np.int64), "repeats")])
    return str(g.node("Add", [names[0], wide]))


def _times_number(g: GraphWriter, use: Use, names: Sequence[str]) -> str:
    count = g.node("Add", [g.node("Mod", [names[1], whole(g, 3)]), whole(g, 1)])
    factor = g.node("Mul", [g.node("Cast", [count], to=FLOAT), float_constant(g, use.number)])
    return str(g.node("Mul", [names[0], factor]))


def _mixed_numbers(g: GraphWriter, use: Use, names: Sequence[str]) -> str:
    doubled = g.node("Mul", [names[0], whole(g, 2)])
    shifted = g.node("Add", [g.node("Sub", [doubled, names[1]]), whole(g, use.index)])
    return str(g.node("Mod", [shifted, whole(g, 7)]))


def _larger_number(g: GraphWriter, use: Use, names: Sequence[str]) -> str:
    return str(g.node("Max", [names[0], names[1]]))


def _counted(g: GraphWriter, use: Use, names: Sequence[str]) -> str:
    """The number of elements above a bound, as data become numbers without a jump between near values."""
    above = g.node("Cast", [g.node("Greater", [names[0], float_constant(g, use.number)])], to=INT64)
    return str(g.node("ReduceSum", [above], keepdims=0))


def _chosen(g: GraphWriter, use: Use, names: Sequence[str]) -> str:
    above = g.node("Greater", [names[0], float_constant(g, use.number)])
    return str(g.node("Where", [above, names[0], names[1]]))


OPERATIONS = {
    each.name: each
    for each in (
        _layer("square", "square", VECTOR, VECTOR, relu=False),
        _layer("square_relu", "square", VECTOR, VECTOR, relu=True),
        _layer("conv", "conv", IMAGE, IMAGE, relu=False),
        _layer("conv_relu", "conv", IMAGE, IMAGE, relu=True),
        _layer("point", "point", IMAGE, IMAGE, relu=True),
        _layer("depth", "depth", IMAGE, IMAGE, relu=True),
        _plain("sum", f"{VECTOR} {VECTOR}", VECTOR, "{0} + {1}", "Add"),
        _plain("difference", f"{VECTOR} {VECTOR}", VECTOR, "{0} - {1}", "Sub"),
        Operation(
            "product", (VECTOR, VECTOR), VECTOR, "",
            lambda use, names: f"{names[0]} * torch.tanh({names[1]})",
            lambda g, use, names: str(g.node("Mul", [names[0], g.node("Tanh", [names[1]])])),
        ),
        _plain("smaller", f"{VECTOR} {VECTOR}", VECTOR, "torch.minimum({0}, {1})", "Min"),
        _plain("tanh", VECTOR, VECTOR, "torch.tanh({0})", "Tanh"),
        _plain("gated", VECTOR, VECTOR, "torch.sigmoid({0})", "Sigmoid"),
        _plain("sum_images", f"{IMAGE} {IMAGE}", IMAGE, "{0} + {1}", "Add"),
        _scaled(VECTOR), _scaled(IMAGE), _shifted(VECTOR),
        Operation(
            "mean_removed", (VECTOR,), VECTOR, "",
            lambda use, names: f"{names[0]} - {names[0]}.mean(1, keepdim=True)", _mean_removed,
        ),
        Operation(
            "poked", (VECTOR,), VECTOR, "",
            lambda use, names: f"{names[0]} + self.unit_{use.index} * {use.number}", _poked,
        ),
        Operation(
            "pooled", (IMAGE,), IMAGE, "",
            lambda use, names: f"functional.max_pool2d({names[0]}, 3, 1, 1)", _pooled,
        ),
        Operation(
            "entered", (VECTOR,), IMAGE, "entry",
            lambda use, names: f"self.entry_{use.layer}({names[0]}.reshape(1, 1, {SIDE}, {SIDE}))", _entered,
        ),
        Operation(
            "flattened", (IMAGE,), VECTOR, "flat",
            lambda use, names: f"self.flat_{use.layer}({names[0]}.flatten(1))", _flattened,
        ),
        Operation(
            "chosen", (VECTOR, VECTOR), VECTOR, "",
            lambda use, names: f"torch.where({names[0]} > {use.number}, {names[0]}, {names[1]})", _chosen,
        ),
        Operation(
            "row_added", (VECTOR, ROW), VECTOR, "",
            lambda use, names: f"{names[0]} + {names[1]}.repeat(1, {WIDTH // 4})", _row_added,
        ),
        Operation(
            "times_number", (VECTOR, NUMBER), VECTOR, "",
            lambda use, names: f"{names[0]} * (({names[1]} % 3 + 1) * {use.number})", _times_number,
        ),
        Operation(
            "mixed_numbers", (NUMBER, NUMBER), NUMBER, "",
            lambda use, names: f"({names[0]} * 2 - {names[1]} + {use.index}) % 7", _mixed_numbers,
        ),
        Operation(
            "larger_number", (NUMBER, NUMBER), NUMBER, "",
            lambda use, names: f"max({names[0]}, {names[1]})", _larger_number,
        ),
        Operation(
            "counted", (VECTOR,), NUMBER, "",
            lambda use, names: f"int(({names[0]} > {use.number}).sum())", _counted,
        ),
    )
}  # fmt: skip
