"""DequantizeLinear ×2 or ×3 → ConvTranspose [→ Relu | Clip] → QuantizeLinear → TransposedConvolution."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import onnx

from weft.ir.graph import Graph, attributes
from weft.ir.patterns.common import Refusal, constant, dequantized, integers, quantized_behind
from weft.ir.transposed import TransposedConvolution

__all__ = ["match"]

UNIT = 2.0**-24
LARGEST_ERROR = 0.5


def match(graph: Graph, node: onnx.NodeProto) -> TransposedConvolution:
    """One or two dimensions, any group, no dilation, kernel at least as large as the stride, constant weights."""
    _, x = dequantized(graph, node.input[0])
    nodes, output, low, high = quantized_behind(graph, node.output[0])
    group = int(attributes(node).get("group", 1))  # type: ignore[call-overload]
    stored, scales, zero = _weights(graph, node.input[1], group)
    spatial = stored.ndim - 2
    if spatial not in (1, 2) or len(x.shape) != spatial + 2:
        raise Refusal(f"a transposed convolution over {spatial} dimensions stays on the host")
    strides, pads = _window(node, spatial)
    weights = _turned(stored[:, :, None, :] if spatial == 1 else stored, group)
    if weights.shape[2] < strides[0] or weights.shape[3] < strides[1]:
        raise Refusal("its kernel is smaller than its stride")
    if x.view[2:] == (1, 1):
        raise Refusal("its input has one position")
    step = np.broadcast_to(scales.astype(np.float64) * np.float64(x.scale), (weights.shape[0],))
    bias, slack = _bias(graph, node, step)
    error = _error(weights, zero, bias, step, slack, strides) / float(output.scale)
    if not error <= LARGEST_ERROR:
        raise Refusal("its result is not provably within one step of the reference's for these scales")
    multiplier = (step / np.float64(output.scale)).astype(np.float32)
    return TransposedConvolution(
        node.name, (node.name, *nodes), (x,), output, weights, zero, bias, multiplier, strides, pads, group, low, high,
        error,
    )  # fmt: skip


def _weights(graph: Graph, name: str, group: int) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic], int]:
    """Stored weights [I, O/group, ...], their scales (one, or one per output channel), and their zero point."""
    producer = graph.producer.get(name)
    if producer is None or producer.op_type != "DequantizeLinear":
        raise Refusal("its weights are not quantized")
    stored = constant(graph, producer.input[0], "weight")
    scales = constant(graph, producer.input[1], "weight scale").reshape(-1)
    if stored.dtype not in (np.dtype(np.int8), np.dtype(np.uint8)) or scales.dtype != np.float32:
        raise Refusal(f"{stored.dtype} weights stay on the host")
    zeros = constant(graph, producer.input[2], "weight zero point") if len(producer.input) > 2 else np.zeros(1, np.int8)
    if np.any(zeros != zeros.reshape(-1)[0]):
        raise Refusal("its weight zero point differs per channel")
    axis = int(attributes(producer).get("axis", 1)) % max(1, stored.ndim)  # type: ignore[call-overload]
    if scales.size > 1 and (axis != 1 or group != 1 or scales.size != stored.shape[1]):
        raise Refusal("its weights are not quantized per output channel")
    steps = scales.astype(np.float32)
    if not np.all(np.isfinite(steps)) or np.any(steps <= 0):
        raise Refusal("a weight scale is not positive")
    return stored, scales, int(zeros.reshape(-1)[0])


def _window(node: onnx.NodeProto, spatial: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Strides, and pads above and to the left, both of two dimensions."""
    given = attributes(node)
    if given.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID", "") or "output_shape" in given:
        raise Refusal("its pads are not explicit")
    if any(each != 1 for each in integers(given.get("dilations"), spatial, 1)):
        raise Refusal("a dilated transposed convolution stays on the host")
    strides = integers(given.get("strides"), spatial, 1)
    pads = integers(given.get("pads"), 2 * spatial, 0)
    if min(pads) < 0:
        raise Refusal("negative pads stay on the host")
    return ((1, strides[0]), (0, pads[0])) if spatial == 1 else ((strides[0], strides[1]), (pads[0], pads[1]))


def _turned(stored: npt.NDArray[np.generic], group: int) -> npt.NDArray[np.generic]:
    """[I, O/group, kh, kw] → [O, I/group, kh, kw]."""
    inputs, outputs = stored.shape[:2]
    parts = stored.reshape(group, inputs // group, outputs, *stored.shape[2:])
    turned = parts.transpose(0, 2, 1, 3, 4).reshape(group * outputs, inputs // group, *stored.shape[2:])
    return np.ascontiguousarray(turned)


def _bias(
    graph: Graph, node: onnx.NodeProto, step: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """The bias in steps of the accumulator, and what rounding it to a whole number moves it by."""
    if len(node.input) < 3 or not node.input[2]:
        return np.zeros(step.size, np.int32), np.zeros(step.size)
    producer = graph.producer.get(node.input[2])
    if producer is not None and producer.op_type == "DequantizeLinear":
        stored = constant(graph, producer.input[0], "bias").astype(np.float64)
        scale = constant(graph, producer.input[1], "bias scale").astype(np.float64)
        zero = graph.constant(producer.input[2]) if len(producer.input) > 2 and producer.input[2] else None
        value = (stored - (0 if zero is None else zero.astype(np.float64))) * scale
    else:
        value = constant(graph, node.input[2], "bias").astype(np.float64)
    whole = np.rint(value / step)
    if value.shape != step.shape or not np.all(np.abs(whole) < 2**30):
        raise Refusal("its bias does not fit the accumulator")
    return whole.astype(np.int32), np.abs(value - whole * step)


def _error(
    weights: npt.NDArray[np.generic], zero: int, bias: npt.NDArray[np.int32], step: npt.NDArray[np.float64],
    slack: npt.NDArray[np.float64], strides: tuple[int, int],
) -> float:  # fmt: skip
    """The largest difference of the two real results. The reference rounds each x, each w, each product and each of
    count additions, in any order; we round the accumulator, the multiplier (twice) and the product.

    Every one of them is at most u times the sum of all magnitudes, which is 255·Σ|w − z| + |bias| steps, over the
    taps that meet in one output.
    """
    sizes = np.abs(weights.astype(np.int64) - zero)
    worst = 0.0
    for row, column in itertools.product(range(strides[0]), range(strides[1])):
        taps = sizes[:, :, row :: strides[0], column :: strides[1]]
        magnitudes = taps.sum(axis=(1, 2, 3)) * 255.0 + np.abs(bias)
        worst = max(worst, float(np.max(magnitudes * step * (taps[0].size + 13) * UNIT + slack)))
    return worst
