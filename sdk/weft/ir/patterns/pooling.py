"""DequantizeLinear → pooling → QuantizeLinear, and MaxPool on integers, → MaxPool and AveragePool."""

from __future__ import annotations

import onnx

from weft.ir.graph import Graph, attributes
from weft.ir.operators import AveragePool, MaxPool, SumOrder, Tensor
from weft.ir.patterns.common import Refusal, dequantized, integers, quantized_behind

__all__ = ["match_average", "match_global_average", "match_global_max", "match_max"]

LARGEST_SMALL_KERNEL = 32
ROWS_SINCE = 19
"""AveragePool of this operator set and later adds row by row in ONNX Runtime, whatever the window."""


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


def match_global_max(graph: Graph, node: onnx.NodeProto) -> MaxPool:
    """Maximum over all of height and width."""
    x, nodes, output, low, high = _surroundings(graph, node)
    kernel = (x.view[2], x.view[3])
    return MaxPool(node.name, nodes, (x,), output, kernel, kernel, (0, 0, 0, 0), (1, 1), low, high)


def match_average(graph: Graph, node: onnx.NodeProto) -> AveragePool:
    """Average pooling, padded or not. Which order ONNX Runtime adds in was measured (docs/numerics.md)."""
    x, nodes, output, low, high = _surroundings(graph, node)
    kernel, strides, pads = _window(graph, node, x, output)
    given = attributes(node)
    if any(step != 1 for step in integers(given.get("dilations"), len(x.shape) - 2, 1)):
        raise Refusal("dilated average pooling stays on the host")
    counts = _counts(node, x, output, kernel, strides, pads)
    includes, ceils = bool(given.get("count_include_pad", 0)), bool(given.get("ceil_mode", 0))
    order = SumOrder.ROWS
    if graph.opset >= ROWS_SINCE or (includes and ceils):
        pass  # another kernel of ONNX Runtime than for all else
    elif kernel == x.view[2:] and strides == (1, 1) and not any(pads):
        order = SumOrder.PARTIAL
    elif len(x.shape) == 4 and strides[1] <= 2 and max(kernel) <= LARGEST_SMALL_KERNEL:
        order = SumOrder.COLUMNS
    return AveragePool(node.name, nodes, (x,), output, kernel, strides, pads, counts[0], counts[1], order, low, high)


def _counts(
    node: onnx.NodeProto, x: Tensor, output: Tensor, kernel: tuple[int, int], strides: tuple[int, int],
    pads: tuple[int, int, int, int],
) -> tuple[tuple[int, ...], tuple[int, ...]]:  # fmt: skip
    """How many rows count in the divisor of each output row, and how many columns of each output column: all of the
    window, or with count_include_pad 0 those inside the image. Where ceil_mode lets a window reach past the stated
    padding, ONNX Runtime counts up to its end."""
    given = attributes(node)
    includes, ceils = bool(given.get("count_include_pad", 0)), bool(given.get("ceil_mode", 0))
    stated = _stated_pads(node, len(x.shape) - 2)
    counts = []
    for axis in range(2):
        size = x.view[2 + axis]
        begins = [index * strides[axis] - pads[axis] for index in range(output.view[2 + axis])]
        if begins[-1] >= size or begins[0] + kernel[axis] <= 0:
            raise Refusal("a window may lie in the padding altogether")
        after = pads[2 + axis] if stated is None or not ceils else stated[axis]
        first, last = (-pads[axis], size + after) if includes else (0, size)
        counts.append(tuple(min(begin + kernel[axis], last) - max(begin, first) for begin in begins))
    return counts[0], counts[1]


def _stated_pads(node: onnx.NodeProto, spatial: int) -> tuple[int, int] | None:
    """The stated pads below and to the right, without what ceil_mode adds; None where they are automatic."""
    given = attributes(node)
    if given.get("auto_pad", b"NOTSET") not in (b"NOTSET", b""):
        return None
    pads = integers(given.get("pads"), 2 * spatial, 0)
    return (0, pads[1]) if spatial == 1 else (pads[2], pads[3])


def match_global_average(graph: Graph, node: onnx.NodeProto) -> AveragePool:
    """Average over all of height and width."""
    x, nodes, output, low, high = _surroundings(graph, node)
    kernel = (x.view[2], x.view[3])
    return AveragePool(
        node.name, nodes, (x,), output, kernel, kernel, (0, 0, 0, 0), (kernel[0],), (kernel[1],), SumOrder.PARTIAL,
        low, high,
    )  # fmt: skip


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
