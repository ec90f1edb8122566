"""The weights of random programs' layers: by kind and number, the same in every rendering."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

# Shape as PyTorch keeps it, and the standard deviation that keeps values within a few units over many layers.
KINDS: dict[str, tuple[tuple[int, ...], float]] = {
    "square": ((16, 16), 0.28), "score": ((1, 16), 0.6), "classes": ((4, 16), 0.6), "conv": ((4, 4, 3, 3), 0.2),
    "point": ((4, 4, 1, 1), 0.5), "depth": ((4, 1, 3, 3), 0.3), "entry": ((4, 1, 3, 3), 0.4), "flat": ((16, 64), 0.15),
}  # fmt: skip

Floats = npt.NDArray[np.float32]


@functools.lru_cache(maxsize=4096)
def weights_of(kind: str, layer: int) -> tuple[Floats, Floats]:
    """Weights and bias of a layer."""
    shape, scale = KINDS[kind]
    random = np.random.default_rng([layer, *kind.encode()])
    weight = (random.standard_normal(shape) * scale).astype(np.float32)
    return weight, (random.standard_normal(shape[0]) * 0.15).astype(np.float32)
