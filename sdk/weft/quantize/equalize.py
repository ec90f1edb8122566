"""Cross-layer equalization: channels of a tensor between two layers brought to similar ranges.

W1[i] / s[i], b1[i] / s[i] and W2[:, i] * s[i] leave W2 · relu(W1 x + b1) as it is for every s > 0 (M. Nagel
et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.1). Their
s = sqrt(r1 / r2) has the weights' ranges in it, for weights with one scale per tensor. With one scale per output
channel W1's ranges do not matter, but the tensor's do, which has one scale: r1[i] is the greatest magnitude that
channel i reaches on calibration data (as in G. Xiao et al., "SmoothQuant", ICML 2023, with alpha 1/2). s is
rounded to a power of two, so that the float network computes the same bits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from weft.frontend.graph import Array, Graph, integer, is_standard
from weft.frontend.model import Model
from weft.quantize.plan import is_bias_add
from weft.quantize.ranges import Runner

__all__ = ["equalize"]

ROUNDS = 20
Magnitudes = npt.NDArray[np.float64]
Ranges = dict[str, Magnitudes]


@dataclass(frozen=True)
class _Pair:
    """Two layers with one tensor between them that nothing else reads. `bias`: the node and input index that
    hold the first one's bias, or None."""

    first: onnx.NodeProto
    second: onnx.NodeProto
    tensor: str
    bias: tuple[onnx.NodeProto, int] | None


def equalize(model: Model, exclude: Collection[str], samples: Sequence[Mapping[str, Array]]) -> Model:
    """The same float network with equalized channels.

    Pairs: Conv and Conv (grouped and depthwise too), Gemm or MatMul (with its bias Add) and Gemm or MatMul,
    with Relu or nothing between. Nodes in `exclude` keep their weights. Chains are swept until no channel
    changes, at most 20 times. A pair whose numbers would leave the normal float32 range stays as it is.
    """
    graph = Graph(model)
    pairs = [pair for node in graph.nodes if (pair := _pair(graph, node, exclude)) is not None]
    ranges = _channel_ranges(model, pairs, samples)
    for _ in range(ROUNDS):
        if not sum([_equalize(graph, pair, ranges) for pair in pairs]):
            break
    return graph.finish()


def _channel_ranges(model: Model, pairs: Sequence[_Pair], samples: Sequence[Mapping[str, Array]]) -> Ranges:
    """The greatest magnitude of each channel of the tensors between pairs."""
    ranges: Ranges = {}
    for values in Runner(model, [pair.tensor for pair in pairs], 0, None).run(samples):
        for pair in pairs:
            found = np.abs(values[pair.tensor].astype(np.float64))
            axis = 1 if pair.first.op_type == "Conv" else found.ndim - 1
            others = tuple(index for index in range(found.ndim) if index != axis)
            greatest = found.max(axis=others, initial=0.0)
            ranges[pair.tensor] = np.maximum(ranges.get(pair.tensor, greatest), greatest)
    return ranges


def _pair(graph: Graph, first: onnx.NodeProto, exclude: Collection[str]) -> _Pair | None:
    if not is_standard(first, "Conv", "Gemm", "MatMul") or not _has_matrix(graph, first):
        return None
    bias, tensor = _bias_place(graph, first), first.output[0]
    reader = graph.only_consumer(tensor)
    if reader is not None and is_bias_add(graph, reader) is first:
        bias, tensor = (reader, 1 if reader.input[0] == tensor else 0), reader.output[0]
        reader = graph.only_consumer(tensor)
    if bias is not None and graph.constant(bias[0].input[bias[1]]) is None:
        return None
    if reader is not None and is_standard(reader, "Relu"):
        tensor = reader.output[0]
        reader = graph.only_consumer(tensor)
    if reader is None or not is_standard(reader, "Conv", "Gemm", "MatMul") or not _has_matrix(graph, reader):
        return None
    if (first.op_type == "Conv") != (reader.op_type == "Conv") or reader.input[0] != tensor:
        return None
    if integer(reader, "transA", 0) or {first.name, reader.name} & set(exclude):
        return None
    return _Pair(first, reader, tensor, bias)


def _has_matrix(graph: Graph, node: onnx.NodeProto) -> bool:
    weights = graph.constant(node.input[1])
    if weights is None or weights.dtype != np.float32 or weights.size == 0 or not np.all(np.isfinite(weights)):
        return False
    return node.op_type == "Conv" or weights.ndim == 2


def _bias_place(graph: Graph, node: onnx.NodeProto) -> tuple[onnx.NodeProto, int] | None:
    return (node, 2) if len(node.input) > 2 and node.input[2] else None


def _equalize(graph: Graph, pair: _Pair, ranges: Ranges) -> bool:
    """One step on one pair; whether anything changed."""
    first, second = _constant(pair.first, 1, graph), _constant(pair.second, 1, graph)
    makes, reads = _by_output(pair.first, first), _by_input(pair.second, second)
    exponents = _exponents(ranges.get(pair.tensor), np.abs(reads).max(axis=(1, 3)).reshape(-1))
    if exponents is None or len(exponents) != len(makes) or not exponents.any():
        return False
    bias = None if pair.bias is None else _constant(*pair.bias, graph)
    if bias is not None and bias.size not in (1, len(exponents)):
        return False
    wide = None if bias is None else np.broadcast_to(bias.reshape(-1), exponents.shape)
    scaled = _scaled(makes, -exponents[:, None]), _scaled(reads, exponents.reshape(len(reads), 1, -1, 1))
    moved = None if wide is None else _scaled(wide, -exponents)
    if scaled[0] is None or scaled[1] is None or (wide is not None and moved is None):
        return False
    _store(graph, pair.first, 1, _from_output(pair.first, scaled[0], first.shape))
    _store(graph, pair.second, 1, _from_input(pair.second, scaled[1], second.shape))
    if pair.bias is not None and bias is not None and moved is not None:
        _store(graph, *pair.bias, moved.reshape(bias.shape) if bias.size == moved.size else moved)
    ranges[pair.tensor] = np.ldexp(ranges[pair.tensor], -exponents)
    return True


def _exponents(tensor: Magnitudes | None, weights: Array) -> npt.NDArray[np.int32] | None:
    """The binary logarithm of s, 0 for channels that are always zero on either side."""
    if tensor is None or tensor.shape != weights.shape or not np.all(np.isfinite(tensor)):
        return None
    used = (tensor > 0) & (weights > 0)
    ratio = np.divide(tensor, weights, out=np.ones(len(used)), where=used)
    return np.rint(np.log2(ratio) / 2).astype(np.int32)


def _scaled(values: Array, exponents: npt.NDArray[np.int32]) -> Array | None:
    """The values times two to the exponents, or None where that would round one."""
    result = np.ldexp(values, exponents)
    exact = np.all(np.isfinite(result)) and np.array_equal(np.ldexp(result, -exponents), values)
    return result.astype(np.float32) if exact else None


def _constant(node: onnx.NodeProto, index: int, graph: Graph) -> Array:
    value = graph.constant(node.input[index])
    assert value is not None
    return value


def _by_output(node: onnx.NodeProto, weights: Array) -> Array:
    """[output channels, rest]."""
    columns = node.op_type == "MatMul" or (node.op_type == "Gemm" and not integer(node, "transB", 0))
    return (weights.T if columns else weights).reshape(weights.shape[1 if columns else 0], -1)


def _from_output(node: onnx.NodeProto, values: Array, shape: tuple[int, ...]) -> Array:
    columns = node.op_type == "MatMul" or (node.op_type == "Gemm" and not integer(node, "transB", 0))
    return np.ascontiguousarray(values.T) if columns else values.reshape(shape)


def _by_input(node: onnx.NodeProto, weights: Array) -> Array:
    """[groups, outputs per group, inputs per group, rest]."""
    if node.op_type == "Conv":
        groups = integer(node, "group", 1)
        return weights.reshape(groups, weights.shape[0] // groups, weights.shape[1], -1)
    rows = node.op_type == "MatMul" or not integer(node, "transB", 0)
    matrix = weights.T if rows else weights
    return matrix.reshape(1, *matrix.shape, 1)


def _from_input(node: onnx.NodeProto, values: Array, shape: tuple[int, ...]) -> Array:
    if node.op_type == "Conv":
        return values.reshape(shape)
    rows = node.op_type == "MatMul" or not integer(node, "transB", 0)
    matrix = values.reshape(values.shape[1:3])
    return np.ascontiguousarray(matrix.T) if rows else matrix


def _store(graph: Graph, node: onnx.NodeProto, index: int, value: Array) -> None:
    """Gives a node another constant; where others read the old one, under a name of its own."""
    name = node.input[index]
    if graph.only_consumer(name) is node:
        graph.set_constant(name, value)
    else:
        graph.replace_input(node, index, graph.add_constant(f"{name}_equalized", value))
