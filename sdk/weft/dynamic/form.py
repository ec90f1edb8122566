"""The control-flow form as the compiler holds it: statements as in an executable, sub-networks as models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import onnx

from weft.dynamic.types import is_static
from weft.frontend.model import Model
from weft.frontend.normalize import normalize
from weft.frontend.passes.unique_names import UniqueNames
from weft_runtime.control import Block

__all__ = ["Form", "normalize_network"]


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


def normalize_network(network: Model) -> Model:
    """A sub-network in the form that the quantizer and the compiler expect. One whose inputs have unknown extents stays
    as it is, for the host: normalizing would bind them."""
    if all(is_static(value.type) for value in network.proto.graph.input):
        return normalize(network)
    return UniqueNames().run(network)
