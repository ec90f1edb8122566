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


def thresholds_for_equal_parts(answers: list[Tensor]) -> Tensor:
    """Thresholds with which equally many samples of a batch leave at each classifier.

    One after the other: of n classifiers that are left, 1/n of the samples that are left leave at the next one, so its
    threshold is the quantile 1 - 1/n of their confidence, the largest probability.
    """
    staying = torch.ones(len(answers[0]), dtype=torch.bool)
    thresholds = []
    for index, answer in enumerate(answers[:-1]):
        confidence = answer.softmax(-1).amax(-1)
        thresholds.append(confidence[staying].quantile(1 - 1 / (len(answers) - index)))
        staying &= confidence <= thresholds[-1]
    return torch.stack(thresholds)
