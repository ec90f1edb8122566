"""From PyTorch source to the accelerator: the compiled program takes eager execution's paths."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch (weft[torch]) is absent")

import torch_networks  # noqa: E402
from comparison import draw  # noqa: E402

import weft  # noqa: E402

SHAPE = (1, 1, 8, 8)


@pytest.mark.parametrize("network", [torch_networks.MixtureOfExperts, torch_networks.AdaptiveHalting])
def test_compiled_network_takes_the_same_paths(network: type) -> None:
    torch.manual_seed(2)
    module = network().eval()
    samples = draw((SHAPE,), 12)
    model = weft.from_torch(module, (torch.zeros(SHAPE),))
    quantized = weft.quantize(model, calibration=[{"image": sample.numpy()} for (sample,) in samples])
    agreeing = 0
    with weft.Session(weft.compile(quantized), device="golden") as session:
        for (sample,) in samples:
            found = session.run({"image": sample.numpy()})
            with torch.no_grad():
                answer, path = module(sample)
            if int(found["output_1"]) == path:
                agreeing += 1
                np.testing.assert_allclose(found["output_0"], answer.numpy(), atol=0.05)
    # Rounding to 8 bits may flip a decision that eager execution takes by a hair.
    assert agreeing >= 10
