"""Seeded training of the suite's networks, and what they need for thresholds."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from suite_data import Array, Samples
from torch import Tensor, nn

BATCH = 50
NOISE = 0.05


class Trainable(Protocol):
    """What a network of the suite offers besides `forward`, which answers for one sample."""

    def loss(self, inputs: tuple[Tensor, ...], targets: Tensor, progress: float) -> Tensor:
        """The loss of a batch, with all exits and gates in it; `progress` is the part of the training that is over."""

    def settle(self, inputs: tuple[Tensor, ...]) -> None:
        """Sets thresholds and gate biases by what a batch of inputs shows that was not trained with."""


def tensors(samples: Samples) -> tuple[Tensor, ...]:
    """The inputs as a batch."""
    return tuple(torch.from_numpy(np.ascontiguousarray(rows)) for rows in samples.inputs.values())


def fit(network: nn.Module, samples: Samples, epochs: int, rate: float) -> None:
    """Adam with decoupled weight decay, one cycle of the learning rate, and noise on inputs that are real numbers.

    Afterwards weights (not biases, statistics or thresholds) are rounded to half precision, so that they are stored in
    half the space. Random numbers are PyTorch's: seed them before the network is built.
    """
    inputs, targets = tensors(samples), torch.from_numpy(samples.targets)
    steps = epochs * (len(samples) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    network.train()
    step = 0
    while step < steps:
        for chosen in torch.randperm(len(samples)).split(BATCH):
            if len(chosen) < BATCH or step == steps:
                break
            optimizer.zero_grad()
            network.loss(tuple(_noisy(each[chosen]) for each in inputs), targets[chosen], step / steps).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            step += 1
    network.eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.copy_(parameter.half().float())


def settle(network: nn.Module, samples: Samples) -> None:
    """Lets a network choose its thresholds by samples that were not trained with."""
    with torch.no_grad():
        network.eval().settle(tensors(samples))


def stored_weights(network: nn.Module) -> dict[str, Array]:
    """The network's state for numpy.savez: weights in half precision, where that is exact."""
    state = {name: each.numpy() for name, each in network.state_dict().items() if each.is_floating_point()}
    return {name: each.astype(np.float16) if _is_half(each) else each for name, each in state.items()}


def load_weights(network: nn.Module, stored: dict[str, Array]) -> None:
    """Puts stored weights into a network. Raises KeyError or RuntimeError where they are another network's."""
    state = network.state_dict()
    for name, each in state.items():
        if each.is_floating_point():
            state[name] = torch.from_numpy(stored[name].astype(np.float32))
    network.load_state_dict(state)


def _noisy(rows: Tensor) -> Tensor:
    return rows + NOISE * torch.randn_like(rows) if rows.is_floating_point() else rows


def _is_half(rows: Array) -> bool:
    return rows.ndim > 1 and bool((rows.astype(np.float16).astype(np.float32) == rows).all())
