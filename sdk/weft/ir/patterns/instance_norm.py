"""DequantizeLinear → InstanceNormalization [→ Relu | Clip] → QuantizeLinear → InstanceNorm.

The order of additions is that of ONNX Runtime's kernel, which works on four values at a time from an aligned address
on; with planes of a multiple of four values all of them are aligned. The formula is compared with the ONNX Runtime at
hand when the operator is recognized; where they differ it stays on the host.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from weft.ir.graph import Graph, attributes
from weft.ir.instance_norm import PACKET, InstanceNorm
from weft.ir.patterns.common import Refusal, dequantized, quantized_behind
from weft.ir.patterns.evaluate import session
from weft.ir.patterns.layer_norm import vector

__all__ = ["match"]

Floats = npt.NDArray[np.float32]


def match(graph: Graph, node: onnx.NodeProto) -> InstanceNorm:
    """Images of rank 3 or 4, scale and bias constant."""
    _, x = dequantized(graph, node.input[0])
    if len(x.shape) not in (3, 4):
        raise Refusal(f"it normalizes a tensor of rank {len(x.shape)}; 3 and 4 are computed")
    plane = x.view[2] * x.view[3]
    if plane % PACKET:
        raise Refusal(f"planes of {plane} values, no multiple of {PACKET}: the order of sums depends on addresses")
    scale, bias = (vector(graph, node.input[index], what, x.shape[1]) for index, what in ((1, "scale"), (2, "bias")))
    nodes, output, low, high = quantized_behind(graph, node.output[0])
    epsilon = np.float32(attributes(node).get("epsilon", 1e-5))  # type: ignore[arg-type]
    if not (np.isfinite(epsilon) and epsilon > 0):
        raise Refusal("its epsilon is not a positive number")
    found = InstanceNorm(node.name, (node.name, *nodes), (x,), output, scale, bias, epsilon, low, high)
    if not _agrees(graph, node, found):
        raise Refusal("this ONNX Runtime normalizes otherwise than the accelerator would")
    return found


def normalize(x: Floats, scale: Floats, bias: Floats, epsilon: np.float32) -> Floats:
    """The formula in NumPy: x float32 [n, c, plane], and the result."""
    count = np.float32(x.shape[-1])
    mean = (_sum(x) / count)[..., None]
    deviations = x - mean
    factor = np.float32(1) / np.sqrt(_sum(deviations * deviations) / count + epsilon) * scale
    result: Floats = x * factor[..., None] + (bias - mean[..., 0] * factor)[..., None]
    return result


def _sum(values: Floats) -> Floats:
    """Over the last axis, a multiple of PACKET, in ONNX Runtime's order."""
    pair = 2 * PACKET
    whole = values.shape[-1] // pair * pair
    packets = values[..., whole:]
    if whole:
        rows = values[..., :whole].reshape(*values.shape[:-1], -1, pair)
        sums = np.add.accumulate(rows, axis=-2, dtype=np.float32)[..., -1, :]
        both = sums[..., :PACKET] + sums[..., PACKET:]
        packets = both + packets if packets.shape[-1] else both
    result: Floats = (packets[..., 0] + packets[..., 2]) + (packets[..., 1] + packets[..., 3])
    return result


def _agrees(graph: Graph, node: onnx.NodeProto, found: InstanceNorm) -> bool:
    """Whether ONNX Runtime gives the formula's bits for random quantized values."""
    x = found.inputs[0]
    q = np.random.default_rng(0).integers(x.limits[0], x.limits[1] + 1, x.shape).astype(np.float32)
    values = (q - np.float32(x.zero_point)) * x.scale
    name, result = node.input[0], node.output[0]
    run = session(
        graph, [node], [helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)],
    )  # fmt: skip
    try:
        (answer,) = run.run([result], {name: values})
    except Exception as error:  # ONNX Runtime's exceptions have no common base below Exception
        raise Refusal(f"ONNX Runtime cannot evaluate it alone ({str(error).splitlines()[0][:80]})") from error
    rows = values.reshape(*x.shape[:2], -1)
    return np.array_equal(answer.reshape(rows.shape), normalize(rows, found.scale, found.bias, found.epsilon))
