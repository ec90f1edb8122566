"""Models full of data movement: it no longer splits them, and every bit is ONNX Runtime's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import weft
from weft.api import PrepareOptions, prepare
from weft.compiler import compile as compile_model

CASES = {
    "cifar_resnet/resnet20.onnx": 1,
    "ultraface/version-RFB-320.onnx": 1,
    "fastestdet/FastestDet.onnx": 1,
    "onnx_light/light_shufflenet.onnx": 1,  # constant weights: bits say little
    "onnx_light/light_inception_v2.onnx": 1,  # light DenseNet-121 (63, now 1) takes minutes to simulate
}
"""The most regions; before movements, padded averages and scales per channel were operators of the accelerator these
were 3, 4, 18, 20 and 12."""


@pytest.mark.parametrize("path", CASES)
def test_movements_do_not_split_regions(path: str, shared_models: Path) -> None:
    model = prepare(shared_models / path, PrepareOptions()).model
    random = np.random.default_rng(11)
    inputs = {
        each.name: random.normal(0, 1, [1 if isinstance(d, str) else d for d in each.shape]).astype(each.dtype)
        for each in model.inputs
    }
    report = weft.verify(model, inputs, device="sim")
    assert report.elements > 0 and report.mismatches == 0
    executable = compile_model(model)
    assert len(executable.regions) <= CASES[path]
    assert executable.offloaded_macs == executable.macs
