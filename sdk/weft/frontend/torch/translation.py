"""PyTorch's own ONNX exporter: one call, and which operator it is that it cannot translate."""

from __future__ import annotations

import logging
import operator
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from torch import fx
from torch.utils import _pytree as pytree

from weft.errors import SourceError
from weft.frontend.torch.location import user_place

MOST_TRIALS = 40
NAMED_OPERATOR = re.compile(r"OpOverload\(op='[a-z]+\.(\w+)'")


def export_quietly(module: fx.GraphModule, examples: tuple[torch.Tensor, ...]) -> onnx.ModelProto:
    """The module as an ONNX model, without the exporter's remarks about its own registry. Raises what it raises."""
    with _quiet(), torch.no_grad():
        exported = torch.export.export(module, examples, strict=False)
        model = _translated(exported, optimize=True)
        # Its optimizer (onnxscript 0.5 and later) can leave out constants where it fuses twice on one tensor.
        return model if _is_whole(model.graph) else _translated(exported, optimize=False)


def _translated(exported: torch.export.ExportedProgram, *, optimize: bool) -> onnx.ModelProto:
    program = torch.onnx.export(exported, dynamo=True, verbose=False, optimize=optimize)
    assert program is not None
    return program.model_proto


def _is_whole(graph: onnx.GraphProto) -> bool:
    """Whether every name that a node reads is there."""
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    known.update(name for node in graph.node for name in node.output)
    return known.issuperset(name for node in graph.node for name in node.input if name)


def untranslated(nodes: Sequence[fx.Node], error: BaseException) -> SourceError:
    """The refusal of a program that the exporter cannot translate, with the place of the first operator that it cannot
    translate by itself either. `nodes` are the program's; `error` is what the exporter raised for the whole.
    """
    found = _culprit(nodes, error)
    place = "" if found is None else user_place(str(found.meta.get("stack_trace") or ""))
    what = "this program" if found is None else f"the operator {found.target}"
    return SourceError(
        f"{place}PyTorch's ONNX exporter cannot translate {what} ({reason_of(error)}); write it with operators that "
        "ONNX has, or compute it outside of the model"
    )


def reason_of(error: BaseException) -> str:
    """The innermost cause's first line: the exporter wraps it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


def _culprit(nodes: Sequence[fx.Node], error: BaseException) -> fx.Node | None:
    overloads = [node for node in nodes if isinstance(node.target, torch._ops.OpOverload)]
    named = NAMED_OPERATOR.search(reason_of(error))
    for node in overloads:
        if named is not None and _name(node) == named.group(1):
            return node
    first = {node.target: node for node in reversed(overloads)}
    for node in list(first.values())[:MOST_TRIALS]:
        if not _is_translated(node):
            return node
    return None


def _name(node: fx.Node) -> str:
    return str(node.target).split(".")[1] if str(node.target).count(".") > 1 else str(node.target)


def _is_translated(node: fx.Node) -> bool:
    """Whether the exporter takes a graph of this node alone; also true where that cannot be tried."""
    examples = [source.meta.get("val") for source in node.all_input_nodes]
    result = node.meta.get("val")
    if not all(isinstance(each, torch.Tensor) for each in examples) or result is None:
        return True
    graph = fx.Graph()
    inputs = {source: graph.placeholder(f"input_{index}") for index, source in enumerate(node.all_input_nodes)}
    copy: Any = graph.node_copy(node, lambda source: inputs[source])
    if not isinstance(result, torch.Tensor):
        places = [place for place, leaf in enumerate(pytree.tree_leaves(result)) if isinstance(leaf, torch.Tensor)]
        copy = tuple(graph.call_function(operator.getitem, (copy, place)) for place in places)
    graph.output(copy)
    tensors = tuple(torch.ones(tuple(each.shape), dtype=each.dtype) for each in examples if each is not None)
    try:
        export_quietly(fx.GraphModule(torch.nn.Module(), graph), tensors)
    except Exception:
        return False
    return True


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
