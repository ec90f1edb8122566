"""DequantizeLinear → PRelu with a slope per channel [→ Relu | Clip] → QuantizeLinear → ChannelSlopes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx

from weft.ir.affine import ChannelSlopes
from weft.ir.graph import Graph
from weft.ir.operators import BinaryKind
from weft.ir.patterns.common import Refusal, constant, dequantized, quantized_behind

__all__ = ["ends_at", "match"]

ATTEMPTS = 6
Floats = npt.NDArray[np.float32]


def ends_at(graph: Graph, end: onnx.NodeProto) -> bool:
    """Whether the QuantizeLinear `end` stores what a PRelu computes."""
    return _root(graph, end) is not None


def _root(graph: Graph, end: onnx.NodeProto) -> onnx.NodeProto | None:
    node = graph.producer.get(end.input[0])
    if node is not None and node.op_type in ("Relu", "Clip"):
        node = graph.producer.get(node.input[0])
    return node if node is not None and node.op_type == "PRelu" and node.domain in ("", "ai.onnx") else None


def match(graph: Graph, end: onnx.NodeProto) -> ChannelSlopes:
    """`end` is the QuantizeLinear. Slopes vary along axis 1; all are at most 1, or all at least 1.

    The reference, v for v ≥ 0 and slope · v below (both float32 products), is taken for all 256 values of each channel,
    and the two factors are chosen so that the accelerator gives the same bytes.
    """
    node = _root(graph, end)
    if node is None:
        raise Refusal("no PRelu ends here")
    _, x = dequantized(graph, node.input[0])
    nodes, output, low, high = quantized_behind(graph, node.output[0])
    stored = constant(graph, node.input[1], "slope")
    if len(x.shape) < 2 or stored.dtype != np.float32:
        raise Refusal("its slopes are not float32")
    aligned = (1,) * (len(x.shape) - stored.ndim) + stored.shape
    if aligned != (1, x.shape[1], *(1,) * (len(x.shape) - 2)):
        raise Refusal("its slopes vary along other axes than the channels")
    slopes: Floats = stored.astype(np.float32).reshape(-1)
    if not (np.all(slopes <= 1) or np.all(slopes >= 1)):
        raise Refusal("some of its slopes are above 1 and some below")
    kind = BinaryKind.MAXIMUM if np.all(slopes <= 1) else BinaryKind.MINIMUM
    steps = (np.arange(256) + x.limits[0] - x.zero_point).astype(np.float32)
    bounds = np.array([low - output.zero_point, high - output.zero_point], np.float32)
    real = steps * x.scale
    wanted = np.where(real < 0, slopes[:, None] * real, real) / output.scale
    wanted = np.clip(np.rint(wanted), *bounds)
    upper = _factor(steps[steps >= 0], wanted[0, steps >= 0], np.float32(x.scale / output.scale), bounds)
    below = steps < 0
    lower = [_factor(steps[below], row[below], slope * x.scale / output.scale, bounds)
             for row, slope in zip(wanted, slopes, strict=True)]  # fmt: skip
    negative = np.array(lower, np.float32)
    join = np.maximum if kind == BinaryKind.MAXIMUM else np.minimum
    got = np.clip(np.rint(join(steps * negative[:, None], steps * upper)), *bounds)
    if not np.array_equal(got, wanted):
        raise Refusal("no factors in float32 give the reference's result for every value")
    return ChannelSlopes(node.name, (node.name, *nodes), (x,), output, kind, negative, upper, low, high)


def _factor(steps: Floats, wanted: Floats, near: np.float32, bounds: Floats) -> np.float32:
    """The float32 next to `near` that gives `wanted` for all steps."""
    for distance in sorted(range(-ATTEMPTS, ATTEMPTS + 1), key=abs):
        candidate = np.float32(float(near) + distance * float(np.spacing(near)))
        if np.isfinite(candidate) and np.array_equal(np.clip(np.rint(steps * candidate), *bounds), wanted):
            return candidate
    raise Refusal("no factor in float32 gives the reference's result for every value")
