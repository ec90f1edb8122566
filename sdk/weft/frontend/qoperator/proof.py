"""Whether a com.microsoft operator gives the same bits as its standard form: both run by ONNX Runtime on every
value there is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from weft.frontend.graph import Array, Graph
from weft.frontend.model import Model
from weft.frontend.qoperator.forms import DOMAIN, Quantized, Standard, standard_form
from weft.frontend.session_options import RUNTIME_ERRORS, plain_options

__all__ = ["difference"]

ONE_VALUE = ("QLinearSigmoid", "QLinearLeakyRelu")
TWO_VALUES = ("QLinearAdd", "QLinearMul")
# Every integer product and sum is exact, and the one product with a float32 factor is QLinearConv's.
BY_DEFINITION = ("QGemm",)


def difference(graph: Graph, node: onnx.NodeProto, standard: Standard) -> str | None:
    """Why a node must stay as it is, or None where its standard form gives the same bits.

    Functions of one or two stored values are run on all 256 or 65,536 of them, each input of a QLinearConcat
    on all 256: a proof for these scales and this CPU's kernels. What adds or exponentiates over many values
    cannot be tried out.
    """
    name, shown = node.op_type, f"ONNX Runtime's {node.op_type}"
    if name in BY_DEFINITION:
        return None
    if name in ONE_VALUE:
        found = _counted(graph, node, standard, _one_value(standard))
    elif name in TWO_VALUES:
        found = sum(_counted(graph, node, standard, feeds) for feeds in _two_values(standard))
    elif name == "QLinearConcat":
        found = _counted(graph, node, standard, _each_value(standard))
    else:
        return f"{shown} rounds otherwise than {standard.operator} between DequantizeLinear and QuantizeLinear"
    if found:
        return (
            f"{shown} rounds {found} of all values otherwise than {standard.operator} between DequantizeLinear and "
            "QuantizeLinear with these scales"
        )
    return None


def _all_values(source: Quantized) -> Array:
    info = np.iinfo(source.zero_point.dtype)
    return np.arange(info.min, info.max + 1).astype(info.dtype)


def _one_value(standard: Standard) -> list[Array]:
    return [_all_values(standard.inputs[0])]


def _two_values(standard: Standard) -> list[list[Array]]:
    """All pairs, laid out so that each kernel runs: two vectors, a vector beside a scalar, a scalar beside a
    vector."""
    first, second = (_all_values(each) for each in standard.inputs)
    return [
        [np.repeat(first, 256), np.tile(second, 256)],
        [first.reshape(256, 1), second.reshape(1, 256)],
        [first.reshape(1, 256), second.reshape(256, 1)],
    ]


def _each_value(standard: Standard) -> list[Array]:
    axis = int(standard.attributes["axis"])
    shape = [256, *[1] * (-axis - 1)] if axis < 0 else [*[1] * axis, 256]
    return [_all_values(each).reshape(shape) for each in standard.inputs]


def _counted(graph: Graph, node: onnx.NodeProto, standard: Standard, feeds: Sequence[Array]) -> int:
    """How many results differ; all of them where one of the two does not run."""
    alone = onnx.NodeProto()
    alone.CopyFrom(node)
    positions = [index for index, name in enumerate(node.input) if name in {each.tensor for each in standard.inputs}]
    for count, index in enumerate(positions):
        alone.input[index] = f"x{count}"
    constants = {name: graph.constant(name) for name in alone.input if name and name in graph.constants}
    own = _model([alone], feeds, standard.output, constants, graph.opset)
    definition = Graph(own)
    form = standard_form(definition, definition.nodes[0])
    if form is None or len(positions) != len(feeds):
        return sum(values.size for values in feeds)
    nodes = form.nodes(definition, "definition")
    definition.remove(definition.nodes[0])
    for each in nodes:
        definition.add(each)
    named = {f"x{index}": values for index, values in enumerate(feeds)}
    try:
        first, second = (_run(model, named) for model in (own, definition.finish()))
    except RUNTIME_ERRORS:
        return sum(values.size for values in feeds)
    return int(np.count_nonzero(first != second)) if first.shape == second.shape else first.size


def _model(
    nodes: Sequence[onnx.NodeProto],
    feeds: Sequence[Array],
    output: Quantized,
    constants: dict[str, Array | None],
    opset: int,
) -> Model:
    inputs = [
        helper.make_tensor_value_info(f"x{index}", helper.np_dtype_to_tensor_dtype(values.dtype), values.shape)
        for index, values in enumerate(feeds)
    ]
    made = helper.make_tensor_value_info(output.tensor, helper.np_dtype_to_tensor_dtype(output.zero_point.dtype), None)
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items() if value is not None]
    graph = helper.make_graph(list(nodes), "one node", inputs, [made], tensors)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)]
    return Model(helper.make_model(graph, opset_imports=imports, ir_version=10))


def _run(model: Model, feeds: dict[str, Array]) -> Array:
    session = onnxruntime.InferenceSession(
        model.proto.SerializeToString(), plain_options(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, feeds)[0])
