"""What matchers share: refusals, constants, quantization parameters, and the clamp behind an operator."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from weft.ir.graph import Graph, attributes
from weft.ir.operators import Tensor

__all__ = [
    "Refusal",
    "clamp_behind",
    "constant",
    "dequantized",
    "element_type",
    "integers",
    "quantized_behind",
    "scalar",
    "tensor",
    "unquantized",
]

DTYPES = {onnx.TensorProto.INT8: "int8", onnx.TensorProto.UINT8: "uint8"}


class Refusal(Exception):
    """Why a node cannot be part of an accelerator operator; ends up in `weft explain`."""


def constant(graph: Graph, name: str, what: str) -> npt.NDArray[np.generic]:
    """The value as an array. Raises Refusal if it is not constant."""
    value = graph.constant(name)
    if value is None:
        raise Refusal(f"its {what} is not constant")
    return value


def scalar(graph: Graph, name: str, what: str) -> npt.NDArray[np.generic]:
    """A constant of one element, as a 0-d array. Raises Refusal otherwise."""
    value = constant(graph, name, what)
    if value.size != 1:
        raise Refusal(f"its {what} differs per channel")
    return value.reshape(())


def tensor(graph: Graph, name: str, scale: str, zero_point: str, *, ranks: range = range(1, 5)) -> Tensor:
    """An activation with its quantization parameters. Raises Refusal unless it is 8-bit, per-tensor and static."""
    scale_value = scalar(graph, scale, "scale")
    if scale_value.dtype != np.float32:
        raise Refusal(f"its scale is {scale_value.dtype}; the accelerator computes with float32 scales")
    if not np.isfinite(scale_value) or float(scale_value) <= 0:
        raise Refusal("its scale is not a positive number")
    zero = scalar(graph, zero_point, "zero point") if zero_point else np.uint8(0)
    if zero.dtype not in (np.dtype(np.int8), np.dtype(np.uint8)):
        raise Refusal(f"{zero.dtype} activations stay on the host")
    shape = graph.shape(name)
    if shape is None:
        raise Refusal(f"the shape of {name!r} is not static")
    if len(shape) not in ranks or 0 in shape:
        raise Refusal(
            f"{name!r} has shape {list(shape)}; ranks 1 to {ranks.stop - 1} without empty dimensions are taken"
        )
    return Tensor(name, shape, str(zero.dtype), np.float32(scale_value), int(zero))


def dequantized(graph: Graph, name: str) -> tuple[onnx.NodeProto, Tensor]:
    """The DequantizeLinear that makes this float value, and the quantized activation behind it."""
    node = graph.producer.get(name)
    if node is None or node.op_type != "DequantizeLinear":
        raise Refusal(unquantized(graph, name))
    if node.input[0] in graph.initializers:
        raise Refusal("an input is a constant")
    zero = node.input[2] if len(node.input) > 2 else ""
    return node, tensor(graph, node.input[0], node.input[1], zero)


def unquantized(graph: Graph, name: str) -> str:
    """Why a value that no DequantizeLinear makes is no operand of the accelerator, for `weft explain`."""
    kind = element_type(graph, name)
    stored = {int(each): spelled for each, spelled in DTYPES.items()}
    if kind in stored:
        return f"its operand {name!r} is {stored[kind]} without a scale"
    if kind in (None, onnx.TensorProto.FLOAT):
        return f"its operand {name!r} is float32 and not quantized"
    written = str(helper.tensor_dtype_to_string(kind)).removeprefix("TensorProto.").lower()
    return f"its operand {name!r} is {written}; the accelerator takes int8 and uint8"


def element_type(graph: Graph, name: str) -> int | None:
    """A value's ONNX element type, None where it is not known."""
    if name in graph.initializers:
        return int(graph.initializers[name].data_type)
    value = graph.values.get(name)
    kind = int(value.type.tensor_type.elem_type) if value is not None else 0
    return kind or None


def quantized_behind(graph: Graph, name: str) -> tuple[list[str], Tensor, int, int]:
    """Follows [Relu | Clip] → QuantizeLinear behind a float value, each the only reader.

    Returns the nodes' names, the quantized output, and the bounds that the activation sets on its q.
    """
    nodes: list[str] = []
    low, high = -np.inf, np.inf
    node = graph.only_consumer(name)
    if node is not None and node.op_type in ("Relu", "Clip"):
        low, high = _float_bounds(graph, node)
        nodes.append(node.name)
        node = graph.only_consumer(node.output[0])
    if node is None or node.op_type != "QuantizeLinear":
        raise Refusal("its result is not quantized at once")
    nodes.append(node.name)
    output = tensor(graph, node.output[0], node.input[1], node.input[2] if len(node.input) > 2 else "")
    limits = output.limits
    bounds = [
        _quantize(bound, output) if np.isfinite(bound) else limit
        for bound, limit in zip((low, high), limits, strict=True)
    ]
    return nodes, output, bounds[0], max(bounds[0], bounds[1])


def _float_bounds(graph: Graph, node: onnx.NodeProto) -> tuple[float, float]:
    if node.op_type == "Relu":
        return 0.0, np.inf
    given = attributes(node)
    bounds = [given.get("min", -np.inf), given.get("max", np.inf)]
    for index, name in enumerate(node.input[1:3]):
        if name:
            bounds[index] = float(scalar(graph, name, "clip bound"))
    return float(bounds[0]), float(bounds[1])  # type: ignore[arg-type]


def _quantize(value: float, output: Tensor) -> int:
    """QuantizeLinear of one float32, as ONNX defines it: it is monotone, so it commutes with Relu and Clip."""
    q = np.rint(np.float32(value) / output.scale) + output.zero_point
    return int(np.clip(q, *output.limits))


def clamp_behind(graph: Graph, name: str, limits: tuple[int, int]) -> tuple[list[str], str, int, int]:
    """An integer Clip behind a quantized value, if it is its only reader: nodes, final value name, bounds."""
    node = graph.only_consumer(name)
    if node is None or node.op_type != "Clip":
        return [], name, *limits
    bounds = list(limits)
    for index, bound in enumerate(node.input[1:3]):
        value = graph.constant(bound) if bound else None
        if bound and value is None:
            return [], name, *limits
        if value is not None:
            bounds[index] = int(value.reshape(()))
    low = max(limits[0], min(bounds[0], limits[1]))
    return [node.name], node.output[0], low, max(low, min(bounds[1], limits[1]))


def integers(value: object, count: int, default: int) -> tuple[int, ...]:
    """An ONNX ints attribute, or `count` times the default."""
    if value is None:
        return (default,) * count
    return tuple(int(item) for item in value)  # type: ignore[attr-defined]
