"""Steps of execution, and signatures of tensors: what executables and control flow both consist of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Step", "TensorSignature"]


@dataclass(frozen=True)
class Step:
    """One step of execution: an index into an executable's `host_graphs` or `regions`."""

    kind: Literal["host", "device"]
    index: int


@dataclass(frozen=True)
class TensorSignature:
    """A model input or output. `dtype` is a NumPy name; symbolic dimensions are strings, a leading one is the
    batch."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
