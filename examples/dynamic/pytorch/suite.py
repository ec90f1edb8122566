"""The trained dynamic networks: where their source, their weights and their data are. Needs no PyTorch by itself."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from suite_data import Array, Data, digits

if TYPE_CHECKING:
    import torch

TRAINED = Path(__file__).resolve().parents[1] / "trained"


def right_class(answer: Array, target: Array) -> bool:
    """Whether the first output, logits [1, classes], is largest at the target."""
    return bool(answer.argmax() == target)


@dataclass(frozen=True)
class Entry:
    """A network: the class `builder` of the module `family` (plain PyTorch source), its data and its training.

    `decides` says in a few words what the path depends on. `correct` tells for the first output of one sample whether
    it is right.
    """

    name: str
    family: str
    builder: str
    decides: str
    data: Callable[[], Data] = digits
    epochs: int = 40
    rate: float = 4e-3
    seed: int = 1
    correct: Callable[[Array, Array], bool] = right_class

    @property
    def model(self) -> Path:
        """The ONNX model, trained."""
        return TRAINED / f"{self.name}.onnx"

    @property
    def weights(self) -> Path:
        """The same weights under PyTorch's names, as numpy.load reads them."""
        return TRAINED / f"{self.name}.npz"

    def build(self) -> torch.nn.Module:
        """The network with random weights. Needs PyTorch."""
        import torch

        torch.manual_seed(self.seed)
        network: torch.nn.Module = getattr(importlib.import_module(self.family), self.builder)()
        return network

    def trained(self) -> torch.nn.Module:
        """The network with its stored weights, in evaluation mode. Needs PyTorch."""
        from training import load_weights

        network = self.build()
        with np.load(self.weights, allow_pickle=False) as stored:
            load_weights(network, dict(stored))
        return network.eval()

    def examples(self) -> tuple[torch.Tensor, ...]:
        """Inputs of one sample, in the order of `forward`'s parameters. Needs PyTorch."""
        import torch

        return tuple(torch.from_numpy(rows.copy()) for rows in self.data().calibration.sample(0).values())


def _image(name: str, family: str, builder: str, decides: str, epochs: int = 40) -> Entry:
    return Entry(name, family, builder, decides, epochs=epochs)


IMAGE_NETWORKS = (
    _image("shallow_deep_mobilenet", "early_exit", "MobileNetExits", "confidence at each of four classifiers"),
    _image("shallow_deep_vgg", "early_exit", "VGGExits", "confidence at each of four classifiers"),
    _image("shallow_deep_resnet", "early_exit", "ResNetExits", "confidence at each of four classifiers"),
    _image("shallow_deep_wide_resnet", "early_exit", "WideResNetExits", "confidence at each of three classifiers"),
    _image("msdnet", "multi_scale", "MultiScaleDense", "confidence at each of four classifiers"),
    _image("ranet", "multi_scale", "ResolutionAdaptive", "confidence at each of six classifiers"),
    _image("skipnet", "skipnet", "SkipNet", "a gate before each of four blocks"),
    _image("skipnet_recurrent", "skipnet", "RecurrentSkipNet", "a recurrent gate before each of four blocks"),
    _image("blockdrop", "blockdrop", "BlockDrop", "a policy's score for each of five blocks"),
)

SUITE: dict[str, Entry] = {entry.name: entry for entry in IMAGE_NETWORKS}
