"""Adaptive computation time (Graves, 2016): a recurrent state is refined until its halting probabilities sum to one.

Easy images halt after few updates, hard ones think longer. Training is by the paper's loss: cross entropy of the mean
answer, weighted by halting probabilities, and a price for the number of updates.
"""

from __future__ import annotations

import torch
from layers import convolution
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

EPSILON, LONGEST = 0.01, 10
PRICE = 0.003
LEAK = 0.1


class AdaptiveHalting(nn.Module):
    """Image [1, 1, 16, 16] to logits [1, 10] and the number of updates."""

    def __init__(self, size: int = 64) -> None:
        super().__init__()
        self.size = size
        self.encode = nn.Sequential(
            convolution(1, 16, 2), convolution(16, 32, 2), convolution(32, 32, 2), nn.Flatten(), nn.Linear(128, size)
        )
        self.update = nn.Linear(2 * size, size)
        self.halt = nn.Linear(size, 1)
        self.head = nn.Linear(size, 10)

    def forward(self, image: Tensor) -> tuple[Tensor, int]:
        seen = torch.relu(self.encode(image))
        state = torch.zeros_like(seen)
        answer = torch.zeros_like(seen)
        halted = torch.zeros(1, 1)
        updates = 0
        while halted < 1 - EPSILON and updates < LONGEST:
            state = state + LEAK * (torch.tanh(self.update(torch.cat((seen, state), 1))) - state)
            probability = torch.sigmoid(self.halt(state))
            answer = answer + torch.minimum(probability, 1 - halted) * state
            halted = halted + probability
            updates += 1
        return self.head(answer), updates

    def loss(self, inputs: tuple[Tensor, ...], targets: Tensor, progress: float) -> Tensor:
        """Cross entropy of the weighted answer, and the price of the updates."""
        (image,) = inputs
        seen = torch.relu(self.encode(image))
        state = answer = torch.zeros_like(seen)
        halted = torch.zeros(len(image), 1)
        total = torch.zeros(())
        for _ in range(LONGEST):
            going = (halted < 1 - EPSILON).float()
            state = state + LEAK * (torch.tanh(self.update(torch.cat((seen, state), 1))) - state)
            probability = torch.sigmoid(self.halt(state)) * going
            answer = answer + going * torch.minimum(probability, 1 - halted) * state
            # The number of updates is no function with a slope; what is left over before the last one is (equation 12).
            total = total + (going * (1 + torch.clamp(1 - halted - probability, min=0))).mean()
            halted = halted + probability
        return cross_entropy(self.head(answer), targets) + PRICE * total

    def settle(self, inputs: tuple[Tensor, ...]) -> None:
        """Nothing: halting is learned."""
