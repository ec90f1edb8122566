"""The control-flow form as the compiler holds it: statements as in an executable, sub-networks as models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import onnx

from weft.frontend.model import Model
from weft_runtime.control import Block

__all__ = ["Form", "Refused"]


class Refused(Exception):
    """Why an If, Loop or Scan stays whole, for the host."""


@dataclass(frozen=True)
class Form:
    """`networks` are what launches refer to; a sub-network's inputs and outputs carry the program's own names. `types`
    holds the type of every value; `model` is what the form was made of, for its inputs, outputs and operator sets."""

    model: Model
    networks: tuple[Model, ...]
    body: Block
    types: Mapping[str, onnx.TypeProto]

    def with_networks(self, networks: tuple[Model, ...]) -> Form:
        """The same program around other sub-networks."""
        return replace(self, networks=networks)
