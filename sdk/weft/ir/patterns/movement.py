"""Operators that only move elements, on quantized tensors or between DequantizeLinear and QuantizeLinear → Movement.

What moves where is not derived from attributes: ONNX Runtime itself runs the nodes on a tensor that holds each
element's own number, which is exact for every operator that only moves, and the same for all of them.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from weft.ir.graph import Graph, attributes
from weft.ir.operators import Movement, Tensor
from weft.ir.patterns.common import DTYPES, Refusal, tensor

__all__ = ["MOVES", "ends_at", "match", "requantization"]

MOVES = frozenset(
    {
        "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "Pad", "Reshape", "Resize", "Slice",
        "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
    }
)  # fmt: skip
"""Every element of the result is an element of an input, or a constant (Resize: mode `nearest`)."""

RANKS = range(1, 9)
MAX_NODES = 16
MAX_ELEMENTS = 1 << 23
"""Element numbers are carried through the nodes as float32, which has all whole numbers up to twice as many."""

Index = npt.NDArray[np.int64]


def ends_at(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether the node moves 8-bit elements, or quantizes what was moved."""
    if node.domain not in ("", "ai.onnx"):
        return False
    if node.op_type == "QuantizeLinear":
        producer = graph.producer.get(node.input[0])
        return producer is not None and producer.op_type in MOVES and producer.domain in ("", "ai.onnx")
    value = graph.values.get(node.output[0]) if node.op_type in MOVES else None
    return value is not None and value.type.tensor_type.elem_type in DTYPES


def match(graph: Graph, node: onnx.NodeProto) -> list[Movement]:
    """`node` is one that `ends_at` accepts: one Movement for each of its outputs.

    Raises Refusal where something else than moving is done, or a shape or an index is not constant.
    """
    if node.op_type == "QuantizeLinear":
        return [_match_between(graph, node)]
    return _match_quantized(graph, node)


def _match_between(graph: Graph, end: onnx.NodeProto) -> Movement:
    """`end` is a QuantizeLinear behind moving operators alone, which start at DequantizeLinear nodes."""
    output = tensor(graph, end.output[0], end.input[1], end.input[2] if len(end.input) > 2 else "", ranks=RANKS)
    nodes, leaves = _cone(graph, end)
    sources = [_dequantized(graph, name) for name in leaves]
    codes, constants = _trace(graph, nodes, {n: s.shape for n, s in zip(leaves, sources, strict=True)}, end.input[0])
    filled = np.rint(constants / output.scale) + output.zero_point
    index = _with_constants(codes, np.clip(filled, *output.limits))
    tables = tuple(requantization(source, output) for source in sources)
    names = (*(node.name for node in nodes), end.name)
    return Movement(end.name, names, tuple(sources), _sized(output, codes), index, tables)


def _match_quantized(graph: Graph, node: onnx.NodeProto) -> list[Movement]:
    """A moving operator on int8 or uint8 tensors themselves."""
    count = len(node.input) if node.op_type == "Concat" else 1
    sources = [_quantized(graph, name) for name in node.input[:count]]
    _check(graph, node)
    shapes = {source.name: source.shape for source in sources}
    found: list[Movement] = []
    distinct = tuple(_quantized(graph, each) for each in shapes)
    for name in (name for name in node.output if name):
        output = _quantized(graph, name)
        codes, constants = _trace(graph, [node], shapes, name)
        index = _with_constants(codes, constants)
        unique = node.name if not found else f"{node.name}:{name}"
        tables = (None,) * len(distinct)
        found.append(Movement(unique, (node.name,), distinct, _sized(output, codes), index, tables))
    return found


def requantization(source: Tensor, output: Tensor) -> npt.NDArray[np.uint8] | None:
    """QuantizeLinear(DequantizeLinear(q)) as the output's byte for each of the 256 bytes of q; None if they agree."""
    low, high = source.limits
    q = np.arange(low, high + 1, dtype=np.int32)
    real = (q - source.zero_point).astype(np.float32) * source.scale
    changed = np.clip(np.rint(real / output.scale) + output.zero_point, *output.limits).astype(np.int32)
    table = np.zeros(256, np.uint8)
    table[q & 0xFF] = changed & 0xFF
    return None if np.array_equal(table, np.arange(256)) else table


def _cone(graph: Graph, end: onnx.NodeProto) -> tuple[list[onnx.NodeProto], list[str]]:
    """The moving nodes that lead to `end`, in order, and the dequantized values that they start from."""
    names: set[str] = set()
    leaves: dict[str, None] = {}
    open_values = [end.input[0]]
    while open_values:
        value = open_values.pop()
        producer = graph.producer.get(value)
        if producer is None:
            raise Refusal("it quantizes an input of the model" if value in graph.values else "an operand is a constant")
        if producer.op_type == "DequantizeLinear":
            leaves[value] = None
            continue
        if producer.op_type not in MOVES or producer.domain not in ("", "ai.onnx") or _interpolates(producer):
            raise Refusal(f"it quantizes what {producer.op_type} computes in floating point")
        _check(graph, producer)
        if producer.name not in names:
            names.add(producer.name)
            open_values += reversed(producer.input if producer.op_type == "Concat" else producer.input[:1])
        if len(names) > MAX_NODES:
            raise Refusal(f"more than {MAX_NODES} operators lie between the quantizations")
    return graph.in_order(names), list(leaves)


def _check(graph: Graph, node: onnx.NodeProto) -> None:
    if node.op_type == "Concat":
        return
    for name in node.input[1:]:
        if name and name not in graph.initializers:
            raise Refusal(f"its operand {name!r} is not constant")
    if _interpolates(node):
        raise Refusal("only Resize of mode nearest moves without computing")


def _interpolates(node: onnx.NodeProto) -> bool:
    return node.op_type == "Resize" and attributes(node).get("mode", b"nearest") not in (b"nearest", "nearest")


def _dequantized(graph: Graph, name: str) -> Tensor:
    node = graph.producer[name]
    if node.input[0] in graph.initializers:
        raise Refusal("an operand is a constant")
    return tensor(graph, node.input[0], node.input[1], node.input[2] if len(node.input) > 2 else "", ranks=RANKS)


def _quantized(graph: Graph, name: str) -> Tensor:
    """An 8-bit value without its scale (moving needs none)."""
    value, shape = graph.values.get(name), graph.shape(name)
    dtype = DTYPES.get(value.type.tensor_type.elem_type) if value is not None else None
    if shape is None or dtype is None or name in graph.initializers:
        raise Refusal("it is not on a quantized tensor of static shape")
    if len(shape) not in RANKS or 0 in shape:
        raise Refusal(f"{name!r} has shape {list(shape)}")
    return Tensor(name, shape, dtype, np.float32(1), 0)


def _sized(output: Tensor, codes: Index) -> Tensor:
    if codes.size != math.prod(output.shape):
        raise Refusal(f"{output.name!r} has not the shape {list(output.shape)} that the model states")
    return output


def _with_constants(codes: Index, constants: npt.NDArray[np.float32]) -> Index:
    """Element numbers, and −1 − byte where the result is the constant q."""
    q = constants.astype(np.int64) & 0xFF
    index: Index = np.where(codes >= 0, codes, -1 - q)
    return index


def _trace(
    graph: Graph, nodes: list[onnx.NodeProto], shapes: dict[str, tuple[int, ...]], result: str
) -> tuple[Index, npt.NDArray[np.float32]]:
    """For each element of `result`, row-major: its element's number in all of `shapes` one after the other, or −1;
    and the constant that it is where the number is −1.

    Elements are numbered from 1 and passed twice, the second time negated: what does not change sign is a constant.
    """
    starts = np.cumsum([0, *(math.prod(shape) for shape in shapes.values())])
    if starts[-1] > MAX_ELEMENTS:
        raise Refusal(f"it moves more than {MAX_ELEMENTS} elements")
    for name in (name for node in nodes for name in node.output if name):
        shape = graph.shape(name)
        if shape is None or math.prod(shape) > MAX_ELEMENTS:
            raise Refusal(f"{name!r} is not known to have at most {MAX_ELEMENTS} elements")
    session = _session(graph, nodes, shapes, result)
    feeds = {
        name: np.arange(start + 1, start + 1 + math.prod(shape), dtype=np.float32).reshape(shape)
        for (name, shape), start in zip(shapes.items(), starts, strict=False)
    }
    try:
        (forward,) = session.run([result], feeds)
        (backward,) = session.run([result], {name: -array for name, array in feeds.items()})
    except Exception as error:  # ONNX Runtime's exceptions have no common base below Exception
        raise Refusal(f"ONNX Runtime cannot evaluate it alone ({str(error).splitlines()[0][:80]})") from error
    forward, backward = forward.reshape(-1), backward.reshape(-1)
    moved = (forward == -backward) & (forward > 0)
    if not np.array_equal(forward[~moved], backward[~moved]):
        raise Refusal("it does more than move elements")
    return np.where(moved, forward.astype(np.int64) - 1, -1), np.where(moved, np.float32(0), forward)


def _session(
    graph: Graph, nodes: list[onnx.NodeProto], shapes: dict[str, tuple[int, ...]], result: str
) -> onnxruntime.InferenceSession:
    used = {name for node in nodes for name in node.input}
    initializers = [_widened(graph.initializers[name]) for name in graph.initializers if name in used]
    body = helper.make_graph(
        nodes, "movement",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)],
        initializers,
    )  # fmt: skip
    model = helper.make_model(
        body, opset_imports=list(graph.model.opset_import), ir_version=graph.model.ir_version, producer_name="weft"
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise Refusal(f"ONNX Runtime cannot evaluate it alone ({str(error).splitlines()[0][:80]})") from error


def _widened(value: onnx.TensorProto) -> onnx.TensorProto:
    """8-bit constants (Pad's value) as float32, like the elements."""
    if value.data_type not in DTYPES:
        return value
    return numpy_helper.from_array(numpy_helper.to_array(value).astype(np.float32), value.name)
