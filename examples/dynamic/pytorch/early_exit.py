"""Shallow-Deep networks (Kaya, Hong, Dumitras, ICML 2019): classifiers along the depth; the first sure one answers.

Training: the sum of all classifiers' cross-entropies, deeper ones weighing more. Thresholds: quantiles of the largest
probability over inputs that were not trained with, so that PART of those that come to a classifier leave (exits.py).
"""

from __future__ import annotations

import torch
from exits import loss_of_all, thresholds_for_parts
from layers import Classifier, Residual, convolution, depthwise_separable, residual_pair
from torch import Tensor, nn

PART = 0.4


class EarlyExit(nn.Module):
    """Stages with a classifier behind each: image [1, 1, 16, 16] to logits [1, 10]."""

    def __init__(self, stages: list[nn.Module], classifiers: list[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.classifiers = nn.ModuleList(classifiers)
        self.register_buffer("thresholds", torch.full((len(stages) - 1,), 2.0))

    def forward(self, image: Tensor) -> Tensor:
        x = image
        last = len(self.stages) - 1
        for index, (stage, classifier) in enumerate(zip(self.stages, self.classifiers, strict=True)):
            x = stage(x)
            logits = classifier(x)
            if index < last and logits.softmax(-1).max() > self.thresholds[index]:
                return logits
        return logits

    def every_answer(self, image: Tensor) -> list[Tensor]:
        """The logits of all classifiers for a batch."""
        answers, x = [], image
        for stage, classifier in zip(self.stages, self.classifiers, strict=True):
            x = stage(x)
            answers.append(classifier(x))
        return answers

    def loss(self, inputs: tuple[Tensor, ...], targets: Tensor, progress: float) -> Tensor:
        """Of a batch."""
        return loss_of_all(self.every_answer(*inputs), targets)

    def settle(self, inputs: tuple[Tensor, ...]) -> None:
        """Thresholds with which PART of these inputs that come to a classifier leave."""
        self.thresholds.copy_(thresholds_for_parts(self.every_answer(*inputs), PART))


class MobileNetExits(EarlyExit):
    """Depthwise separable blocks."""

    def __init__(self) -> None:
        super().__init__(
            [
                convolution(1, 16),
                nn.Sequential(depthwise_separable(16, 32), depthwise_separable(32, 32)),
                nn.Sequential(depthwise_separable(32, 64, 2), depthwise_separable(64, 64)),
                nn.Sequential(*(depthwise_separable(64, 64) for _ in range(3))),
            ],
            [Classifier(16, 16), Classifier(32, 16), Classifier(64, 8), Classifier(64, 8)],
        )


class VGGExits(EarlyExit):
    """Plain convolutions and maximum pooling."""

    def __init__(self) -> None:
        super().__init__(
            [
                convolution(1, 16),
                nn.Sequential(*(convolution(16, 16) for _ in range(3))),
                nn.Sequential(*(convolution(16, 16) for _ in range(3))),
                nn.Sequential(nn.MaxPool2d(2), convolution(16, 32), convolution(32, 32), convolution(32, 32)),
            ],
            [Classifier(16, 16), Classifier(16, 16), Classifier(16, 16), Classifier(32, 8)],
        )


class ResNetExits(EarlyExit):
    """Residual blocks."""

    def __init__(self) -> None:
        super().__init__(
            [convolution(1, 16), residual_pair(16), residual_pair(16), Residual(16, 32, 2)],
            [Classifier(16, 16), Classifier(16, 16), Classifier(16, 16), Classifier(32, 8)],
        )


class WideResNetExits(EarlyExit):
    """Few, wide residual blocks."""

    def __init__(self) -> None:
        super().__init__(
            [convolution(1, 16), Residual(16, 32), Residual(32, 48, 2)],
            [Classifier(16, 16), Classifier(32, 16), Classifier(48, 8)],
        )
