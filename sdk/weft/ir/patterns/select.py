"""comparison of a stored tensor → Where of two stored tensors [→ Relu | Clip] → QuantizeLinear → Select."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from weft.ir.graph import Graph
from weft.ir.operators import Tensor
from weft.ir.patterns.common import DTYPES, Refusal, dequantized, element_type, quantized_behind, unquantized
from weft.ir.patterns.evaluate import session
from weft.ir.patterns.table import POINTWISE
from weft.ir.select import Select

__all__ = ["match"]

MAX_NODES = 32
SHAPING = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""What a condition of one element may go through."""
PLACES = (256, 259, 1031)
"""Lengths on which a condition is evaluated: it must not depend on where in a tensor a value stands."""


def match(graph: Graph, node: onnx.NodeProto) -> Select:
    """Both operands are stored with the result's scale and zero point, so that one of them is the result as it is."""
    if len(node.input) != 3:
        raise Refusal("it does not have three operands")
    a, b = (dequantized(graph, name)[1] for name in node.input[1:])
    nodes, output, low, high = quantized_behind(graph, node.output[0])
    for each in (a, b):
        if each.shape != output.shape:
            raise Refusal(f"{each.name!r} of shape {list(each.shape)} is repeated to {list(output.shape)}")
        if (each.dtype, each.scale, each.zero_point) != (output.dtype, output.scale, output.zero_point):
            raise Refusal(f"{each.name!r} and the result are stored with different scales")
    _check_exact(output)
    inner, source = _condition(graph, node.input[0])
    if math.prod(source.shape) != 1 and source.shape != output.shape:
        raise Refusal(f"its condition of shape {list(source.shape)} is repeated in part")
    table = _table(graph, inner, node.input[0], source)
    own = [each.name for each in inner if _is_private(graph, each, {node.name, *(one.name for one in inner)})]
    return Select(node.name, (*own, node.name, *nodes), (source, a, b), output, table, low, high)


def _check_exact(stored: Tensor) -> None:
    """Raises Refusal unless every q comes back from being dequantized and quantized."""
    low, high = stored.limits
    q = np.arange(low, high + 1, dtype=np.int32)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        again = np.rint((q - stored.zero_point).astype(np.float32) * stored.scale / stored.scale) + stored.zero_point
    if not np.array_equal(again, q.astype(np.float32)):
        raise Refusal("its scale is so small or large that dequantizing loses values")


def _condition(graph: Graph, name: str) -> tuple[list[onnx.NodeProto], Tensor]:
    """The nodes between a condition and the one stored tensor that it is a function of, in order."""
    names: set[str] = set()
    sources: dict[str, Tensor] = {}
    shaped = False
    waiting = [name]
    while waiting:
        value = waiting.pop()
        producer = graph.producer.get(value)
        if value in graph.initializers:
            if value == name:
                raise Refusal("its condition is a constant")
            continue
        if producer is None:
            raise Refusal("its condition comes from elsewhere, as a boolean")
        if producer.op_type == "DequantizeLinear" and producer.input[0] not in graph.initializers:
            sources[producer.input[0]] = dequantized(graph, value)[1]
            continue
        if producer.domain not in ("", "ai.onnx") or producer.op_type not in POINTWISE | SHAPING | {"DequantizeLinear"}:
            raise Refusal(f"its condition is computed by {producer.op_type}")
        shaped = shaped or producer.op_type in SHAPING - {"Identity"}
        if producer.name not in names:
            names.add(producer.name)
            waiting += list(producer.input[:1] if producer.op_type in SHAPING else filter(None, producer.input))
        if len(names) > MAX_NODES:
            raise Refusal(f"more than {MAX_NODES} operators compute its condition")
    if len(sources) != 1:
        raise Refusal("its condition is a function of several quantized values")
    source = next(iter(sources.values()))
    if math.prod(source.shape) != 1:
        read = [each for one in graph.in_order(names) for each in one.input]
        constants = [found for each in read if (found := graph.constant(each)) is not None]
        if shaped or any(each.size != 1 for each in constants):
            raise Refusal("its condition is not the same function of each element")
    if element_type(graph, name) not in (TensorProto.BOOL, None):
        raise Refusal(unquantized(graph, name))
    return graph.in_order(names), source


def _table(graph: Graph, nodes: list[onnx.NodeProto], result: str, source: Tensor) -> npt.NDArray[np.bool_]:
    """The condition for the 256 byte patterns, by ONNX Runtime."""
    is_single = math.prod(source.shape) == 1
    kinds = {name: kind for kind, name in DTYPES.items()}
    shape: list[int | str] = list(source.shape) if is_single else ["n"]
    given = helper.make_tensor_value_info(source.name, kinds[source.dtype], shape)
    run = session(graph, nodes, [given], [helper.make_tensor_value_info(result, TensorProto.BOOL, None)])
    patterns = np.arange(256).astype(np.uint8)
    try:
        if is_single:
            answers = [run.run(None, {source.name: each.view(source.dtype).reshape(source.shape)}) for each in patterns]
            if any(each[0].size != 1 for each in answers):
                raise Refusal("its condition is repeated")
            return np.asarray([bool(each[0].reshape(-1)[0]) for each in answers])
        table = np.zeros(256, np.bool_)
        for length in PLACES:
            places = np.arange(length).astype(np.uint8)
            (answer,) = run.run(None, {source.name: places.view(source.dtype)})
            if length == PLACES[0]:
                table = answer
            if not np.array_equal(answer, table[places]):
                raise Refusal("ONNX Runtime's condition depends on the position in the tensor")
    except Refusal:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no common base below Exception
        raise Refusal(f"ONNX Runtime cannot evaluate its condition ({str(error).splitlines()[0][:80]})") from error
    return table


def _is_private(graph: Graph, node: onnx.NodeProto, inside: set[str]) -> bool:
    """Whether only the operator's own nodes read a node's result."""
    return all(
        name not in graph.output_names and all(reader.name in inside for reader in graph.consumers[name])
        for name in node.output
    )
