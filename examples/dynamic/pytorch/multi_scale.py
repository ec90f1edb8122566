"""Early exits over several scales: MSDNet (Huang et al., ICLR 2018) and RANet (Yang et al., CVPR 2020), made small.

Training and thresholds are those of early_exit.py: the sum of all classifiers' cross-entropies, then quantiles.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from exits import loss_of_all, thresholds_for_parts
from layers import Classifier, convolution
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

CLASSIFIERS = 4


class MultiScaleLayer(nn.Module):
    """A layer of MSDNet: each scale keeps its channels, and gets new ones from itself and the next finer scale."""

    def __init__(self, channels: list[int], growth: int) -> None:
        super().__init__()
        self.same = nn.ModuleList([convolution(count, growth) for count in channels])
        self.finer = nn.ModuleList([convolution(count, growth, 2) for count in channels[:-1]])

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        results = []
        for scale, same in enumerate(self.same):
            new = [features[scale], same(features[scale])]
            if scale > 0:
                new.append(self.finer[scale - 1](features[scale - 1]))
            results.append(torch.cat(new, 1))
        return results


class MultiScaleDense(nn.Module):
    """MSDNet: features at three scales in every layer, densely connected; classifiers on the coarsest scale.

    image [1, 1, 16, 16] to logits [1, 10].
    """

    def __init__(self, growth: int = 8) -> None:
        super().__init__()
        channels = [8, 12, 16]
        self.first = nn.ModuleList([convolution(1, 8), convolution(8, 12, 2), convolution(12, 16, 2)])
        self.layers = nn.ModuleList()
        self.classifiers = nn.ModuleList()
        for _ in range(CLASSIFIERS):
            self.layers.append(MultiScaleLayer(channels, growth))
            channels = [count + (2 if scale else 1) * growth for scale, count in enumerate(channels)]
            self.classifiers.append(Classifier(channels[-1], 4))
        self.register_buffer("thresholds", torch.full((CLASSIFIERS - 1,), 2.0))

    def start(self, image: Tensor) -> list[Tensor]:
        """The first features of all scales, finest first."""
        features = [self.first[0](image)]
        for layer in self.first[1:]:
            features.append(layer(features[-1]))
        return features

    def forward(self, image: Tensor) -> Tensor:
        features = self.start(image)
        for index in range(CLASSIFIERS):
            features = self.layers[index](features)
            logits = self.classifiers[index](features[-1])
            if index < CLASSIFIERS - 1 and logits.softmax(1).max().item() > self.thresholds[index]:
                break
        return logits

    def every_answer(self, image: Tensor) -> list[Tensor]:
        """The logits of all classifiers for a batch."""
        features, answers = self.start(image), []
        for layer, classifier in zip(self.layers, self.classifiers, strict=True):
            features = layer(features)
            answers.append(classifier(features[-1]))
        return answers

    def loss(self, inputs: tuple[Tensor, ...], targets: Tensor, progress: float) -> Tensor:
        """Of a batch."""
        return loss_of_all(self.every_answer(*inputs), targets)

    def settle(self, inputs: tuple[Tensor, ...]) -> None:
        """Thresholds with which 40 % of these inputs that come to a classifier leave."""
        self.thresholds.copy_(thresholds_for_parts(self.every_answer(*inputs), 0.4))


class SubNetwork(nn.Module):
    """A sub-network of RANet for one resolution: two stages, a classifier behind each.

    It starts from the image at its resolution, and from the coarser sub-network's last features, enlarged.
    """

    def __init__(self, coarser: int, width: int, size: int) -> None:
        super().__init__()
        self.first = convolution(1, width)
        self.stages = nn.ModuleList([convolution(width + coarser, width), convolution(width, width)])
        self.classifiers = nn.ModuleList([Classifier(width, size), Classifier(width, size)])


class ResolutionAdaptive(nn.Module):
    """RANet: easy images are answered at low resolution; harder ones go on to 8×8, then to 16×16 pixels.

    image [1, 1, 16, 16] to logits [1, 10].
    """

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.reductions = [4, 2, 1]
        coarser = [0, width, width]
        sizes = [16 // reduction for reduction in self.reductions]
        self.networks = nn.ModuleList(SubNetwork(*each) for each in zip(coarser, [width] * 3, sizes, strict=True))
        self.register_buffer("thresholds", torch.full((5,), 2.0))

    def begin(self, network: SubNetwork, image: Tensor, coarser: Tensor | None, reduction: int) -> Tensor:
        """What a sub-network's stages start from."""
        x = network.first(image if reduction == 1 else avg_pool2d(image, reduction))
        if coarser is None:
            return x
        return torch.cat((x, interpolate(coarser, scale_factor=2.0, mode="nearest")), 1)

    def sure(self, logits: Tensor, place: int) -> bool:
        """Whether a classifier's answer is final."""
        return place == len(self.thresholds) or bool(torch.softmax(logits, -1).max() > self.thresholds[place])

    def forward(self, image: Tensor) -> Tensor:
        features = None
        place = 0
        for network, reduction in zip(self.networks, self.reductions, strict=True):
            features = self.begin(network, image, features, reduction)
            for stage, classifier in zip(network.stages, network.classifiers, strict=True):
                features = stage(features)
                logits = classifier(features)
                if self.sure(logits, place):
                    return logits
                place += 1
        return logits

    def every_answer(self, image: Tensor) -> Iterator[Tensor]:
        """The logits of all classifiers for a batch."""
        features = None
        for network, reduction in zip(self.networks, self.reductions, strict=True):
            features = self.begin(network, image, features, reduction)
            for stage, classifier in zip(network.stages, network.classifiers, strict=True):
                features = stage(features)
                yield classifier(features)

    def loss(self, inputs: tuple[Tensor, ...], targets: Tensor, progress: float) -> Tensor:
        """Of a batch."""
        return loss_of_all(list(self.every_answer(*inputs)), targets)

    def settle(self, inputs: tuple[Tensor, ...]) -> None:
        """Thresholds with which a quarter, then equal parts, of these inputs leave at each classifier."""
        self.thresholds.copy_(thresholds_for_parts(list(self.every_answer(*inputs)), 0.25))
