"""Layers that the networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def convolution(inputs: int, outputs: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """3×3 convolution, batch normalization, ReLU."""
    layer = nn.Conv2d(inputs, outputs, 3, stride, 1, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


def depthwise_separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """MobileNet's block: a depthwise 3×3 and a pointwise convolution, each with normalization and ReLU."""
    pointwise = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())
    return nn.Sequential(convolution(inputs, inputs, stride, inputs), pointwise)


class Residual(nn.Module):
    """ResNet's basic block: shape [n, inputs, h, w] to [n, outputs, h/stride, w/stride]."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        last = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.body = nn.Sequential(convolution(inputs, outputs, stride), last)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def residual_pair(channels: int) -> nn.Sequential:
    """Two residual blocks that keep the shape: what one gate skips."""
    return nn.Sequential(Residual(channels, channels), Residual(channels, channels))


class Classifier(nn.Sequential):
    """Largest features of `parts`×`parts` parts, and logits: [n, channels, size, size] to [n, 10]."""

    def __init__(self, channels: int, size: int, parts: int = 2) -> None:
        super().__init__(nn.MaxPool2d(size // parts), nn.Flatten(), nn.Linear(channels * parts * parts, 10))
