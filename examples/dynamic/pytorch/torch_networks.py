"""Dynamic networks as plain PyTorch source: nothing here knows of Weft.

    import weft
    model = weft.from_torch(torch_networks.Captioner().eval(), (torch.zeros(1, 1, 8, 8),))

Each returns, besides its answer, which path it took. The images are 8×8, as scikit-learn's digits are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

START, STOP = 1, 0


def convolution(inputs: int, outputs: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch normalization, ReLU."""
    layers = nn.Conv2d(inputs, outputs, 3, stride, 1, groups=groups, bias=False)
    return nn.Sequential(layers, nn.BatchNorm2d(outputs), nn.ReLU())


class Captioner(nn.Module):
    """An LSTM decoder behind a convolutional encoder; it ends at the stop token."""

    def __init__(self, words: int = 6, longest: int = 10) -> None:
        super().__init__()
        self.longest = longest
        self.encoder = nn.Sequential(convolution(1, 8, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 12))
        self.embedding = nn.Embedding(words, 12)
        self.decoder = nn.LSTMCell(12, 12)
        self.scores = nn.Linear(12, words)

    def forward(self, image: Tensor) -> tuple[Tensor, int]:
        """Tokens, shape (1, longest), and how many there are."""
        hidden = torch.tanh(self.encoder(image))
        cell = torch.zeros_like(hidden)
        tokens = torch.full((1, self.longest), STOP)
        token = torch.full((1,), START)
        count = 0
        while count < self.longest:
            hidden, cell = self.decoder(self.embedding(token), (hidden, cell))
            token = self.scores(hidden).argmax(-1)
            if token.item() == STOP:
                break
            tokens[:, count] = token
            count += 1
        return tokens, count


class AdaptiveHalting(nn.Module):
    """Adaptive computation time: the state halts when its probabilities sum to one."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(64, 12)
        self.step = nn.Linear(12, 12)
        self.halt = nn.Linear(12, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, int]:
        """The weighted state and the number of steps."""
        x = torch.tanh(self.encode(image.flatten(1)))
        answer, halted, steps = torch.zeros_like(x), torch.zeros(()), 0
        while halted < 1 and steps < 12:
            x = torch.tanh(self.step(x))
            weight = torch.minimum(torch.sigmoid(self.halt(x)).squeeze() * 0.5, 1 - halted)
            answer = answer + weight * x
            halted = halted + weight
            steps += 1
        return answer, steps


class MixtureOfExperts(nn.Module):
    """One expert of four for each image."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(64, 4)
        self.experts = nn.ModuleList([nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)) for _ in range(4)])

    def forward(self, image: Tensor) -> tuple[Tensor, int]:
        """Logits and the expert."""
        x = image.flatten(1)
        chosen = int(self.gate(x).argmax())
        return self.experts[chosen](x), chosen


NETWORKS = (Captioner, AdaptiveHalting, MixtureOfExperts)
