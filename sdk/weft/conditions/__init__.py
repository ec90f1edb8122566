"""Conditions as what an accelerator can compute: a number made of a stored tensor, and a comparison."""

from __future__ import annotations

from weft.conditions.deferred import Composite, DeferredValues
from weft.conditions.outcome import Condition, condition_of

__all__ = ["Composite", "Condition", "DeferredValues", "condition_of"]
