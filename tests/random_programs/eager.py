"""Float reference of random programs: their PyTorch source, run eagerly, against ONNX Runtime on the model."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import torch._dynamo
from weights import KINDS, weights_of

from weft.frontend import Model

RELATIVE, ABSOLUTE = 1e-3, 1e-4
NEAR = (1e-5, -1e-5, 1e-4, -1e-4)
Sample = dict[str, Any]


def module_of(source: str, folder: Path, name: str) -> torch.nn.Module:
    """The class Program of a source text, with the weights of its layers."""
    torch._dynamo.reset()  # what was compiled for earlier programs counts against its limit
    path = folder / f"{name}.py"
    path.write_text(source)
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None and specification.loader is not None
    namespace = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = namespace  # PyTorch's tracer asks for it by name
    specification.loader.exec_module(namespace)
    module: torch.nn.Module = namespace.Program().eval()
    for layer, part in module.named_children():
        kind, _, number = layer.rpartition("_")
        if kind in KINDS:
            weight, bias = weights_of(kind, int(number))
            part.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
    return module


def run_eagerly(module: torch.nn.Module, sample: Sample) -> list[np.ndarray]:
    """What forward returns, as arrays."""
    # PyTorch compiles its while_loop even here; where an earlier loop had other extents, it would make them dynamic,
    # and its own check of what a loop carries then fails.
    with torch.no_grad(), torch._dynamo.config.patch(automatic_dynamic_shapes=False):
        found = module(*(torch.tensor(each) for each in sample.values()))
    return [np.asarray(each) for each in (found if isinstance(found, tuple) else (found,))]


def _equal(wanted: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> bool:
    return all(
        one.shape == other.shape and one.dtype == other.dtype
        and np.allclose(one, other, rtol=RELATIVE, atol=ABSOLUTE)
        for one, other in zip(wanted, found, strict=True)
    )  # fmt: skip


def _on_an_edge(module: torch.nn.Module, sample: Sample, wanted: Sequence[np.ndarray]) -> bool:
    """Whether inputs a rounding away give another result: then a decision is so close that it proves nothing."""
    moved = [{**sample, "vector": (sample["vector"] * (1 + each)).astype(np.float32)} for each in NEAR]
    return not all(_equal(wanted, run_eagerly(module, each)) for each in moved)


def compare(module: torch.nn.Module, model: Model, samples: Sequence[Sample]) -> int:
    """Compares all outputs of all samples; gives the number of those on an edge. Raises AssertionError else."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.proto.SerializeToString(), options)
    edges = 0
    for index, sample in enumerate(samples):
        wanted, found = run_eagerly(module, sample), session.run(None, sample)
        if _equal(wanted, found):
            continue
        assert _on_an_edge(module, sample, wanted), f"sample {index}: eager execution gives {wanted}, the model {found}"
        edges += 1
    return edges
