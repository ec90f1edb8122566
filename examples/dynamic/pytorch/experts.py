"""A mixture of experts of which one runs for each image, the one that a router ranks first.

Training: adaptive mixtures of local experts (Jacobs, Jordan, Nowlan, Hinton, 1991): the likelihood of the right answer
under the mixture, so experts compete for images; and a loss that spreads the images over all experts.
"""

from __future__ import annotations

import torch
from layers import convolution
from torch import Tensor, nn
from torch.nn.functional import one_hot

BALANCE = 1.0


def expert() -> nn.Sequential:
    """Features [n, 16, 4, 4] to logits [n, 10]."""
    classifier = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(96, 10))
    return nn.Sequential(convolution(16, 32), convolution(32, 24), classifier)


class MixtureOfExperts(nn.Module):
    """Image [1, 1, 16, 16] to logits [1, 10] and the expert that gave them."""

    def __init__(self, experts: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(1, 16, 2), nn.AvgPool2d(2))
        self.router = nn.Sequential(nn.Flatten(), nn.Linear(256, experts))
        self.experts = nn.ModuleList([expert() for _ in range(experts)])

    def forward(self, image: Tensor) -> tuple[Tensor, int]:
        x = self.stem(image)
        chosen = int(self.router(x).argmax())
        return self.experts[chosen](x), chosen

    def loss(self, inputs: tuple[Tensor, ...], targets: Tensor, progress: float) -> Tensor:
        """Minus the mixture's log likelihood, and how unevenly a batch is spread."""
        x = self.stem(*inputs)
        chosen = self.router(x).log_softmax(1)
        answers = torch.stack([expert(x).log_softmax(1) for expert in self.experts], 1)
        rows = torch.arange(len(targets))
        likelihood = (chosen + answers[rows, :, targets]).logsumexp(1)
        # The part of the batch that ranks an expert first, times its mean probability (Switch Transformers, eq. 4).
        first = one_hot(chosen.argmax(1), len(self.experts)).float().mean(0)
        uneven = len(self.experts) * (first * chosen.exp().mean(0)).sum()
        return BALANCE * (uneven - 1) - likelihood.mean()

    def settle(self, inputs: tuple[Tensor, ...]) -> None:
        """Nothing: all is learned."""
