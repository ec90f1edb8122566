"""The model as every part of the compiler passes it around: an ONNX protobuf, where it came from, what it
takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx
from onnx import helper

from weft.errors import ModelError
from weft.frontend.topology import all_graphs
from weft_runtime.executable import TensorSignature
from weft_runtime.inputs import UNKNOWN_SHAPE

INTEGER_OPERATORS = frozenset({
    "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear", "QGemm", "QLinearAdd",
    "QLinearMul", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", "QLinearGlobalAveragePool",
    "QLinearAveragePool", "QLinearConcat",
})  # fmt: skip
CONTAINER_KINDS = {"sequence_type": "sequence", "optional_type": "optional", "map_type": "map"}


@dataclass(frozen=True)
class Model:
    """An ONNX model that `load` accepted. Treat `proto` as immutable: every pass returns a new Model.

    `path` is the file it came from, or None for bytes and protobufs. `name` is for messages and reports. Where symbolic
    extents of the inputs were given values, `extents` says which, and `unbound` is the model with its symbols.
    """

    proto: onnx.ModelProto
    path: Path | None = None
    name: str = "model"
    unbound: Model | None = None
    extents: Mapping[str, int] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[TensorSignature, ...]:
        """Signatures of the graph's inputs, initializers excluded; symbolic extents are strings."""
        constants = {tensor.name for tensor in self.proto.graph.initializer}
        return self._signatures(value for value in self.proto.graph.input if value.name not in constants)

    @property
    def outputs(self) -> tuple[TensorSignature, ...]:
        """Signatures of the graph's outputs; symbolic extents are strings."""
        return self._signatures(self.proto.graph.output)

    @property
    def signature(self) -> tuple[TensorSignature, ...]:
        """Signatures of the inputs as users see them: symbolic extents are strings, bound or not."""
        return self.inputs if self.unbound is None else self.unbound.inputs

    @property
    def is_quantized(self) -> bool:
        """Whether activations are quantized already (QDQ or integer operators), in any branch or body too.

        A DequantizeLinear of constants alone is compressed storage of a float model, not a quantized model.
        """
        graphs = list(all_graphs(self.proto.graph))
        nodes = [node for graph in graphs for node in graph.node]
        constants = {tensor.name for graph in graphs for tensor in graph.initializer}
        constants |= {name for node in nodes if node.op_type == "Constant" for name in node.output}
        for node in nodes:
            if node.op_type == "QuantizeLinear" or node.op_type in INTEGER_OPERATORS:
                return True
            if node.op_type == "DequantizeLinear" and node.input[0] not in constants:
                return True
        return False

    @property
    def opset(self) -> int:
        """Version of the standard operator set that the model imports."""
        return standard_opset(self.proto)

    def with_proto(self, proto: onnx.ModelProto) -> Model:
        """The same model's identity around another protobuf."""
        return replace(self, proto=proto)

    def _signatures(self, values: Iterable[onnx.ValueInfoProto]) -> tuple[TensorSignature, ...]:
        return tuple(_signature(value, self.name) for value in values)


def standard_opset(proto: onnx.ModelProto) -> int:
    """Version of the default ("" or "ai.onnx") operator set; 0 where the model does not import it."""
    return max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def axis_key(name: str, axis: int) -> str:
    """How an unnamed unknown extent is called in signatures and in the `shapes` option of `normalize`."""
    return f"{name}[{axis}]"


def _signature(value: onnx.ValueInfoProto, model_name: str) -> TensorSignature:
    kind = CONTAINER_KINDS.get(value.type.WhichOneof("value") or "")
    if kind is not None:
        return TensorSignature(value.name, kind, UNKNOWN_SHAPE)
    if not value.type.HasField("tensor_type"):
        raise ModelError(
            f"{model_name}: '{value.name}' is neither a dense tensor nor a sequence, an optional or a map; "
            "export the model with such inputs and outputs"
        )
    tensor = value.type.tensor_type
    try:
        dtype = dtype_name(tensor.elem_type)
    except KeyError as error:
        raise ModelError(
            f"{model_name}: '{value.name}' is of the unknown element type {tensor.elem_type}; export the model again"
        ) from error
    if not tensor.HasField("shape"):
        return TensorSignature(value.name, dtype, UNKNOWN_SHAPE)
    shape: list[int | str] = []
    for axis, extent in enumerate(tensor.shape.dim):
        if extent.HasField("dim_value"):
            shape.append(extent.dim_value)
        else:
            shape.append(extent.dim_param or axis_key(value.name, axis))
    return TensorSignature(value.name, dtype, tuple(shape))


def dtype_name(element_type: int) -> str:
    """NumPy's name of an ONNX element type; "object" for strings. Raises KeyError for an unknown one."""
    if element_type == onnx.TensorProto.STRING:
        return "object"
    return str(helper.tensor_dtype_to_np_dtype(element_type).name)
