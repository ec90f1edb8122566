"""Training and thresholds of networks that leave at the first classifier that is sure enough."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

SMOOTHING = 0.1
"""Of labels: without it nearly all confidences come close to 1, where 8 bits cannot tell them apart."""


def loss_of_all(answers: list[Tensor], targets: Tensor) -> Tensor:
    """The sum of all classifiers' cross-entropies for a batch, deeper ones weighing more."""
    losses = [cross_entropy(answer, targets, label_smoothing=SMOOTHING) for answer in answers]
    return torch.stack([(index + 1) / len(losses) * loss for index, loss in enumerate(losses)]).sum()


def thresholds_for_parts(answers: list[Tensor], part: float) -> Tensor:
    """Thresholds with which this part of the samples of a batch that come to a classifier leaves there; where that
    would keep most samples for the last classifiers, equally many for each.

    One after the other: of n classifiers that are left, the larger of `part` and 1/n of the samples that are left leave
    at the next one, so its threshold is that quantile of their confidence, the largest probability.
    """
    staying = torch.ones(len(answers[0]), dtype=torch.bool)
    thresholds = []
    for index, answer in enumerate(answers[:-1]):
        confidence = answer.softmax(-1).amax(-1)
        thresholds.append(confidence[staying].quantile(1 - max(part, 1 / (len(answers) - index))))
        staying &= confidence <= thresholds[-1]
    return torch.stack(thresholds)
