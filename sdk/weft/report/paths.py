"""Margins of decisions as text."""

from __future__ import annotations

from collections.abc import Sequence

from weft.dynamic import DecisionMargins

__all__ = ["MARGIN_LEGEND", "margin_notes"]

MARGIN_LEGEND = (
    "in parentheses: how far the decision was from falling otherwise, in the unit of what it compares; of a loop with "
    "several conditions the closest"
)


def margin_notes(margins: Sequence[Sequence[DecisionMargins]]) -> list[list[str]]:
    """By sample and decision what stands behind it: " (0.25)", of a loop with several conditions the closest."""
    return [[_note(each) for each in path] for path in margins]


def _note(margins: DecisionMargins) -> str:
    if margins.least is None:
        return ""
    return f" ({margins.least:.3g})"
