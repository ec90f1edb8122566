"""Values of symbolic extents: one each, or several of which every combination is meant."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from weft.errors import ModelError, QuantizationError
from weft.frontend import Model
from weft_runtime.executable import TensorSignature
from weft_runtime.variants import MAX_VARIANTS

__all__ = ["ShapeChoices", "combinations", "extents_of_arrays", "require_extents"]

ShapeChoices = Mapping[str, int | Sequence[int]]


def combinations(shapes: ShapeChoices) -> list[dict[str, int]]:
    """Every combination of the values given, the first value of each first; values given twice count once.

    Raises ModelError where an extent has no value, and for more combinations than an artifact holds.
    """
    values = {
        name: list(dict.fromkeys(given)) if isinstance(given, Sequence) else [int(given)]
        for name, given in shapes.items()
    }
    for name, choices in values.items():
        if not choices:
            raise ModelError(f"the extent '{name}' is given no value; name at least one")
    count = math.prod(len(choices) for choices in values.values())
    if count > MAX_VARIANTS:
        raise ModelError(f"the extents have {count} combinations, more than the {MAX_VARIANTS} that can be compiled")
    return [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]


def extents_of_arrays(arrays: Mapping[str, object], signatures: Sequence[TensorSignature]) -> dict[str, int]:
    """Values of the symbolic extents behind the leading axes, as arrays have them. What does not fit the signatures
    is left to the checks that follow. A leading axis holds any number of samples and says nothing."""
    found: dict[str, int] = {}
    for signature in signatures:
        shape = np.shape(arrays[signature.name]) if signature.name in arrays else ()  # type: ignore[call-overload]
        if len(shape) != len(signature.shape):
            continue
        for symbol, extent in zip(signature.shape[1:], shape[1:], strict=True):
            if isinstance(symbol, str) and extent > 0:
                found.setdefault(symbol, int(extent))
    return found


def require_extents(model: Model, shapes: Mapping[str, int]) -> None:
    """Raises QuantizationError, naming it, where a symbolic extent other than a batch has no value: no random input
    can be made then."""
    batches = {value.shape[0] for value in model.inputs if value.shape}
    for value in model.inputs:
        for extent in value.shape:
            if isinstance(extent, str) and extent not in shapes and extent not in batches:
                raise QuantizationError(
                    f"{model.name}: input '{value.name}' leaves its extent '{extent}' open: give its size "
                    f"(--shape {extent}=SIZE), or samples to quantize the model with (--calibration FILE.npz)"
                )
