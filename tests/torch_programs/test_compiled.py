"""From PyTorch source to the accelerator: the answers of eager execution, as near as 8 bits give them."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch (weft[torch]) is absent")
pytest.importorskip("sklearn")

from suite import SUITE  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402

import weft  # noqa: E402

INPUTS = 20


@pytest.mark.parametrize("name", ["experts", "shallow_deep_vgg"])
def test_compiled_network_answers_as_eager_execution(name: str) -> None:
    entry = SUITE[name]
    data, module = entry.data(), entry.trained()
    program = weft.compile(weft.quantize(entry.converted(), dict(data.calibration.inputs)))
    agreeing = 0
    with weft.Session(program, device="golden") as session, torch.no_grad():
        for index in range(INPUTS):
            sample = data.evaluation.sample(index)
            wanted = pytree.tree_leaves(module(*(torch.from_numpy(rows.copy()) for rows in sample.values())))
            found = session.run(sample).values()
            agreeing += all(map(near, found, map(np.asarray, wanted)))
    # Rounding to 8 bits may flip a decision that eager execution takes by a hair.
    assert agreeing >= 0.9 * INPUTS


def near(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether numbers of a path are equal, and answers within 5 % of the largest."""
    tolerance = 0.05 * np.abs(wanted).max() if np.issubdtype(wanted.dtype, np.floating) else 0
    return bool(np.abs(found - wanted).max() <= tolerance)
