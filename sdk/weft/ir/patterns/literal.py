"""Operators that the integer graph leaves as they are written and no pattern takes: the reason, for `weft explain`."""

from __future__ import annotations

from typing import NoReturn

import onnx
from onnx import TensorProto

from weft.ir.graph import Graph
from weft.ir.patterns.common import DTYPES, Refusal

__all__ = ["refuse_index", "refuse_product"]


def refuse_product(graph: Graph, node: onnx.NodeProto) -> NoReturn:
    """A Conv, MatMul or Gemm that did not become an integer operator. Raises Refusal, always."""
    for name in node.input[:2]:
        stored, kind = _stored(graph, name)
        if kind not in (None, TensorProto.FLOAT, *DTYPES):
            kind_name = TensorProto.DataType.Name(kind).lower()
            raise Refusal(f"its operand {stored!r} is {kind_name}; the accelerator multiplies int8 and uint8")
        if kind == TensorProto.FLOAT:
            raise Refusal(f"its operand {stored!r} is float32 and not quantized")
    raise Refusal("no integer operator gives its result (docs/numerics.md: what stays literal)")


def refuse_index(graph: Graph, node: onnx.NodeProto) -> NoReturn:
    """ArgMax and ArgMin. Raises Refusal, always."""
    raise Refusal("its result is int64 element numbers; what the accelerator gives the host is int8 and uint8")


def _stored(graph: Graph, name: str) -> tuple[str, int | None]:
    """The value behind a DequantizeLinear, or the value itself, and its element type, None where that is unknown."""
    producer = graph.producer.get(name)
    if producer is not None and producer.op_type == "DequantizeLinear":
        name = producer.input[0]
    if name in graph.initializers:
        return name, graph.initializers[name].data_type
    value = graph.values.get(name)
    return name, value.type.tensor_type.elem_type if value is not None else None
