"""Model-local functions replaced by their bodies."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import inliner

from weft.frontend.model import Model


@dataclass(frozen=True)
class InlineFunctions:
    """Inlines every function that the model itself defines, so that later passes see operators only."""

    name: str = "inline-functions"

    def run(self, model: Model) -> Model:
        if not model.proto.functions:
            return model
        return model.with_proto(inliner.inline_local_functions(model.proto, convert_version=True))
