"""The example networks give what PyTorch gives, on every path they take."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch (weft[torch]) is absent")

import torch_networks  # noqa: E402
from comparison import compare, draw  # noqa: E402

import weft  # noqa: E402

SHAPE = (1, 1, 8, 8)


def spread(module: torch.nn.Module) -> None:
    """Weights with which untrained networks decide differently for different samples."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)


@pytest.mark.parametrize("network", torch_networks.NETWORKS, ids=lambda network: network.__name__)
def test_network(network: type) -> None:
    torch.manual_seed(2)
    module = network().eval()
    samples = draw((SHAPE,), 100)
    spread(module)
    paths = compare(module, weft.from_torch(module, (torch.zeros(SHAPE),)), samples)
    assert len(paths) >= 2
