"""PyTorch's exporter and what is done where it fails."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch (weft[torch]) is absent")

import onnx  # noqa: E402
from comparison import compare, draw  # noqa: E402
from constructs import IfElifElse  # noqa: E402

import weft  # noqa: E402
from weft.frontend.torch import translation  # noqa: E402


def test_a_model_that_its_optimizer_breaks_is_taken_unoptimized(monkeypatch: pytest.MonkeyPatch) -> None:
    """As found by a random program: a Clip was made of Max and Min, and its bounds were not in the model."""
    asked = []
    translated = translation._translated

    def forgetful(exported: Any, *, optimize: bool) -> onnx.ModelProto:
        asked.append(optimize)
        model = translated(exported, optimize=optimize)
        if optimize:
            del model.graph.initializer[:]
        return model

    monkeypatch.setattr(translation, "_translated", forgetful)
    module = IfElifElse().eval()
    compare(module, weft.from_torch(module, (torch.zeros(1, 4),)), draw(((1, 4),), 40))
    assert asked == [True, False]
