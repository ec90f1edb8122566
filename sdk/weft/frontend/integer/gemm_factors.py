"""Gemm's alpha and beta in the scales of its quantized constants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from weft.frontend.graph import Array, Graph, has, is_standard, real, remove_attribute
from weft.frontend.integer.quantization import activation, stored
from weft.frontend.integer.store_biases import is_stored
from weft.frontend.model import Model
from weft.frontend.origins import record

__all__ = ["AbsorbGemmFactors"]


@dataclass(frozen=True)
class AbsorbGemmFactors:
    """alpha multiplies the scale of the weights, and beta the constant that is added, which becomes float32 again
    where it is stored as int32; StoreBiases stores it in the scale that the weights have now.

    Integer operators have no such factors. Gemms of which an operand or the result is not quantized, and those
    with an alpha that is not positive, stay as they are.
    """

    name: str = "absorb-gemm-factors"

    def run(self, model: Model) -> Model:
        if not has(model, "Gemm"):
            return model
        graph = Graph(model)
        changed = [_absorb(graph, node) for node in list(graph.nodes) if is_standard(node, "Gemm")]
        return graph.finish() if any(changed) else model


def _absorb(graph: Graph, node: onnx.NodeProto) -> bool:
    alpha, beta = real(node, "alpha", 1.0), real(node, "beta", 1.0)
    biased = len(node.input) > 2 and bool(node.input[2])
    if alpha == 1.0 and (beta == 1.0 or not biased):
        return False
    weights = stored(graph, node.input[1])
    if weights is None or weights.quantization.dtype.itemsize != 1 or activation(graph, node.input[0]) is None:
        return False
    if not is_stored(graph, node.output[0]):
        return False
    scale = np.asarray(weights.quantization.scale * np.float32(alpha), np.float32)
    if not np.all(np.isfinite(scale) & ((scale > 0) | (weights.quantization.scale == 0))):
        return False
    bias = _float_bias(graph, node.input[2], beta) if biased else None
    if biased and bias is None:
        return False
    restoring = onnx.NodeProto()
    restoring.CopyFrom(weights.node)
    restoring.name = graph.fresh_node_name(f"{node.name}_DequantizeLinear")
    restoring.input[1] = graph.add_constant(f"{weights.node.input[1]}_alpha", scale)
    restoring.output[0] = graph.fresh(f"{node.input[1]}_alpha")
    graph.set_type(restoring.output[0], onnx.TensorProto.FLOAT, graph.shape(weights.name) or ())
    record(restoring, [weights.node])
    graph.add(restoring)
    graph.replace_input(node, 1, restoring.output[0])
    if bias is not None:
        graph.replace_input(node, 2, graph.add_constant(f"{node.input[2]}_beta", bias))
    remove_attribute(node, "alpha")
    remove_attribute(node, "beta")
    return True


def _float_bias(graph: Graph, name: str, beta: float) -> Array | None:
    """The bias times beta as float32, one value per channel or one for all; None where it is not constant."""
    bias = graph.constant(name)
    found = stored(graph, name)
    if bias is None and found is not None and found.quantization.dtype == np.int32:
        steps = graph.constant(found.name)
        if steps is None or steps.shape[:-1].count(1) != steps.ndim - 1:
            return None
        offsets = steps.astype(np.float64) - found.quantization.zero_point.astype(np.float64)
        bias = (offsets * found.quantization.scale.astype(np.float64)).astype(np.float32)
    if bias is None or bias.dtype != np.float32 or bias.ndim == 0:
        return None
    return np.asarray((bias.astype(np.float64) * beta).astype(np.float32))
