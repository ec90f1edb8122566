"""The pass that writes com.microsoft's quantized operators with standard ones where no bit changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import helper

from weft.frontend.graph import Graph, attributes, is_standard
from weft.frontend.model import Model
from weft.frontend.origins import record
from weft.frontend.passes.infer_shapes import InferShapes
from weft.frontend.qoperator.forms import FORMS, POOLING_ATTRIBUTES, Quantized, Standard, standard_form
from weft.frontend.qoperator.proof import difference

__all__ = ["REASON_KEY", "StandardizeQOperators"]

REASON_KEY = "weft.reason"
BY_NATURE = {
    "DynamicQuantizeLinear": "its scale and zero point are computed from the data while the model runs",
    "ConvInteger": "its result is int32, which the accelerator does not store",
    "MatMulInteger": "its result is int32, which the accelerator does not store",
}


@dataclass(frozen=True)
class StandardizeQOperators:
    """QGemm, QLinearAdd and their like become DequantizeLinear, the float32 operator, QuantizeLinear, where ONNX
    Runtime gives the same bits for both; where it does not, the node stays and its metadata "weft.reason"
    says why. Shapes and types are written for the results of both, which ONNX's inference does not know.
    QLinearConv and QLinearMatMul are standard operators and stay. A MaxPool of stored values is put between
    DequantizeLinear and QuantizeLinear with the scale 1, which changes none. Needs static shapes of the model's inputs.
    """

    name: str = "standardize-qoperators"

    def run(self, model: Model) -> Model:
        return _surround_pools(_standardize(model))


def _standardize(model: Model) -> Model:
    graph = Graph(model)
    forms = _forms(graph)
    explained = [node for node in graph.nodes if is_standard(node, *BY_NATURE)]
    if not forms and not explained:
        return model
    for node in explained:
        _explain(node, BY_NATURE[node.op_type])
    types = _types(model) if forms else {}
    for node in list(graph.nodes):
        if node.name not in forms:
            continue
        standard = forms[node.name]
        reason = "its parameters are not constant, or its attributes have no standard form"
        found = reason if standard is None else difference(graph, node, standard)
        if standard is not None and found is None:
            _replace(graph, node, standard)
            continue
        _explain(node, found or reason)
        kind = types.get(node.output[0])
        if kind is not None:
            _set_type(graph, node.output[0], kind)
    return InferShapes().run(graph.finish())


def _surround_pools(model: Model) -> Model:
    graph = Graph(model)
    pools = [node for node in graph.nodes if _is_stored_pool(graph, node)]
    for node in pools:
        _surround(graph, node)
    return InferShapes().run(graph.finish()) if pools else model


def _is_stored_pool(graph: Graph, node: onnx.NodeProto) -> bool:
    stored = graph.element_type(node.input[0]) in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8) if node.input else 0
    return bool(stored) and is_standard(node, "MaxPool") and len(node.output) == 1


def _surround(graph: Graph, node: onnx.NodeProto) -> None:
    """MaxPool of the stored values as float32: the greatest of them is the same."""
    zero_point = np.zeros((), helper.tensor_dtype_to_np_dtype(graph.element_type(node.input[0])))
    whole = Quantized(node.input[0], np.asarray(1, np.float32), zero_point)
    given = attributes(node)
    names = (name for name in (*POOLING_ATTRIBUTES, "storage_order") if name in given and not given[name].ref_attr_name)
    found = {name: helper.get_attribute_value(given[name]) for name in names}
    _replace(graph, node, Standard("MaxPool", found, (whole,), replace(whole, tensor=node.output[0])))


def _forms(graph: Graph) -> dict[str, Standard | None]:
    return {node.name: standard_form(graph, node) for node in graph.nodes if _is_contributed(node)}


def _is_contributed(node: onnx.NodeProto) -> bool:
    return node.domain == "com.microsoft" and node.op_type in FORMS and bool(node.output)


def _types(model: Model) -> Mapping[str, onnx.TypeProto]:
    """Types of all tensors, found on a copy in which every node that has a standard form is written so."""
    graph = Graph(model)
    for node in list(graph.nodes):
        standard = standard_form(graph, node) if _is_contributed(node) else None
        if standard is not None:
            _replace(graph, node, standard)
    sketch = InferShapes().run(graph.finish()).proto.graph
    return {value.name: value.type for value in (*sketch.value_info, *sketch.output)}


def _replace(graph: Graph, node: onnx.NodeProto, standard: Standard) -> None:
    nodes = standard.nodes(graph, node.name)
    graph.remove(node)
    for each in nodes:
        record(each, [node])
        graph.add(each)


def _explain(node: onnx.NodeProto, reason: str) -> None:
    entries = [(entry.key, entry.value) for entry in node.metadata_props if entry.key != REASON_KEY]
    kept = [(key, value) for key, value in entries if isinstance(key, str) and isinstance(value, str)]
    del node.metadata_props[:]
    for key, value in (*kept, (REASON_KEY, reason)):
        node.metadata_props.add(key=key, value=value)


def _set_type(graph: Graph, name: str, kind: onnx.TypeProto) -> None:
    if kind.tensor_type.HasField("shape"):
        extents = [each.dim_value if each.HasField("dim_value") else None for each in kind.tensor_type.shape.dim]
        graph.set_type(name, kind.tensor_type.elem_type, extents)
