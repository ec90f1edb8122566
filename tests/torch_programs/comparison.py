"""The oracle of these tests: PyTorch itself, run eagerly on the original module, against ONNX Runtime on the model."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnxruntime
import torch
from torch.utils import _pytree as pytree

from weft.frontend import Model

RELATIVE, ABSOLUTE = 1e-4, 1e-5
torch.set_num_threads(1)  # two threads on such small tensors wait for each other most of the time


def sessions(model: Model) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.proto.SerializeToString(), options)


def compare(
    module: torch.nn.Module, model: Model, samples: list[tuple[torch.Tensor, ...]]
) -> Counter[tuple[object, ...]]:
    """Runs both on every sample and compares every output; gives how often each combination of numbers came out.

    Numbers are outputs that eager execution gives as Python numbers: the tests' modules say by them which path they
    took.
    """
    session = sessions(model)
    names = [entry.name for entry in session.get_inputs()]
    paths: Counter[tuple[object, ...]] = Counter()
    for sample in samples:
        with torch.no_grad():
            wanted = pytree.tree_leaves(module(*(each.clone() for each in sample)))
        found = session.run(None, {name: each.numpy() for name, each in zip(names, sample, strict=True)})
        assert len(found) == len(wanted)
        for expected, got in zip(wanted, found, strict=True):
            array = expected.detach().numpy() if isinstance(expected, torch.Tensor) else np.asarray(expected)
            assert array.dtype == got.dtype
            assert array.shape == got.shape
            np.testing.assert_allclose(got, array, rtol=RELATIVE, atol=ABSOLUTE)
        paths[tuple(each for each in wanted if not isinstance(each, torch.Tensor))] += 1
    return paths


def draw(shapes: tuple[tuple[int, ...], ...], count: int, seed: int = 0) -> list[tuple[torch.Tensor, ...]]:
    """Seeded standard normal samples."""
    generator = torch.Generator().manual_seed(seed)
    return [tuple(torch.randn(shape, generator=generator) for shape in shapes) for _ in range(count)]
