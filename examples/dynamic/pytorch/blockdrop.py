"""BlockDrop (Wu et al., CVPR 2018): a small policy network decides up front which blocks run.

Training: blocks are dropped at random at first, then as the policy says, with the sigmoid's gradient through its hard
decisions; a cost term (gates.py) draws each block to run for SHARE of a batch, with scores that differ (the paper:
reinforcement learning, a reward for dropped blocks). At last the policy's biases are set to the quantiles with which
each block runs for SHARE of the inputs that were not trained with.
"""

from __future__ import annotations

import torch
from gates import bias_for, gate_cost, trained_gate
from layers import Classifier, convolution, residual_pair
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

SHARE = 0.5
BLOCKS, CHANNELS = 5, 16


class Policy(nn.Module):
    """image [n, 1, 16, 16] to a score for each block [n, 5]."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.AvgPool2d(2), convolution(1, 12, 2), convolution(12, 16, 2), nn.Flatten())
        self.scores = nn.Linear(64, BLOCKS)

    def forward(self, image: Tensor) -> Tensor:
        return self.scores(self.features(image))


class BlockDrop(nn.Module):
    """Five pairs of residual blocks, each of which may be dropped: image [1, 1, 16, 16] to logits [1, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = Policy()
        self.stem = convolution(1, CHANNELS)
        self.blocks = nn.ModuleList([residual_pair(CHANNELS) for _ in range(BLOCKS)])
        self.classifier = Classifier(CHANNELS, 16)

    def forward(self, image: Tensor) -> Tensor:
        keep = torch.sigmoid(self.policy(image)).squeeze(0) > 0.5
        x = self.stem(image)
        for index, block in enumerate(self.blocks):
            if keep[index]:
                x = block(x)
        return self.classifier(x)

    def loss(self, inputs: tuple[Tensor, ...], targets: Tensor, progress: float) -> Tensor:
        """Of a batch; `progress` is the part of the training that is over."""
        (image,) = inputs
        scores = self.policy(image)
        keep = trained_gate(scores, SHARE, progress)
        x = self.stem(image)
        for index, block in enumerate(self.blocks):
            x = x + keep[:, index, None, None, None] * (block(x) - x)
        return cross_entropy(self.classifier(x), targets) + gate_cost(scores, SHARE)

    def settle(self, inputs: tuple[Tensor, ...]) -> None:
        """Biases with which each block runs for SHARE of these inputs."""
        scores = self.policy(*inputs)
        for index in range(BLOCKS):
            self.policy.scores.bias[index] += bias_for(scores[:, index], SHARE)
