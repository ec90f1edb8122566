"""scikit-learn's handwritten digits (1,797 images of 8×8 pixels) in a fixed split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

SPLIT_SEED = 7
TEST_IMAGES = 360


@dataclass(frozen=True)
class Digits:
    """Images float32 [n, 1, 8, 8] in 0..1, labels int64 [n]."""

    train_images: npt.NDArray[np.float32]
    train_labels: npt.NDArray[Any]
    test_images: npt.NDArray[np.float32]
    test_labels: npt.NDArray[Any]


def load_split() -> Digits:
    """A seeded shuffle; the last TEST_IMAGES images are the test split, never used for training or calibration."""
    data = load_digits()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(data.target))
    images = (data.images[order, None] / 16.0).astype(np.float32)
    labels = data.target[order].astype(np.int64)
    return Digits(images[:-TEST_IMAGES], labels[:-TEST_IMAGES], images[-TEST_IMAGES:], labels[-TEST_IMAGES:])
