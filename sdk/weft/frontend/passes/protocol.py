"""What a pass is."""

from __future__ import annotations

from typing import Protocol

from weft.frontend.model import Model


class Pass(Protocol):
    """A function from model to model that keeps what the model computes. Options are frozen fields."""

    @property
    def name(self) -> str:
        """The pass's name, in messages and reports."""
        ...

    def run(self, model: Model) -> Model:
        """The rewritten model; `model` itself stays untouched. Raises ModelError naming node or tensor."""
        ...
