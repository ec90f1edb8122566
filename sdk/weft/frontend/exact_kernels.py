"""Integer kernels that are exact on every CPU.

On x86 CPUs without VNNI, ONNX Runtime multiplies uint8 by int8 with an instruction that saturates pairs of
products at 16 bits, so results differ from the operator's definition. Its uint8-by-uint8 kernels are exact
everywhere. Where the CPU at hand saturates, the reference runs a rewritten graph that uses only those.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from weft.frontend.graph import Array, Graph, is_standard
from weft.frontend.model import Model
from weft.frontend.session_options import plain_options

OFFSET = 128


@cache
def kernels_are_exact() -> bool:
    """Whether this CPU's uint8-by-int8 kernels give the exact result where saturating ones would not."""
    depth, rows, columns = 64, 4, 16
    constants: dict[str, Array] = {
        "one": np.asarray(1, np.float32),
        "zero": np.asarray(0, np.uint8),
        "zero_w": np.asarray(0, np.int8),
        "big": np.asarray(16384, np.float32),
        "w": np.full((depth, columns), 127, np.int8),
    }
    node = helper.make_node("QLinearMatMul", ["x", "one", "zero", "w", "one", "zero_w", "big", "zero"], ["y"])
    graph = helper.make_graph(
        [node],
        "probe",
        [helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, [rows, depth])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.UINT8, [rows, columns])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = plain_options()
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    answer = session.run(None, {"x": np.full((rows, depth), 255, np.uint8)})[0]
    return bool(np.all(answer == np.rint(depth * 255 * 127 / 16384)))


def unsigned_operands(model: Model) -> Model:
    """The same integer graph with uint8 operands only: signed values stored 128 greater, as are their zero
    points.

    Constants are stored anew; activations change by DequantizeLinear and QuantizeLinear with the same scale,
    which is exact. Operators whose zero points are not constant stay as they are.
    """
    graph = Graph(model)
    for node in list(graph.nodes):
        if is_standard(node, "QLinearConv", "QLinearMatMul"):
            _rewrite(graph, node)
    return graph.finish()


def _rewrite(graph: Graph, node: onnx.NodeProto) -> None:
    zero_points = [graph.constant(node.input[index]) for index in (2, 5, 7)]
    weights = graph.constant(node.input[3])
    if any(value is None for value in zero_points):
        return
    if weights is None and graph.static_shape(node.input[4]) not in ((), (1,)):
        return
    for index in (0, 3):
        zero_point = graph.constant(node.input[index + 2])
        if zero_point is not None and zero_point.dtype == np.int8:
            _unsigned_input(graph, node, index, zero_point)
    zero_point = graph.constant(node.input[7])
    if zero_point is not None and zero_point.dtype == np.int8:
        target, scale, signed = node.output[0], node.input[6], node.input[7]
        unsigned = graph.add_constant(f"{signed}_unsigned", _shift(zero_point))
        graph.replace_input(node, 7, unsigned)
        result = graph.fresh(f"{target}_unsigned")
        graph.rename_output(node, target, result)
        _convert(graph, result, scale, unsigned, signed, target)


def _unsigned_input(graph: Graph, node: onnx.NodeProto, index: int, zero_point: Array) -> None:
    name, scale, signed = node.input[index], node.input[index + 1], node.input[index + 2]
    unsigned = graph.add_constant(f"{signed}_unsigned", _shift(zero_point))
    values = graph.constant(name)
    if values is not None:
        result = graph.add_constant(f"{name}_unsigned", _shift(values))
    else:
        result = graph.fresh(f"{name}_unsigned")
        _convert(graph, name, scale, signed, unsigned, result)
    graph.replace_input(node, index, result)
    graph.replace_input(node, index + 2, unsigned)


def _convert(graph: Graph, source: str, scale: str, before: str, after: str, target: str) -> None:
    middle = graph.fresh(f"{target}_real")
    for kind, inputs, output in (
        ("DequantizeLinear", [source, scale, before], middle),
        ("QuantizeLinear", [middle, scale, after], target),
    ):
        graph.add(helper.make_node(kind, inputs, [output], name=graph.fresh_node_name(f"{target}_{kind}")))


def _shift(values: Array) -> Array:
    return (values.astype(np.int16) + OFFSET).astype(np.uint8)
