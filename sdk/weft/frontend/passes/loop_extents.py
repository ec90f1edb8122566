"""Extents of a Loop's results, which ONNX's inference leaves open because an iteration might change them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import onnx
from onnx import helper, shape_inference

from weft.frontend.graph import is_standard
from weft.frontend.topology import nesting, used_names

__all__ = ["LoopExtents"]

MAX_DEPTH = 16
# Bodies within bodies are looked at again for each look at the outer one: a hostile model would take for ever.
MOST_BODIES = 200
Types = dict[str, onnx.TypeProto]


class LoopExtents:
    """Finds the extents for one model; looks at so many bodies at most, and leaves the others' results open."""

    def __init__(self) -> None:
        self._left = MOST_BODIES

    def settle(self, sketch: onnx.ModelProto, inferred: onnx.ModelProto) -> bool:
        """Writes the types of results of the main graph's Loops into `sketch` where all states keep their first
        shape; whether one was new. `inferred` is the same model after inference.

        States that have their first shapes after one iteration, given that they had them before, have them after any
        number of iterations.
        """
        known: Types = {}
        found = False
        for node in sketch.graph.node:
            if not is_standard(node, "Loop"):
                continue
            known = known or _types(inferred.graph)
            waiting = [place for place, name in enumerate(node.output) if name and not is_static(known.get(name))]
            settled = self._results(node, known, sketch) if waiting else []
            for place in waiting:
                kind = settled[place] if place < len(settled) else None
                if kind is not None and kind != known.get(node.output[place]):
                    _declare(sketch.graph, node.output[place], kind)
                    found = True
        return found

    def _results(
        self, node: onnx.NodeProto, known: Mapping[str, onnx.TypeProto], model: onnx.ModelProto
    ) -> Sequence[onnx.TypeProto | None]:
        """The types of a Loop's results, None where open; empty where its states do not settle."""
        body = next((each.g for each in node.attribute if each.name == "body"), None)
        first = [known.get(name) for name in node.input[2:]]
        fits = body is not None and len(body.input) == len(first) + 2 <= len(body.output) + 1
        if body is None or not fits or not all(map(is_static, first)) or nesting([node], MAX_DEPTH) >= MAX_DEPTH:
            return []
        graph = self._inferred(_as_model(body, first, used_names(node), known, model))
        found = _types(graph)
        results = [found.get(value.name) for value in list(body.output)[1:]]
        if results[: len(first)] != first:
            return []
        return [*first, *map(_collected, results[len(first) :])]

    def _inferred(self, model: onnx.ModelProto) -> onnx.GraphProto:
        """A body's graph with the types of its tensors, those behind Loops in it, too."""
        inferred = model
        while self._left > 0:
            self._left -= 1
            inferred = shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
            if not self.settle(model, inferred):
                break
        return inferred.graph


def _as_model(
    body: onnx.GraphProto, states: Sequence[onnx.TypeProto | None], used: Collection[str],
    known: Mapping[str, onnx.TypeProto], model: onnx.ModelProto,
) -> onnx.ModelProto:  # fmt: skip
    """The body as a model of its own, with states of these types; the outer names that it reads are inputs."""
    proto = onnx.ModelProto(ir_version=model.ir_version)
    proto.opset_import.extend(model.opset_import)
    proto.functions.extend(model.functions)
    graph = proto.graph
    graph.CopyFrom(body)
    graph.name = graph.name or "body"
    for value, kind in zip(list(graph.input)[2:], states, strict=True):
        value.type.CopyFrom(kind or onnx.TypeProto())
    own = {value.name for value in (*graph.input, *graph.initializer)}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for name in sorted(set(used) - own):
        if name in constants:
            graph.initializer.append(constants[name])
        elif name in known:
            graph.input.append(onnx.ValueInfoProto(name=name, type=known[name]))
    return proto


def _types(graph: onnx.GraphProto) -> Types:
    found = {value.name: value.type for value in (*graph.value_info, *graph.output, *graph.input)}
    for tensor in graph.initializer:
        found[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
    return found


def is_static(kind: onnx.TypeProto | None) -> bool:
    """Whether it is a tensor whose every extent is a number."""
    if kind is None or kind.WhichOneof("value") != "tensor_type" or not kind.tensor_type.HasField("shape"):
        return False
    return all(extent.HasField("dim_value") for extent in kind.tensor_type.shape.dim)


def _collected(kind: onnx.TypeProto | None) -> onnx.TypeProto | None:
    """The type of collected slices: how many is not known."""
    if kind is None or not is_static(kind):
        return None
    extents = [extent.dim_value for extent in kind.tensor_type.shape.dim]
    return helper.make_tensor_type_proto(kind.tensor_type.elem_type, [None, *extents])


def _declare(graph: onnx.GraphProto, name: str, kind: onnx.TypeProto) -> None:
    for value in (*graph.output, *graph.value_info):
        if value.name == name:
            value.type.CopyFrom(kind)
            return
    graph.value_info.append(onnx.ValueInfoProto(name=name, type=kind))
