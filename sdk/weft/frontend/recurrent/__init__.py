"""LSTM, GRU and RNN of float models written as products and functions of one value."""

from __future__ import annotations

from weft.frontend.recurrent.spec import Recurrence, Unsupported, read_recurrence
from weft.frontend.recurrent.unroll import cost, unroll

__all__ = ["Recurrence", "Unsupported", "cost", "read_recurrence", "unroll"]
