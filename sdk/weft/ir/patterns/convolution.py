"""QLinearConv and QLinearMatMul (constant weights) → Convolution."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx

from weft.ir.graph import Graph, attributes
from weft.ir.operators import Convolution, Tensor
from weft.ir.patterns.common import Refusal, clamp_behind, constant, integers, tensor

__all__ = ["match", "match_matmul"]


def match(graph: Graph, node: onnx.NodeProto) -> Convolution:
    """QLinearConv [→ integer Clip]. 1-D convolutions become 2-D ones of height 1."""
    x = tensor(graph, node.input[0], node.input[1], node.input[2])
    if len(x.shape) not in (3, 4):
        raise Refusal(f"a convolution over {len(x.shape) - 2} dimensions stays on the host")
    weights = constant(graph, node.input[3], "weight")
    given = attributes(node)
    if given.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID", ""):
        raise Refusal("auto_pad is not resolved")
    spatial = weights.ndim - 2
    strides = integers(given.get("strides"), spatial, 1)
    dilations = integers(given.get("dilations"), spatial, 1)
    pads = integers(given.get("pads"), 2 * spatial, 0)
    if spatial == 1:
        weights = weights[:, :, None, :]
        strides, dilations, pads = (1, *strides), (1, *dilations), (0, pads[0], 0, pads[1])
    bias = graph.constant(node.input[8]) if len(node.input) > 8 and node.input[8] else None
    if len(node.input) > 8 and node.input[8] and bias is None:
        raise Refusal("its bias is not constant")
    if min(pads) < 0:
        raise Refusal("negative pads stay on the host")
    channels = weights.shape[0]
    return _convolution(
        graph, node, x, weights, np.zeros(channels, np.int32) if bias is None else bias.astype(np.int32),
        (strides[0], strides[1]), (pads[0], pads[1], pads[2], pads[3]), (dilations[0], dilations[1]),
        int(given.get("group", 1)),  # type: ignore[call-overload]
    )  # fmt: skip


def match_matmul(graph: Graph, node: onnx.NodeProto) -> Convolution:
    """QLinearMatMul of an activation [.., M, K] with constant weights [K, N], as a 1×1 convolution over M rows."""
    x = tensor(graph, node.input[0], node.input[1], node.input[2])
    weights = constant(graph, node.input[3], "second operand")
    if weights.ndim != 2 or len(x.shape) < 2:
        raise Refusal("only products of rows with a constant matrix are taken")
    kernel = np.ascontiguousarray(weights.T)[:, :, None, None]
    bias = np.zeros(kernel.shape[0], np.int32)
    return _convolution(graph, node, x, kernel, bias, (1, 1), (0, 0, 0, 0), (1, 1), 1)


def _convolution(
    graph: Graph,
    node: onnx.NodeProto,
    x: Tensor,
    weights: npt.NDArray[np.generic],
    bias: npt.NDArray[np.int32],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    group: int,
) -> Convolution:
    y = tensor(graph, node.output[0], node.input[6], node.input[7])
    nodes, name, low, high = clamp_behind(graph, y.name, y.limits)
    output = Tensor(name, y.shape, y.dtype, y.scale, y.zero_point)
    zero = _weight_zero_point(graph, node)
    scales = constant(graph, node.input[4], "weight scale").astype(np.float32).reshape(-1)
    multiplier = np.broadcast_to((x.scale * scales).astype(np.float32) / y.scale, (weights.shape[0],))
    if not np.all(np.isfinite(multiplier)):
        raise Refusal("its requantization multiplier is not finite")
    return Convolution(
        node.name, (node.name, *nodes), (x,), output, weights, zero, bias, multiplier.astype(np.float32),
        strides, pads, dilations, group, low, high,
    )  # fmt: skip


def _weight_zero_point(graph: Graph, node: onnx.NodeProto) -> int:
    zeros = constant(graph, node.input[5], "weight zero point").reshape(-1)
    if np.any(zeros != zeros[0]):
        raise Refusal("its weight zero point differs per channel")
    return int(zeros[0])
