"""SkipNet (Wang et al., ECCV 2018): gates before residual blocks decide by their input whether these run.

Training: gates are random at first, then hard ones with the sigmoid's gradient; a cost term (gates.py) draws each to be
open for SHARE of a batch, with scores that differ (the paper has the same first step, and then reinforcement learning).
At last each gate's bias is set to the quantile with which it is open for SHARE of the inputs that were not trained
with, one gate after the other.
"""

from __future__ import annotations

import torch
from gates import bias_for, gate_cost, trained_gate
from layers import Classifier, convolution, residual_pair
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, max_pool2d

SHARE = 0.5
BLOCKS, CHANNELS = 4, 16


def seen(x: Tensor) -> Tensor:
    """What gates see of features [n, 16, 16, 16]: the largest ones of each 4×4 pixels, [n, 256]."""
    return max_pool2d(x, 4).flatten(1)


class SkipNet(nn.Module):
    """Feed-forward gates before pairs of residual blocks: image [1, 1, 16, 16] to logits [1, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = convolution(1, CHANNELS)
        self.gates = nn.ModuleList([nn.Linear(16 * CHANNELS, 1) for _ in range(BLOCKS)])
        self.blocks = nn.ModuleList([residual_pair(CHANNELS) for _ in range(BLOCKS)])
        self.classifier = Classifier(CHANNELS, 16)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        for gate, block in zip(self.gates, self.blocks, strict=True):
            if torch.sigmoid(gate(seen(x))) > 0.5:
                x = block(x)
        return self.classifier(x)

    def loss(self, inputs: tuple[Tensor, ...], targets: Tensor, progress: float) -> Tensor:
        """Of a batch; `progress` is the part of the training that is over."""
        x, scores = self.stem(*inputs), []
        for gate, block in zip(self.gates, self.blocks, strict=True):
            scores.append(gate(seen(x)))
            x = x + trained_gate(scores[-1], SHARE, progress)[:, :, None, None] * (block(x) - x)
        return cross_entropy(self.classifier(x), targets) + gate_cost(torch.cat(scores, 1), SHARE)

    def settle(self, inputs: tuple[Tensor, ...]) -> None:
        """Biases with which each gate is open for SHARE of these inputs."""
        x = self.stem(*inputs)
        for gate, block in zip(self.gates, self.blocks, strict=True):
            gate.bias += bias_for(gate(seen(x))[:, 0], SHARE)
            x = torch.where(gate(seen(x))[:, :, None, None] > 0, block(x), x)


class RecurrentSkipNet(nn.Module):
    """One recurrent gate for all blocks: an LSTM remembers what it has seen and decided.

    Its input is a projection of pooled features. image [1, 1, 16, 16] to logits [1, 10].
    """

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.width = width
        self.stem = convolution(1, CHANNELS)
        self.projection = nn.Linear(CHANNELS, width)
        self.memory = nn.LSTMCell(width, width)
        self.scores = nn.ModuleList([nn.Linear(width, 1) for _ in range(BLOCKS)])
        self.blocks = nn.ModuleList([residual_pair(CHANNELS) for _ in range(BLOCKS)])
        self.classifier = Classifier(CHANNELS, 16)

    def remember(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The memory after it has seen the input of a block."""
        return self.memory(self.projection(max_pool2d(x, 4).mean((2, 3))), state)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        state = (torch.zeros(1, self.width), torch.zeros(1, self.width))
        for score, block in zip(self.scores, self.blocks, strict=True):
            state = self.remember(x, state)
            if score(state[0]).item() > 0:
                x = block(x)
        return self.classifier(x)

    def loss(self, inputs: tuple[Tensor, ...], targets: Tensor, progress: float) -> Tensor:
        """Of a batch; `progress` is the part of the training that is over."""
        x, scores = self.stem(*inputs), []
        state = (x.new_zeros(len(x), self.width), x.new_zeros(len(x), self.width))
        for score, block in zip(self.scores, self.blocks, strict=True):
            state = self.remember(x, state)
            scores.append(score(state[0]))
            x = x + trained_gate(scores[-1], SHARE, progress)[:, :, None, None] * (block(x) - x)
        return cross_entropy(self.classifier(x), targets) + gate_cost(torch.cat(scores, 1), SHARE)

    def settle(self, inputs: tuple[Tensor, ...]) -> None:
        """Biases with which each gate is open for SHARE of these inputs."""
        x = self.stem(*inputs)
        state = (x.new_zeros(len(x), self.width), x.new_zeros(len(x), self.width))
        for score, block in zip(self.scores, self.blocks, strict=True):
            state = self.remember(x, state)
            score.bias += bias_for(score(state[0])[:, 0], SHARE)
            x = torch.where(score(state[0])[:, :, None, None] > 0, block(x), x)
