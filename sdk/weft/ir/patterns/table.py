"""Float operators between one DequantizeLinear and a QuantizeLinear that look at one value at a time → TableLookup."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper

from weft.ir.graph import Graph
from weft.ir.operators import TableLookup, Tensor
from weft.ir.patterns.common import DTYPES, Refusal, dequantized, tensor

__all__ = ["POINTWISE", "functions_behind", "match"]

POINTWISE = frozenset(
    {
        "Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "Cast", "Ceil", "Celu", "Clip", "Cos",
        "Cosh", "Div", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid",
        "HardSwish", "Identity", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Min", "Mish", "Mul", "Neg", "Not",
        "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus",
        "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Where", "Xor",
    }
)  # fmt: skip
"""Operators whose result at a position depends on their operands at that position alone."""

MAX_NODES = 32
PLACES = (256, 259, 1031)
"""Lengths on which a function is evaluated: its value must not depend on where in a tensor it stands."""


def match(graph: Graph, node: onnx.NodeProto) -> TableLookup:
    """`node` is the QuantizeLinear at the end. ONNX Runtime itself evaluates the 256 values, so they are its bits."""
    output = tensor(graph, node.output[0], node.input[1], node.input[2] if len(node.input) > 2 else "")
    nodes, source = _cone(graph, node)
    if source.shape != output.shape:
        raise Refusal("its constants change the shape")
    table = _evaluate(graph, [*nodes, node], source, output)
    return TableLookup(node.name, (*(each.name for each in nodes), node.name), (source,), output, table)


def _cone(graph: Graph, end: onnx.NodeProto) -> tuple[list[onnx.NodeProto], Tensor]:
    """The float nodes that only this result needs, in order, and the one quantized tensor they start from."""
    names: set[str] = set()
    sources: dict[str, Tensor] = {}
    open_values = [end.input[0]]
    while open_values:
        value = open_values.pop()
        producer = graph.producer.get(value)
        if value in graph.initializers:
            _check_constant(graph, value)
        elif producer is not None and producer.op_type == "DequantizeLinear":
            if producer.input[0] in graph.initializers:
                _check_constant(graph, producer.input[0])
            else:
                sources[value] = dequantized(graph, value)[1]
        elif producer is not None and producer.op_type in POINTWISE and producer.domain in ("", "ai.onnx"):
            if producer.name not in names:
                names.add(producer.name)
                open_values += [name for name in producer.input if name]
        elif producer is None:
            raise Refusal("it quantizes an input of the model")
        else:
            raise Refusal(f"it quantizes what {producer.op_type} computes in floating point")
        if len(names) > MAX_NODES:
            raise Refusal(f"more than {MAX_NODES} operators lie between the quantizations")
    if len({(each.name, float(each.scale), each.zero_point) for each in sources.values()}) != 1:
        raise Refusal("it is a function of several quantized values")
    nodes = graph.in_order(names)
    inside = names | {end.name}
    for each in nodes:
        if any(reader.name not in inside for reader in graph.consumers[each.output[0]]):
            raise Refusal("an inner float value is read elsewhere")
        if each.output[0] in graph.output_names:
            raise Refusal("an inner float value is an output of the model")
    return nodes, next(iter(sources.values()))


def functions_behind(graph: Graph, end: onnx.NodeProto) -> list[str]:
    """Names of the functions of one value that lead to a QuantizeLinear, back to the first other node."""
    names: dict[str, None] = {}
    open_values = [end.input[0]]
    while open_values and len(names) < MAX_NODES:
        producer = graph.producer.get(open_values.pop())
        if producer is None or producer.op_type not in POINTWISE or producer.domain not in ("", "ai.onnx"):
            continue
        if producer.name not in names:
            names[producer.name] = None
            open_values += [name for name in producer.input if name]
    return list(names)


def _check_constant(graph: Graph, name: str) -> None:
    value = graph.constant(name)
    if value is None or value.size != 1:
        raise Refusal("a constant differs from element to element")


def _evaluate(graph: Graph, nodes: list[onnx.NodeProto], source: Tensor, output: Tensor) -> npt.NDArray[np.int32]:
    """The output's q for the 256 byte patterns of the input, by ONNX Runtime without optimizations."""
    inside = {each.output[0] for each in nodes}
    outer = dict.fromkeys(name for each in nodes for name in each.input if name and name not in inside)
    leaves = [graph.producer[name] for name in outer if name not in graph.initializers]
    used = {name for each in (*nodes, *leaves) for name in each.input}
    initializers = [tensor for name, tensor in graph.initializers.items() if name in used]
    kinds = {name: kind for kind, name in DTYPES.items()}
    body = helper.make_graph(
        [*leaves, *nodes],
        "table",
        [helper.make_tensor_value_info(source.name, kinds[source.dtype], ["n"])],
        [helper.make_tensor_value_info(output.name, kinds[output.dtype], None)],
        initializers,
    )
    model = helper.make_model(
        body, opset_imports=list(graph.model.opset_import), ir_version=graph.model.ir_version, producer_name="weft"
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        tables = [_table(session, source, output, length) for length in PLACES]
    except Exception as error:  # ONNX Runtime's exceptions have no common base below Exception
        raise Refusal(f"ONNX Runtime cannot evaluate it alone ({str(error).splitlines()[0][:80]})") from error
    if any(not np.array_equal(tables[0], each) for each in tables[1:]):
        raise Refusal("ONNX Runtime's result depends on the position in the tensor")
    return tables[0]


def _table(session: onnxruntime.InferenceSession, source: Tensor, output: Tensor, length: int) -> npt.NDArray[np.int32]:
    patterns = np.arange(length).astype(np.uint8)[::-1]
    (answer,) = session.run([output.name], {source.name: patterns.view(source.dtype)})
    table = np.zeros(256, np.int32)
    table[patterns] = answer
    if any(np.any(table[patterns[start:]] != answer[start:]) for start in (0, max(0, length - 256))):
        raise Refusal("ONNX Runtime's result depends on the position in the tensor")
    return table
