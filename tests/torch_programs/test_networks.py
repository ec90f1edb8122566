"""The example networks give what PyTorch gives, on every path they take."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch (weft[torch]) is absent")

import torch_networks  # noqa: E402
from comparison import compare, draw  # noqa: E402

import weft  # noqa: E402

SHAPE = (1, 1, 8, 8)


def spread(module: torch.nn.Module, samples: list[tuple[torch.Tensor, ...]]) -> None:
    """Weights and a threshold with which untrained networks decide differently for different samples."""

    def paths(threshold: float) -> int:
        module.threshold = threshold
        return len({module(*sample)[1] for sample in samples})

    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
        for gate in getattr(module, "gates", ()):
            gate.bias.zero_()
            gate.weight.sub_(gate.weight.mean())
        if hasattr(module, "threshold"):
            module.threshold = max((0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8), key=paths)


@pytest.mark.parametrize("network", torch_networks.NETWORKS, ids=lambda network: network.__name__)
def test_network(network: type) -> None:
    torch.manual_seed(2)
    module = network().eval()
    samples = draw((SHAPE,), 100)
    spread(module, samples)
    paths = compare(module, weft.from_torch(module, (torch.zeros(SHAPE),)), samples)
    assert len(paths) >= 2
