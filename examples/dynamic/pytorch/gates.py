"""Training and biases of gates that run or skip a block."""

from __future__ import annotations

import torch
from torch import Tensor

RANDOM_UNTIL = 0.35
"""The part of the training in which gates are drawn at random, so that every block is worth something."""
BALANCE = 4.0
"""What a gate that is open more or less often than it should be costs, for each squared part of the batch."""


def trained_gate(score: Tensor, share: float, progress: float) -> Tensor:
    """Gates of a batch, 0 or 1, for scores of any shape [n, …]: first at random, then where the score is positive.

    The gradient is the sigmoid's (straight-through estimation: Bengio, Léonard, Courville, 2013).
    """
    if progress < RANDOM_UNTIL:
        return (torch.rand_like(score) < share).to(score.dtype)
    soft = torch.sigmoid(score)
    return (score > 0).to(score.dtype) + soft - soft.detach()


def balance(gates: list[Tensor], share: float) -> Tensor:
    """The cost term: each gate shall be open for this share of a batch."""
    return BALANCE * torch.stack([(gate.mean(0) - share).square().mean() for gate in gates]).mean()


def bias_for(score: Tensor, share: float) -> Tensor:
    """What to add to the scores [n] of samples, so that they are positive for this share."""
    return -score.quantile(1 - share)
