"""The data of the trained networks: seeded, in three parts that share no sample. Needs NumPy and scikit-learn alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

Array = npt.NDArray[Any]

SEED = 11
TRAINING, CALIBRATION = 950, 300


@dataclass(frozen=True)
class Samples:
    """Inputs by the names of `forward`'s parameters, one sample per row, and what is to be found for each."""

    inputs: Mapping[str, Array]
    targets: Array

    def __len__(self) -> int:
        return len(self.targets)

    def sample(self, index: int) -> dict[str, Array]:
        """The inputs of one sample, with a leading extent of 1."""
        return {name: rows[index : index + 1] for name, rows in self.inputs.items()}

    def rows(self, first: int, behind: int) -> Samples:
        """The samples from `first` to before `behind`."""
        return Samples({name: rows[first:behind] for name, rows in self.inputs.items()}, self.targets[first:behind])


@dataclass(frozen=True)
class Data:
    """`training` fits the weights; `calibration` sets thresholds and the ranges of int8; `evaluation` (500 samples or
    more) is for neither."""

    training: Samples
    calibration: Samples
    evaluation: Samples


def parted(samples: Samples, training: int = TRAINING, calibration: int = CALIBRATION) -> Data:
    """The first samples for training, the next for calibration, all others for evaluation."""
    behind = training + calibration
    return Data(samples.rows(0, training), samples.rows(training, behind), samples.rows(behind, len(samples)))


@cache
def digits() -> Data:
    """scikit-learn's digits, shuffled by SEED, enlarged to 16×16 pixels by linear interpolation.

    Input `image`: float32 [n, 1, 16, 16] in 0..1; targets: int64 [n], the digit. 950 + 300 + 547 samples.
    """
    found = load_digits()
    order = np.random.default_rng(SEED).permutation(len(found.target))
    images = zoom(found.images[order, None] / 16, (1, 1, 2, 2), order=1).astype(np.float32)
    return parted(Samples({"image": images}, found.target[order].astype(np.int64)))
