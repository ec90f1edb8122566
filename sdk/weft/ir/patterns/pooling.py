"""DequantizeLinear → pooling → QuantizeLinear, and MaxPool on integers, → MaxPool and AveragePool."""

from __future__ import annotations

import onnx

from weft.ir.graph import Graph, attributes
from weft.ir.operators import AveragePool, MaxPool, Tensor
from weft.ir.patterns.common import Refusal, dequantized, integers, quantized_behind

__all__ = ["match_average", "match_global_average", "match_max"]


def match_max(graph: Graph, node: onnx.NodeProto) -> MaxPool:
    """Maximum pooling over one or two dimensions, no index output."""
    if len(node.output) > 1 and node.output[1]:
        raise Refusal("its index output is used")
    x, nodes, output, low, high = _surroundings(graph, node)
    kernel, strides, pads = _window(graph, node, x, output)
    dilations = integers(attributes(node).get("dilations"), len(x.shape) - 2, 1)
    full = (1, dilations[0]) if len(dilations) == 1 else (dilations[0], dilations[1])
    if any(pad >= size for pad, size in zip(pads, (*kernel, *kernel), strict=True)):
        raise Refusal("a window may lie in the padding altogether")
    return MaxPool(node.name, nodes, (x,), output, kernel, strides, pads, full, low, high)


def match_average(graph: Graph, node: onnx.NodeProto) -> AveragePool:
    """Average pooling without padding."""
    x, nodes, output, low, high = _surroundings(graph, node)
    kernel, strides, pads = _window(graph, node, x, output)
    if any(pads):
        raise Refusal("average pooling with padding stays on the host")
    if any(step != 1 for step in integers(attributes(node).get("dilations"), len(x.shape) - 2, 1)):
        raise Refusal("dilated average pooling stays on the host")
    return AveragePool(node.name, nodes, (x,), output, kernel, strides, False, low, high)


def match_global_average(graph: Graph, node: onnx.NodeProto) -> AveragePool:
    """Average over all of height and width."""
    x, nodes, output, low, high = _surroundings(graph, node)
    kernel = (x.view[2], x.view[3])
    return AveragePool(node.name, nodes, (x,), output, kernel, kernel, True, low, high)


def _surroundings(graph: Graph, node: onnx.NodeProto) -> tuple[Tensor, tuple[str, ...], Tensor, int, int]:
    _, x = dequantized(graph, node.input[0])
    if len(x.shape) not in (3, 4):
        raise Refusal(f"pooling over {len(x.shape) - 2} dimensions stays on the host")
    nodes, output, low, high = quantized_behind(graph, node.output[0])
    return x, (node.name, *nodes), output, low, high


def _window(
    graph: Graph, node: onnx.NodeProto, x: Tensor, output: Tensor
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]]:
    """Kernel, strides and explicit pads (top, left, bottom, right) of a pooling node, all of them 2-D."""
    given = attributes(node)
    spatial = len(x.shape) - 2
    kernel = integers(given.get("kernel_shape"), spatial, 1)
    strides = integers(given.get("strides"), spatial, 1)
    dilations = integers(given.get("dilations"), spatial, 1)
    pads = list(integers(given.get("pads"), 2 * spatial, 0))
    if given.get("auto_pad", b"NOTSET") not in (b"NOTSET", b""):
        pads = _automatic_pads(str(given["auto_pad"]), x.shape[2:], output.shape[2:], kernel, strides, dilations)
    if min(pads) < 0:
        raise Refusal("negative pads stay on the host")
    for axis in range(spatial):  # with ceil_mode the last window may reach past the padded end
        reach = (output.shape[2 + axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1
        pads[spatial + axis] = max(0, reach - x.shape[2 + axis] - pads[axis])
    if spatial == 1:
        return (1, kernel[0]), (1, strides[0]), (0, pads[0], 0, pads[1])
    return (kernel[0], kernel[1]), (strides[0], strides[1]), (pads[0], pads[1], pads[2], pads[3])


def _automatic_pads(
    mode: str, size: tuple[int, ...], out: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> list[int]:  # fmt: skip
    if "SAME" not in mode:
        return [0] * (2 * len(size))
    before, after = [], []
    for axis in range(len(size)):
        total = max(0, (out[axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1 - size[axis])
        small, large = total // 2, total - total // 2
        before.append(large if "LOWER" in mode else small)
        after.append(small if "LOWER" in mode else large)
    return before + after
