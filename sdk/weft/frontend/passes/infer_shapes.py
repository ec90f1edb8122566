"""Static shapes of all tensors, as far as ONNX's inference finds them."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import shape_inference

from weft.frontend.model import Model


@dataclass(frozen=True)
class InferShapes:
    """Writes the inferred shape and type of every tensor into the model. Where inference fails the model
    stays as it is: tensors of unknown shape stay on the host, where ONNX Runtime finds their shapes itself.
    """

    name: str = "infer-shapes"

    def run(self, model: Model) -> Model:
        try:
            inferred = shape_inference.infer_shapes(model.proto, strict_mode=False, data_prop=True)
        except (shape_inference.InferenceError, RuntimeError, ValueError):
            return model
        return model.with_proto(inferred)
