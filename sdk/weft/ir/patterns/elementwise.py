"""DequantizeLinear ×2 → Add | Sub | Mul | Max | Min [→ Relu | Clip] → QuantizeLinear → Elementwise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx

from weft.ir.graph import Graph
from weft.ir.operators import BinaryKind, Elementwise, Tensor
from weft.ir.patterns.common import Refusal, dequantized, quantized_behind, tensor, unquantized

__all__ = ["match"]

_COMMUTES = {BinaryKind.ADD, BinaryKind.MULTIPLY, BinaryKind.MAXIMUM, BinaryKind.MINIMUM}


def match(graph: Graph, node: onnx.NodeProto) -> Elementwise:
    """Two activations, or an activation and a quantized constant; DequantizeLinear nodes may be shared."""
    if len(node.input) != 2:
        raise Refusal(f"{node.op_type} of {len(node.input)} operands stays on the host")
    kind = BinaryKind(node.op_type)
    operands = [_operand(graph, name) for name in node.input]
    nodes, output, low, high = quantized_behind(graph, node.output[0])
    if kind in _COMMUTES and _is_second(operands[0], output):
        operands.reverse()
    (a, a_constant), (b, b_constant) = operands
    if a_constant is not None or a.view != output.view or len(a.shape) != len(output.shape):
        raise Refusal("its first operand does not have the shape of the result")
    if not _fits(b, output, is_constant=b_constant is not None):
        raise Refusal(f"its second operand of shape {list(b.shape)} does not repeat over height and width alone")
    inputs = (a,) if b_constant is not None else (a, b)
    return Elementwise(node.name, (node.name, *nodes), inputs, output, kind, b, b_constant, low, high)


def _operand(graph: Graph, name: str) -> tuple[Tensor, npt.NDArray[np.generic] | None]:
    producer = graph.producer.get(name)
    if producer is None or producer.op_type != "DequantizeLinear":
        raise Refusal(unquantized(graph, name))
    stored = graph.constant(producer.input[0])
    if stored is None:
        return dequantized(graph, name)[1], None
    zero = producer.input[2] if len(producer.input) > 2 else ""
    described = tensor(graph, producer.input[0], producer.input[1], zero)
    if described.dtype != str(stored.dtype):
        raise Refusal(f"a {stored.dtype} constant stays on the host")
    return described, stored


def _is_second(operand: tuple[Tensor, npt.NDArray[np.generic] | None], output: Tensor) -> bool:
    described, constant = operand
    return constant is not None or described.view != output.view or len(described.shape) != len(output.shape)


def _fits(b: Tensor, output: Tensor, *, is_constant: bool) -> bool:
    """Whether ONNX's broadcasting of b gives one of the two forms that Elementwise has."""
    if b.shape == output.shape:
        return True
    if len(output.shape) != 4 or (len(b.shape) != 4 and not is_constant):
        return False
    aligned = (1,) * (4 - len(b.shape)) + b.shape
    return aligned[1] == output.shape[1] and aligned[2:] == (1, 1) and aligned[0] in (1, output.shape[0])
