"""DequantizeLinear → products, sums and batch normalizations with constants [→ Relu | Clip] → QuantizeLinear.

The constants vary along axis 1, or along the last axis. What the nodes compute is not derived: ONNX Runtime runs them
on all 256 values of every channel, and the operator's constants are chosen so that it gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper

from weft.ir.affine import ChannelAffine, RowAffine
from weft.ir.graph import Graph
from weft.ir.operators import Tensor
from weft.ir.patterns.common import DTYPES, Refusal, dequantized, quantized_behind, unquantized
from weft.ir.patterns.evaluate import session

__all__ = ["ends_at", "match"]

STEPS = frozenset({"Add", "BatchNormalization", "Div", "Identity", "Mul", "Sub"})
MAX_NODES = 16
MAX_CHANNELS = 1 << 16
PLACES = (256, 259)
"""Values along a channel when it is evaluated: the result must not depend on where in a tensor a value stands."""
ATTEMPTS = 6
"""Neighbours of each constant that are tried, in steps of its own last place."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Chain:
    """Nodes in order from `source` to the last before the activation; `name` is the float value they start from."""

    nodes: list[onnx.NodeProto]
    source: Tensor
    name: str


def ends_at(graph: Graph, end: onnx.NodeProto) -> bool:
    """Whether the QuantizeLinear `end` stores a product, a sum or a normalization of an activation with constants."""
    last = _last(graph, end)
    return last is not None and sum(not _is_constant(graph, name) for name in last.input if name) == 1


def _last(graph: Graph, end: onnx.NodeProto) -> onnx.NodeProto | None:
    """The last step in front of `end` and of an activation there."""
    last = graph.producer.get(end.input[0])
    if last is not None and last.op_type in ("Relu", "Clip"):
        last = graph.producer.get(last.input[0])
    return last if last is not None and last.op_type in STEPS and last.domain in ("", "ai.onnx") else None


def match(graph: Graph, end: onnx.NodeProto) -> ChannelAffine:
    """`end` is the QuantizeLinear at the end."""
    last = _last(graph, end)
    if last is None:
        raise Refusal("no product or sum with constants ends here")
    chain = _chain(graph, last)
    behind, output, low, high = quantized_behind(graph, last.output[0])
    if behind[-1] != end.name:
        raise Refusal("its result is not quantized at once")
    x = chain.source
    if x.shape != output.shape or len(x.shape) < 2:
        raise Refusal("its constants change the shape")
    axis = _axis(graph, chain)
    real, wanted = _evaluate(graph, chain, end, output, axis)
    found = [_constants(real[c], wanted[c], x, output, low, high) for c in range(x.shape[axis])]
    kind = ChannelAffine if axis == 1 else RowAffine
    names = (*(each.name for each in chain.nodes), *behind)
    scale, offset = (np.array(values, np.float32) for values in zip(*found, strict=True))
    return kind(end.name, names, (x,), output, scale, offset, low, high)


def _chain(graph: Graph, last: onnx.NodeProto) -> _Chain:
    nodes = [last]
    while True:
        value = _activation(graph, nodes[0])
        producer = graph.producer.get(value)
        if producer is not None and producer.op_type == "DequantizeLinear":
            return _Chain(nodes, dequantized(graph, value)[1], value)
        if producer is None or producer.op_type not in STEPS or producer.domain not in ("", "ai.onnx"):
            raise Refusal(unquantized(graph, value))
        if graph.only_consumer(value) is None:
            raise Refusal("an inner float value is read elsewhere")
        nodes.insert(0, producer)
        if len(nodes) > MAX_NODES:
            raise Refusal(f"more than {MAX_NODES} operators lie between the quantizations")


def _activation(graph: Graph, node: onnx.NodeProto) -> str:
    """The one input that is not constant; a constant divided by it is no affine function."""
    names: list[str] = [name for name in node.input if name and not _is_constant(graph, name)]
    if len(names) != 1 or (node.op_type in ("Div", "BatchNormalization") and node.input[0] != names[0]):
        raise Refusal("it is a function of several values")
    if any(name for name in node.output[1:]):
        raise Refusal("statistics of a batch are computed in training only")
    return names[0]


def _is_constant(graph: Graph, name: str) -> bool:
    producer = graph.producer.get(name)
    restored = (
        producer is not None and producer.op_type == "DequantizeLinear" and producer.input[0] in graph.initializers
    )
    return name in graph.initializers or restored


def _axis(graph: Graph, chain: _Chain) -> int:
    """The one axis along which constants vary: 1 or the last."""
    rank = len(chain.source.shape)
    axes: set[int] = set()
    for node in chain.nodes:
        if node.op_type == "BatchNormalization":
            axes.add(1)
            continue
        for name in node.input:
            if not name or not _is_constant(graph, name):
                continue
            stored = name if name in graph.initializers else graph.producer[name].input[0]
            shape = graph.shape(stored) or ()
            axes.update(rank - len(shape) + axis for axis, extent in enumerate(shape) if extent != 1)
    if axes - {1, rank - 1} or len(axes) > 1:
        raise Refusal(f"its constants vary along axes {sorted(axes)}")
    return axes.pop() if axes else 1


def _evaluate(
    graph: Graph, chain: _Chain, end: onnx.NodeProto, output: Tensor, axis: int
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """ONNX Runtime's float value in front of the activation, and its q, for each channel and each q of the input
    (smallest first): two arrays [channels, 256]."""
    x = chain.source
    rank, channels = len(x.shape), x.shape[axis]
    if channels > MAX_CHANNELS:
        raise Refusal(f"it has more than {MAX_CHANNELS} channels")
    spread = rank - 1 if axis != rank - 1 else 0
    kinds = {name: kind for kind, name in DTYPES.items()}
    tail = [graph.producer[chain.name], *chain.nodes]
    value = inner = chain.nodes[-1].output[0]
    while value != end.input[0]:  # the activation
        tail.append(graph.consumers[value][0])
        value = tail[-1].output[0]
    tail.append(end)
    extents: list[int | str] = [1] * rank
    extents[axis], extents[spread] = channels, "n"
    run = session(
        graph, tail, [helper.make_tensor_value_info(x.name, kinds[x.dtype], extents)],
        [
            helper.make_tensor_value_info(inner, TensorProto.FLOAT, None),
            helper.make_tensor_value_info(end.output[0], kinds[output.dtype], None),
        ],
    )  # fmt: skip
    found = [_run(run, x, (inner, end.output[0]), (axis, spread), length) for length in PLACES]
    if any(not np.array_equal(found[0][1], wanted) for _, wanted in found):
        raise Refusal("ONNX Runtime's result depends on the position in the tensor")
    return found[0][0].astype(np.float64), found[0][1].astype(np.int64)


def _run(
    run: onnxruntime.InferenceSession, x: Tensor, names: tuple[str, str], axes: tuple[int, int], length: int
) -> list[npt.NDArray[np.generic]]:
    """Both results [channels, 256] where `length` values lie along the second of the axes, the last 256 in order."""
    low, _ = x.limits
    q = ((np.arange(length) - length) % 256 + low).astype(x.dtype)
    extents = [1] * len(x.shape)
    extents[axes[0]], extents[axes[1]] = x.shape[axes[0]], length
    feed = np.broadcast_to(q.reshape([length if axis == axes[1] else 1 for axis in range(len(extents))]), extents)
    try:
        results = run.run(list(names), {x.name: np.ascontiguousarray(feed)})
    except Exception as error:  # ONNX Runtime's exceptions have no common base below Exception
        raise Refusal(f"ONNX Runtime cannot evaluate it alone ({str(error).splitlines()[0][:80]})") from error
    return [np.moveaxis(each, axes, (0, 1)).reshape(-1, length)[:, -256:] for each in results]


def _constants(
    real: Floats, wanted: npt.NDArray[np.int64], x: Tensor, output: Tensor, low: int, high: int
) -> tuple[np.float32, np.float32]:
    """Scale and offset that give `wanted` for every input, near those that the real values show."""
    if not np.all(np.isfinite(real)):
        raise Refusal("its result is not finite")
    steps = (np.arange(256) + x.limits[0] - x.zero_point).astype(np.float32)
    slope = (real[-1] - real[0]) / 255 / float(output.scale)
    shift = real[0] / float(output.scale) - slope * float(steps[0])
    bounds = (np.float32(low - output.zero_point), np.float32(high - output.zero_point))
    target = wanted - output.zero_point
    order = sorted(range(-ATTEMPTS, ATTEMPTS + 1), key=abs)
    scale, offset = np.float32(slope), np.float32(shift)
    if not np.isfinite(scale) or not np.isfinite(offset):
        raise Refusal("its constants are too large for the output's scale")
    unit = max(float(np.spacing(np.abs(offset))), 2.0**-24)
    for up in order:
        candidate = np.float32(float(scale) + up * float(np.spacing(scale)))
        for across in order:
            moved = np.float32(float(offset) + across * unit)
            value = steps * candidate + moved
            if np.array_equal(np.rint(np.clip(value, *bounds)), target):
                return candidate, moved
    raise Refusal("no scale and offset in float32 give ONNX Runtime's result for every value")
