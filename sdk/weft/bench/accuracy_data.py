"""The models and labelled data of `weft bench accuracy`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from weft.bench.photographs import crops, read_bitmap
from weft.errors import WeftError

__all__ = ["TASKS", "Fold", "Task"]

FloatArray = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
CALIBRATION = 100
IMAGE_FOLDS = 5
# As in examples/digits/data.py: the model was trained on what is not among the last 360.
DIGITS_SEED = 7
DIGITS_TEST = 360
DIGITS_CALIBRATION = 256


@dataclass(frozen=True)
class Fold:
    """Samples along the leading axis: some to calibrate with, and others to count on. `labels`: None where the
    float model's own answers are the right ones."""

    calibration: FloatArray
    samples: FloatArray
    labels: Labels | None


@dataclass(frozen=True)
class Task:
    """A model's file and its data; `load(models, inputs, examples)` finds both. `data`: a note on them.
    `has_goal`: whether its accuracy has to stay close to the float model's."""

    name: str
    data: str
    load: Callable[[Path, Path, Path], tuple[Path, tuple[Fold, ...]]]
    has_goal: bool = True


def _split(samples: FloatArray, labels: npt.NDArray[np.generic], count: int) -> tuple[Fold, ...]:
    return (Fold(samples[:count], samples[count:], labels[count:].astype(np.int64)),)


def _arrays(path: Path) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
    with np.load(_present(path), allow_pickle=False) as file:
        return file["x"], file["y"]


def _present(path: Path) -> Path:
    if not path.exists():
        raise WeftError(f"{path}: absent")
    return path


def _mnist(models: Path, inputs: Path, examples: Path) -> tuple[Path, tuple[Fold, ...]]:
    images, labels = _arrays(inputs / "mnist_1000.npz")
    samples = np.asarray(images[:, None], np.float32)
    return _present(models / "mnist_cntk/mnist.onnx"), _split(samples, labels, CALIBRATION)


def _hand_keypoint(models: Path, inputs: Path, examples: Path) -> tuple[Path, tuple[Fold, ...]]:
    samples, labels = _arrays(inputs / "hand_keypoint_1000.npz")
    model = _present(models / "hand_keypoint_mlp/keypoint_classifier.tf2onnx.onnx")
    return model, _split(np.asarray(samples, np.float32), labels, CALIBRATION)


CIFAR_CLASSES = ("airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _resnet8(models: Path, inputs: Path, examples: Path) -> tuple[Path, tuple[Fold, ...]]:
    files = sorted(_present(inputs / "cfu_imgc").glob("*.dat"))
    images = [np.frombuffer(file.read_bytes(), np.int8).reshape(32, 32, 3) for file in files]
    samples = np.stack(images).astype(np.float32) + np.float32(128)
    labels = np.asarray([CIFAR_CLASSES.index(file.stem.rpartition("_")[2]) for file in files], np.int64)
    return _present(models / "mlperf_resnet8/pretrainedResnet.tf2onnx.onnx"), tuple(_folds(samples, labels))


def _folds(samples: FloatArray, labels: Labels) -> Iterator[Fold]:
    places = np.arange(len(samples)) % IMAGE_FOLDS
    for fold in range(IMAGE_FOLDS):
        yield Fold(samples[places != fold], samples[places == fold], labels[places == fold])


def _digits(models: Path, inputs: Path, examples: Path) -> tuple[Path, tuple[Fold, ...]]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise WeftError("scikit-learn is not installed; pip install weft[demo]") from error
    data = load_digits()
    order = np.random.default_rng(DIGITS_SEED).permutation(len(data.target))
    images = (data.images[order, None] / 16.0).astype(np.float32)
    labels = np.asarray(data.target[order], np.int64)
    model = _present(examples / "digits/digits.onnx")
    fold = Fold(images[:DIGITS_CALIBRATION], images[-DIGITS_TEST:], labels[-DIGITS_TEST:])
    return model, (fold,)


PHOTOGRAPHS = ("grace_hopper.bmp", "cat.bmp")
MOBILENET_SIZE = 128


def _mobilenet(models: Path, inputs: Path, examples: Path) -> tuple[Path, tuple[Fold, ...]]:
    files = [_present(inputs / "images" / name) for name in PHOTOGRAPHS]
    images = np.concatenate([crops(read_bitmap(file), MOBILENET_SIZE, 2 * IMAGE_FOLDS) for file in files])
    samples = images.astype(np.float32) / np.float32(127.5) - np.float32(1)
    model = models / "coral_mobilenet_v1_025_128" / "mobilenet_v1_0.25_128_float_dequantised.onnx"
    return _present(model), tuple(Fold(samples[kind::2], samples[1 - kind :: 2], None) for kind in (0, 1))


TASKS = (
    Task("mnist_cntk", "100 digits to calibrate, the other 900 to count", _mnist),
    Task("hand_keypoint_mlp", "100 rows to calibrate, the other 900 to count", _hand_keypoint),
    Task("mlperf_resnet8", "10 images, five times 8 to calibrate and the other 2 to count", _resnet8),
    Task("digits example", "256 digits of the training split to calibrate, the 360 unseen ones to count", _digits),
    Task(
        "mobilenet_v1_0.25",
        "20 crops of 2 photographs, half to calibrate, half to count, and exchanged; right is the float model's answer",
        _mobilenet,
        has_goal=False,
    ),
)
"""What is measured, in this order."""
