"""The trained dynamic networks: where their source, their weights and their data are. Needs no PyTorch by itself."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from sequence_data import captions, reversals, same_sequence
from suite_data import Array, Data, digits

if TYPE_CHECKING:
    import torch

    from weft import Model

TRAINED = Path(__file__).resolve().parents[1] / "trained"


def right_class(answer: Array, target: Array) -> bool:
    """Whether the first output, logits [1, classes], is largest at the target."""
    return bool(answer.argmax() == target)


@dataclass(frozen=True)
class Entry:
    """A network: the class `builder` of the module `family` (plain PyTorch source), its data and its training.

    `decides` says in a few words what the path depends on. `correct` tells for the first output of one sample whether
    it is right. `way` is how Weft gets the program: its source, or what torch.export makes of it.
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
    way: Literal["source", "torch.export"] = "source"

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

    def converted(self) -> Model:
        """What Weft makes of the trained network. Needs PyTorch and Weft."""
        import torch

        import weft

        if self.way == "source":
            return weft.from_torch(self.trained(), self.examples())
        return weft.from_torch(torch.export.export(self.trained(), self.examples()))


def _image(name: str, family: str, builder: str, decides: str, epochs: int = 40) -> Entry:
    return Entry(name, family, builder, decides, epochs=epochs)


def _nested(name: str, builder: str, decides: str) -> Entry:
    return Entry(name, "nested_loops", builder, decides, epochs=30, rate=6e-3)


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

SEQUENCE_NETWORKS = (
    Entry(
        "captioner", "captioner", "Captioner", "the stop token, or room for five words",
        captions, epochs=60, rate=6e-3, correct=same_sequence,
    ),
    Entry(
        "decoder", "decoder", "ReversingDecoder", "the stop token, or room for eight symbols",
        reversals, epochs=9, rate=8e-3, correct=same_sequence,
    ),
    Entry("halting", "halting", "AdaptiveHalting", "the sum of halting probabilities", epochs=30, rate=6e-3),
    Entry("experts", "experts", "MixtureOfExperts", "the router's choice of four experts", epochs=30, rate=6e-3),
    _nested("if_in_while", "IfInWhile", "confidence, and in each round a gate on the state"),
    _nested("while_in_if", "WhileInIf", "a gate on the image, then confidence"),
    replace(_nested("cond_in_while_loop", "CondInWhileLoop", "as if_in_while, by torch.export"), way="torch.export"),
    replace(_nested("while_loop_in_cond", "WhileLoopInCond", "as while_in_if, by torch.export"), way="torch.export"),
)  # fmt: skip

SUITE: dict[str, Entry] = {entry.name: entry for entry in (*IMAGE_NETWORKS, *SEQUENCE_NETWORKS)}
