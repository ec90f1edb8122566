"""The stored networks as examples: models with their inputs, as examples/dynamic/networks.py has them. No PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx
from suite import SUITE
from suite_data import Array


@dataclass(frozen=True)
class StoredNetwork:
    """A trained model and its inputs, one sample per row: those for calibration first, then those for evaluation."""

    model: onnx.ModelProto
    inputs: Mapping[str, Array]


def stored(name: str) -> StoredNetwork:
    """A network of the suite. Raises OSError where it has not been trained."""
    data = SUITE[name].data()
    parts = (data.calibration.inputs, data.evaluation.inputs)
    inputs = {key: np.concatenate([each[key] for each in parts]) for key in parts[0]}
    return StoredNetwork(onnx.load(SUITE[name].model), inputs)


STORED: dict[str, Callable[[], StoredNetwork]] = {f"trained/{name}": partial(stored, name) for name in SUITE}
