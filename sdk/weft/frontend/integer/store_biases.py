"""Float biases between quantized tensors, stored as int32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from weft.frontend.graph import Graph, integer, is_standard, real
from weft.frontend.integer import bounds
from weft.frontend.integer.quantization import Quantization, activation, read, stored
from weft.frontend.model import Model
from weft.frontend.origins import record

__all__ = ["StoreBiases", "is_stored"]

# As the quantizer has it: half of the accumulator.
LIMIT = 2.0**30


@dataclass(frozen=True)
class StoreBiases:
    """A constant float32 bias of a Conv, Gemm or MatMul with quantized operands and result becomes int32 with
    the scale sx * sw, rounded half to even, behind DequantizeLinear.

    PyTorch's fake-quantized models have such biases; without this they could not run in integers. ONNX
    Runtime's default session does the same (its WeightBiasQuantization). A result moves by less than half of
    one accumulator step.
    """

    name: str = "store-biases"

    def run(self, model: Model) -> Model:
        graph = Graph(model)
        changed = [_store(graph, node) for node in list(graph.nodes)]
        return graph.finish() if any(changed) else model


def _store(graph: Graph, node: onnx.NodeProto) -> bool:
    """Stores the bias that this node adds; whether it had one that fits."""
    product, index = _biased(graph, node)
    if product is None:
        return False
    x, w = activation(graph, product.input[0]), stored(graph, product.input[1])
    bias = graph.constant(node.input[index])
    if x is None or w is None or bias is None or bias.dtype != np.float32 or bias.ndim == 0:
        return False
    channels = _channels(graph, product, w.name)
    fits = bias.size == bias.shape[-1] == channels and w.quantization.dtype in (np.int8, np.uint8)
    if not fits or not is_stored(graph, node.output[0]):
        return False
    scale = _scale(x.quantization, w.quantization)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        steps = np.rint(bias.astype(np.float64) / scale.astype(np.float64))
    if not np.all(np.abs(steps) <= LIMIT):
        return False
    base = node.input[index]
    names = [
        graph.add_constant(f"{base}_stored", steps.astype(np.int32)),
        graph.add_constant(f"{base}_scale", scale),
        graph.add_constant(f"{base}_zero_point", np.zeros(scale.shape, np.int32)),
    ]
    restored = graph.fresh(f"{base}_restored")
    graph.set_type(restored, onnx.TensorProto.FLOAT, bias.shape)
    name = graph.fresh_node_name(f"{base}_DequantizeLinear")
    restoring = helper.make_node("DequantizeLinear", names, [restored], name=name, axis=bias.ndim - 1)
    record(restoring, [node])
    graph.add(restoring)
    graph.replace_input(node, index, restored)
    return True


def _biased(graph: Graph, node: onnx.NodeProto) -> tuple[onnx.NodeProto | None, int]:
    """The product whose bias a node adds, itself or the MatMul in front of an Add, and the bias's index."""
    if is_standard(node, "Conv", "Gemm"):
        plain = node.op_type == "Conv" or (real(node, "alpha", 1.0) == 1.0 and real(node, "beta", 1.0) == 1.0)
        return (node, 2) if plain and len(node.input) > 2 and node.input[2] else (None, 0)
    for index in (0, 1) if is_standard(node, "Add") else ():
        product = graph.producer(node.input[index])
        if product is not None and is_standard(product, "MatMul") and graph.only_consumer(product.output[0]) is node:
            return product, 1 - index
    return None, 0


def _channels(graph: Graph, product: onnx.NodeProto, weights: str) -> int | None:
    shape = graph.static_shape(weights)
    if shape is None or len(shape) < 2:
        return None
    rows = product.op_type == "Conv" or (product.op_type == "Gemm" and integer(product, "transB", 0))
    return shape[0] if rows else shape[-1]


def is_stored(graph: Graph, name: str) -> bool:
    """Whether a result goes, through Relu and Clip at most, into one QuantizeLinear alone."""
    reader = graph.only_consumer(name)
    while reader is not None and bounds.is_bounding(graph, reader):
        reader = graph.only_consumer(reader.output[0])
    if reader is None or not is_standard(reader, "QuantizeLinear"):
        return False
    output = read(graph, reader)
    return output is not None and output.is_per_tensor


def _scale(x: Quantization, w: Quantization) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.asarray(np.float32(x.scale) * w.scale.astype(np.float32), np.float32)
