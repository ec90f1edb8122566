"""SkipNet (Wang et al., ECCV 2018): a gate before each residual block decides by its input whether the block runs.

Training: gates are random at first, then hard ones with the sigmoid's gradient; a cost term draws each to be open for
SHARE of a batch (the paper has the same first step, and then reinforcement learning). At last each gate's bias is set
to the quantile with which it is open for SHARE of the inputs that were not trained with, one gate after the other.
"""

from __future__ import annotations

import torch
from gates import balance, bias_for, trained_gate
from layers import Classifier, Residual, convolution
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

SHARE = 0.6
CHANNELS = [16, 16, 24, 24]


def transitions() -> nn.ModuleList:
    """What always runs before each of the gated blocks: the image's first layer, and halving its extents."""
    return nn.ModuleList([convolution(1, 16), nn.Identity(), convolution(16, 24, 2), nn.Identity()])


class FeedForwardGate(nn.Module):
    """A score from pooled features: [n, channels, h, w] to [n, 1]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(channels, 12)
        self.score = nn.Linear(12, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(torch.relu(self.hidden(x.mean((2, 3)))))


class SkipNet(nn.Module):
    """Feed-forward gates: image [1, 1, 16, 16] to logits [1, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.transitions = transitions()
        self.gates = nn.ModuleList([FeedForwardGate(count) for count in CHANNELS])
        self.blocks = nn.ModuleList([Residual(count, count) for count in CHANNELS])
        self.classifier = Classifier(24, 8)

    def forward(self, image: Tensor) -> Tensor:
        x = image
        for transition, gate, block in zip(self.transitions, self.gates, self.blocks, strict=True):
            x = transition(x)
            if torch.sigmoid(gate(x)) > 0.5:
                x = block(x)
        return self.classifier(x)

    def loss(self, inputs: tuple[Tensor, ...], targets: Tensor, progress: float) -> Tensor:
        """Of a batch; `progress` is the part of the training that is over."""
        (x,), opened = inputs, []
        for transition, gate, block in zip(self.transitions, self.gates, self.blocks, strict=True):
            x = transition(x)
            opened.append(trained_gate(gate(x), SHARE, progress))
            x = x + opened[-1][:, :, None, None] * (block(x) - x)
        return cross_entropy(self.classifier(x), targets) + balance(opened, SHARE)

    def settle(self, inputs: tuple[Tensor, ...]) -> None:
        """Biases with which each gate is open for SHARE of these inputs."""
        (x,) = inputs
        for transition, gate, block in zip(self.transitions, self.gates, self.blocks, strict=True):
            x = transition(x)
            gate.score.bias += bias_for(gate(x)[:, 0], SHARE)
            x = torch.where(gate(x)[:, :, None, None] > 0, block(x), x)


class RecurrentSkipNet(nn.Module):
    """One recurrent gate for all blocks: an LSTM remembers what it has seen and decided.

    Its input is a projection of the pooled features. image [1, 1, 16, 16] to logits [1, 10].
    """

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.width = width
        self.transitions = transitions()
        self.projections = nn.ModuleList([nn.Linear(count, width) for count in CHANNELS])
        self.memory = nn.LSTMCell(width, width)
        self.scores = nn.ModuleList([nn.Linear(width, 1) for _ in CHANNELS])
        self.blocks = nn.ModuleList([Residual(count, count) for count in CHANNELS])
        self.classifier = Classifier(24, 8)

    def remember(self, index: int, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The memory after it has seen the input of a block."""
        return self.memory(self.projections[index](x.mean((2, 3))), state)

    def forward(self, image: Tensor) -> Tensor:
        x = image
        state = (torch.zeros(1, self.width), torch.zeros(1, self.width))
        for index, block in enumerate(self.blocks):
            x = self.transitions[index](x)
            state = self.remember(index, x, state)
            if self.scores[index](state[0]).item() > 0:
                x = block(x)
        return self.classifier(x)

    def loss(self, inputs: tuple[Tensor, ...], targets: Tensor, progress: float) -> Tensor:
        """Of a batch; `progress` is the part of the training that is over."""
        (x,), opened = inputs, []
        state = (x.new_zeros(len(x), self.width), x.new_zeros(len(x), self.width))
        for index, block in enumerate(self.blocks):
            x = self.transitions[index](x)
            state = self.remember(index, x, state)
            opened.append(trained_gate(self.scores[index](state[0]), SHARE, progress))
            x = x + opened[-1][:, :, None, None] * (block(x) - x)
        return cross_entropy(self.classifier(x), targets) + balance(opened, SHARE)

    def settle(self, inputs: tuple[Tensor, ...]) -> None:
        """Biases with which each gate is open for SHARE of these inputs."""
        (x,) = inputs
        state = (x.new_zeros(len(x), self.width), x.new_zeros(len(x), self.width))
        for index, (block, score) in enumerate(zip(self.blocks, self.scores, strict=True)):
            x = self.transitions[index](x)
            state = self.remember(index, x, state)
            score.bias += bias_for(score(state[0])[:, 0], SHARE)
            x = torch.where(score(state[0])[:, :, None, None] > 0, block(x), x)
