"""ONNX's own backend tests: what ONNX Runtime passes here and now, Weft passes."""

from __future__ import annotations

import functools
import unittest
import warnings
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.backend.base import Backend, BackendRep

from weft.frontend.session_options import LOG_FATAL_ONLY
from weft.onnx_backend import WeftBackend, WeftRep

SHARDS = 24
SUITE = "OnnxBackendSuite"
ON_THE_ACCELERATOR = (
    *(f"qlinearmatmul_{form}_float32" for form in ("2D_uint8", "2D_int8", "3D_uint8", "3D_int8")),
    "qlinearconv", "maxpool_2d_uint8",
)  # fmt: skip
prepared: list[WeftRep] = []


class RuntimeRep(BackendRep):
    def __init__(self, model: onnx.ModelProto) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = LOG_FATAL_ONLY
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def run(self, inputs, **kwargs):
        names = [value.name for value in self.session.get_inputs()]
        values = [np.asarray(value) if isinstance(value, np.generic) else value for value in inputs]
        return self.session.run(None, dict(zip(names, values, strict=False)))


class OnnxRuntime(Backend):
    @classmethod
    def prepare(cls, model, device="CPU", **kwargs):
        return RuntimeRep(model)

    @classmethod
    def supports_device(cls, device):
        return device == "CPU"


class Weft(WeftBackend):
    @classmethod
    def prepare(cls, model, device="CPU", **kwargs):
        rep = super().prepare(model, device, **kwargs)
        prepared[:] = [rep]
        return rep


@functools.cache
def cases():
    """Names, and what runs them on either backend. The real models come with onnx, without weights."""
    from onnx.backend.test import BackendTest

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference, weft = (BackendTest(backend, __name__)._test_items for backend in (OnnxRuntime, Weft))
    return [
        (category, name, item.func, weft[category][name].func)
        for category, items in reference.items()
        for name, item in items.items()
        if name.endswith("_cpu")
    ]


@pytest.fixture(scope="module", autouse=True)
def _scratch(tmp_path_factory):
    """Where ONNX writes the inputs of its real models, instead of the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONNX_MODELS", str(tmp_path_factory.mktemp("onnx-models")))
        yield


def attempt(run) -> Exception | None:
    """What went wrong, or None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            run(None)
        except (Exception, unittest.SkipTest) as error:
            return error
    return None


@pytest.mark.parametrize("shard", range(SHARDS))
def test_what_onnx_runtime_passes_weft_passes(shard, record_property):
    promised, failed, accelerated = Counter(), [], []
    for category, name, reference, weft in cases()[shard::SHARDS]:
        if attempt(reference) is not None:
            continue
        promised[category] += 1
        error = attempt(weft)
        if error is not None:
            failed.append(f"{category} {name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        elif category == "NodeModel" and prepared[0].executable.regions:
            accelerated.append(name.removesuffix("_cpu"))
    record_property(SUITE, {"promised": dict(promised), "failed": len(failed), "accelerated": accelerated})
    assert failed == []
    # A reference that cannot run anything would promise nothing.
    assert promised.total() > len(cases()[shard::SHARDS]) / 2


def test_every_real_model_is_among_the_cases():
    assert len([name for category, name, _, _ in cases() if category == "RealModel"]) == 9


@pytest.mark.parametrize("name", ON_THE_ACCELERATOR)
def test_quantized_operators_run_on_the_accelerator(name):
    found = [weft for _, each, _, weft in cases() if each == f"test_{name}_cpu"]
    assert len(found) == 1 and attempt(found[0]) is None
    assert prepared[0].executable.regions
