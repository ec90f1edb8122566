"""Checks on an ONNX protobuf from an untrusted file that ONNX's own checker does not make, or words badly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import defs, helper, numpy_helper

from weft.errors import ModelError
from weft.frontend.model import standard_opset
from weft.frontend.topology import all_nodes, nesting, sort_nodes, subgraphs

OLDEST_OPSET = 1
MAX_ELEMENTS = 2**31
MAX_INLINED_NODES = 1_000_000
# What ONNX itself bounds too, in some releases only: function calls, and graphs as deep as a file can hold them.
MAX_CALL_DEPTH = 100
MAX_NESTING = 30
KNOWN_DOMAINS = frozenset(
    {
        "",
        "ai.onnx",
        "ai.onnx.ml",
        "ai.onnx.preview",
        "com.microsoft",
        "com.microsoft.nchwc",
        "com.ms.internal.nhwc",
    }
)


def validate(proto: onnx.ModelProto, name: str) -> None:
    """Checks `proto` and sorts its nodes topologically in place; raises ModelError naming what and where."""
    check_nesting(proto, name)
    _check_header(proto, name)
    _check_text(proto, name)
    _check_domains(proto, name)
    _check_names(proto.graph, name, set())
    _sort(proto.graph, name)
    _check_functions(proto, name)
    _check_inputs(proto, name)
    for owner, tensor in all_tensors(proto):
        check_tensor(tensor, name, owner)
    try:
        onnx.checker.check_model(_with_ranks(proto), full_check=False)
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        ValueError,
        RuntimeError,
    ) as error:
        raise ModelError(f"{name}: breaks ONNX's rules: {first_line(error)}; export the model again") from error


def check_nesting(proto: onnx.ModelProto, name: str) -> None:
    """Raises ModelError for graphs so deep within each other that copying them could overflow the stack."""
    nodes = itertools.chain(proto.graph.node, (node for function in proto.functions for node in function.node))
    if nesting(nodes, MAX_NESTING + 1) > MAX_NESTING:
        raise ModelError(f"{name}: holds graphs within graphs deeper than the {MAX_NESTING} levels allowed")


def _check_inputs(proto: onnx.ModelProto, name: str) -> None:
    for value in proto.graph.input:
        extents = [extent.dim_value for extent in value.type.tensor_type.shape.dim]
        if min(extents, default=0) < 0 or math.prod(extent or 1 for extent in extents) > MAX_ELEMENTS:
            raise ModelError(
                f"{name}: input '{value.name}' has the shape {extents}; no extent may be negative, and all together "
                f"{MAX_ELEMENTS} elements at most"
            )


def _check_functions(proto: onnx.ModelProto, name: str) -> None:
    """Functions are replaced by their bodies: none may contain itself, nor the whole become too large."""
    bodies = {(each.domain, each.name): each for each in proto.functions}
    calls = {
        key: [call for node in body.node for call in _calls(node) if call in bodies] for key, body in bodies.items()
    }
    sizes: dict[tuple[str, str], int] = {}
    depths: dict[tuple[str, str], int] = {}
    for key in _callees_first(calls, name):
        sizes[key] = min(MAX_INLINED_NODES + 1, len(bodies[key].node) + sum(sizes[each] for each in calls[key]))
        depths[key] = 1 + max((depths[each] for each in calls[key]), default=0)
        if depths[key] > MAX_CALL_DEPTH:
            raise ModelError(f"{name}: function '{key[1]}' calls others more than {MAX_CALL_DEPTH} deep")
    total = sum(sizes.get(call, 0) for node in proto.graph.node for call in _calls(node))
    if total > MAX_INLINED_NODES:
        raise ModelError(f"{name}: its functions come to more than the {MAX_INLINED_NODES} nodes allowed")


def _callees_first(calls: Mapping[tuple[str, str], Sequence[tuple[str, str]]], name: str) -> Iterator[tuple[str, str]]:
    """Functions, each behind all that it calls."""
    waiting = {key: len(set(called)) for key, called in calls.items()}
    callers: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for key, called in calls.items():
        for each in set(called):
            callers.setdefault(each, []).append(key)
    ready = [key for key, count in waiting.items() if count == 0]
    while ready:
        key = ready.pop()
        del waiting[key]
        yield key
        for caller in callers.get(key, ()):
            waiting[caller] -= 1
            if waiting[caller] == 0:
                ready.append(caller)
    if waiting:
        raise ModelError(f"{name}: function '{next(iter(waiting))[1]}' contains itself, or calls one that does")


def _calls(node: onnx.NodeProto) -> list[tuple[str, str]]:
    """The operators of a node and of the graphs within it, each as often as it is there."""
    inner = [each for graph in subgraphs(node) for each in all_nodes(graph)]
    return [(each.domain, each.op_type) for each in (node, *inner)]


def _with_ranks(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same model for the checker, which refuses outputs of unknown rank; ONNX Runtime runs them."""
    unranked = [value for value in proto.graph.output if _is_unranked(value)]
    if not unranked:
        return proto
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for value in copy.graph.output:
        if _is_unranked(value):
            value.type.tensor_type.shape.SetInParent()
    return copy


def _is_unranked(value: onnx.ValueInfoProto) -> bool:
    return value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape")


def first_line(error: BaseException) -> str:
    """The first non-empty line of an exception's message, at most 300 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def all_tensors(proto: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Every dense tensor stored in the model, its subgraphs and functions, each with the name of what holds
    it."""
    yield from _graph_tensors(proto.graph)
    for function in proto.functions:
        yield from _node_tensors(function.node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    for tensor in graph.initializer:
        yield f"initializer '{tensor.name}'", tensor
    for sparse in graph.sparse_initializer:
        yield f"initializer '{sparse.values.name}'", sparse.values
        yield f"indices of initializer '{sparse.values.name}'", sparse.indices
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[tuple[str, onnx.TensorProto]]:
    for node in nodes:
        for attribute in node.attribute:
            owner = f"node '{node.name or node.op_type}', attribute '{attribute.name}'"
            if attribute.HasField("t"):
                yield owner, attribute.t
            yield from ((owner, tensor) for tensor in attribute.tensors)
        for inner in subgraphs(node):
            yield from _graph_tensors(inner)


def check_tensor(tensor: onnx.TensorProto, name: str, owner: str) -> None:
    """Raises ModelError unless the stored data are exactly as long as the tensor's shape asks for."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ModelError(f"{name}: {owner} keeps its data in another file; load the model from its path")
    if min(tensor.dims, default=0) < 0:
        raise ModelError(f"{name}: {owner} has the shape {list(tensor.dims)}; no extent may be negative")
    try:
        if tensor.data_type == onnx.TensorProto.STRING:
            stored, wanted = len(tensor.string_data), _element_count(tensor)
        elif tensor.HasField("raw_data"):
            stored, wanted = len(tensor.raw_data), _raw_bytes(tensor)
        else:
            stored, wanted = numpy_helper.to_array(tensor).size, _element_count(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{name}: {owner} cannot be decoded: {first_line(error)}; the file is damaged") from error
    if stored != wanted:
        raise ModelError(f"{name}: {owner} stores {stored} values or bytes, its shape and type ask for {wanted}")


def _element_count(tensor: onnx.TensorProto) -> int:
    count = 1
    for extent in tensor.dims:
        count *= extent
    return count


def _raw_bytes(tensor: onnx.TensorProto) -> int:
    four_bit = {onnx.TensorProto.INT4, onnx.TensorProto.UINT4, onnx.TensorProto.FLOAT4E2M1}
    if tensor.data_type in four_bit:
        return (_element_count(tensor) + 1) // 2
    if tensor.data_type in {getattr(onnx.TensorProto, "INT2", -1), getattr(onnx.TensorProto, "UINT2", -1)}:
        return (_element_count(tensor) + 3) // 4
    return _element_count(tensor) * np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize


def _check_header(proto: onnx.ModelProto, name: str) -> None:
    if not proto.ir_version or not proto.HasField("graph"):
        raise ModelError(f"{name}: holds no ONNX graph; is the file really an .onnx model, and complete?")
    version, newest = standard_opset(proto), defs.onnx_opset_version()
    if version == 0 and not any(node.domain in ("", "ai.onnx") for node in all_nodes(proto.graph)):
        return
    if not OLDEST_OPSET <= version <= newest:
        raise ModelError(
            f"{name}: operator set {version} is outside {OLDEST_OPSET}..{newest}; export with a version in that range"
        )


def _check_text(proto: onnx.ModelProto, name: str) -> None:
    """Protobuf hands text that is not UTF-8 over as bytes, which nothing behind expects."""
    waiting: list[Message] = [proto]
    while waiting:
        for field, value in waiting.pop().ListFields():
            if field.type not in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE):
                continue
            values = (value,) if isinstance(value, str | bytes | Message) else value
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                waiting.extend(values)
                continue
            for text in values:
                if not isinstance(text, str):
                    raise ModelError(
                        f"{name}: holds the {field.name} {text[:80]!r}, which is not UTF-8; the file is damaged"
                    )


def _check_domains(proto: onnx.ModelProto, name: str) -> None:
    known = KNOWN_DOMAINS | {function.domain for function in proto.functions}
    imported = {entry.domain for entry in proto.opset_import}
    for node in all_nodes(proto.graph):
        where = f"{name}: node '{node.name}' ({node.op_type})"
        if node.domain not in known and not node.domain.startswith("ai.onnx"):
            raise ModelError(
                f"{where} is of the unknown operator domain '{node.domain}'; replace it by standard operators"
            )
        if node.domain not in imported and not (node.domain in ("", "ai.onnx") and imported & {"", "ai.onnx"}):
            raise ModelError(f"{where} is of the domain '{node.domain}', which the model does not import")


def _check_names(graph: onnx.GraphProto, name: str, known: set[str]) -> None:
    """`known` are the names of the graphs around; what this graph adds to it is gone when it returns."""
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    own |= {tensor.values.name for tensor in graph.sparse_initializer}
    own |= {output for node in graph.node for output in node.output}
    own -= known
    known |= own
    for node in graph.node:
        for tensor in node.input:
            if tensor and tensor not in known:
                raise ModelError(
                    f"{name}: node '{node.name}' ({node.op_type}) reads '{tensor}', which is neither an "
                    "input, an initializer nor any node's output; export the model again"
                )
        for inner in subgraphs(node):
            _check_names(inner, name, known)
    for value in graph.output:
        if value.name not in known:
            raise ModelError(f"{name}: the graph's output '{value.name}' is produced by no node")
    known -= own


def _sort(graph: onnx.GraphProto, name: str) -> None:
    nodes = list(graph.node)
    ordered = sort_nodes(nodes)
    if len(ordered) < len(nodes):
        placed = {id(node) for node in ordered}
        stuck = next(node for node in nodes if id(node) not in placed)
        raise ModelError(
            f"{name}: node '{stuck.name}' ({stuck.op_type}) is part of, or behind, a cycle in the graph; "
            "ONNX graphs must be acyclic (use Loop or Scan)"
        )
    if any(first is not second for first, second in zip(nodes, ordered, strict=True)):
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
        del graph.node[:]
        graph.node.extend(copies)
    for node in graph.node:
        for inner in subgraphs(node):
            _sort(inner, name)
