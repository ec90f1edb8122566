"""Old operator sets brought to the version that quantization needs."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import defs, version_converter

from weft.frontend.model import Model
from weft.frontend.topology import all_nodes, subgraphs

# QuantizeLinear and DequantizeLinear take an axis (per-channel scales) from here on; Clip and MaxPool take
# int8.
QUANTIZABLE_OPSET = 13


@dataclass(frozen=True)
class UpgradeOpset:
    """Raises the standard operator set to at least `version`.

    ONNX's converter does it. Where it cannot (control flow included), the number alone is raised, provided
    none of the model's operators changed between the two versions; else the model stays as it is and runs on
    the host.
    """

    version: int = QUANTIZABLE_OPSET
    name: str = "upgrade-opset"

    def run(self, model: Model) -> Model:
        if model.opset >= self.version or model.opset == 0:
            return model
        # The converter takes Scan of version 8 for Scan of version 9, and leaves bodies of If and Loop
        # unconverted.
        if any(True for node in model.proto.graph.node for _ in subgraphs(node)):
            return self._renumbered(model)
        try:
            converted = version_converter.convert_version(_with_initializers_as_inputs(model.proto), self.version)
            onnx.checker.check_model(converted)
        except (RuntimeError, ValueError, onnx.checker.ValidationError):
            return self._renumbered(model)
        return model.with_proto(_names_restored(model.proto, converted))

    def _renumbered(self, model: Model) -> Model:
        old = model.opset
        for node in all_nodes(model.proto.graph):
            if node.domain not in ("", "ai.onnx"):
                continue
            before = defs.get_schema(node.op_type, old).since_version
            if defs.get_schema(node.op_type, self.version).since_version != before:
                return model
        proto = onnx.ModelProto()
        proto.CopyFrom(model.proto)
        for entry in proto.opset_import:
            if entry.domain in ("", "ai.onnx"):
                entry.version = self.version
        return model.with_proto(proto)


def _with_initializers_as_inputs(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The converter loses initializers of IR 4 and later that are no inputs in some releases; IR 3 style is
    safe."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    listed = {value.name for value in copy.graph.input}
    for tensor in copy.graph.initializer:
        if tensor.name not in listed:
            copy.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return copy


def _names_restored(old: onnx.ModelProto, new: onnx.ModelProto) -> onnx.ModelProto:
    """The converter drops nothing that we need but may drop model metadata; put it back."""
    if not new.metadata_props:
        new.metadata_props.extend(old.metadata_props)
    new.ir_version = max(new.ir_version, old.ir_version)
    return new
