"""Training and biases of gates that run or skip a block."""

from __future__ import annotations

import torch
from torch import Tensor

RANDOM_UNTIL = 0.35
"""The part of the training in which gates are drawn at random, so that every block is worth something."""
BALANCE, SPREAD, ALIKE = 4.0, 2.0, 1.0
"""What it costs if a gate is open more or less often than it should be, for each squared part of the batch; the
standard deviation in a batch that scores shall have, as close ones would be decided by rounding to 8 bits; and what it
costs if two gates decide alike, for each squared correlation of their scores."""


def trained_gate(score: Tensor, share: float, progress: float) -> Tensor:
    """Gates of a batch, 0 or 1, for scores of any shape [n, …]: first at random, then where the score is positive.

    The gradient is the sigmoid's (straight-through estimation: Bengio, Léonard, Courville, 2013).
    """
    if progress < RANDOM_UNTIL:
        return (torch.rand_like(score) < share).to(score.dtype)
    return _hard(score)


def gate_cost(scores: Tensor, share: float) -> Tensor:
    """The cost term of a batch with scores [n, gates]: each gate shall be open for this share of it, its scores shall
    differ, and so shall gates."""
    unbalanced = (_hard(scores).mean(0) - share).square().mean()
    deviation = scores.std(0)
    normal = (scores - scores.mean(0)) / (deviation + 1e-3)
    correlation = normal.T @ normal / len(scores)
    alike = (correlation - torch.diag(correlation.diag())).square().mean()
    return BALANCE * unbalanced + torch.relu(1 - deviation / SPREAD).mean() + ALIKE * alike


def bias_for(score: Tensor, share: float) -> Tensor:
    """What to add to the scores [n] of samples, so that they are positive for this share."""
    return -score.quantile(1 - share)


def _hard(score: Tensor) -> Tensor:
    soft = torch.sigmoid(score)
    return (score > 0).to(score.dtype) + soft - soft.detach()
