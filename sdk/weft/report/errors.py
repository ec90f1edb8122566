"""Errors of reports."""

from __future__ import annotations

from weft_sim.errors import WeftError

__all__ = ["ReportError"]


class ReportError(WeftError):
    """A report that cannot be made from what a run recorded, or that cannot be written."""
