"""The numeric reference of a model with control flow: its integer graph, sub-network by sub-network."""

from __future__ import annotations

from weft.dynamic.assemble import assemble
from weft.dynamic.form import normalize_network
from weft.dynamic.split import split
from weft.frontend.integerize import integerize
from weft.frontend.model import Model

__all__ = ["integer_graph"]


def integer_graph(normalized: Model) -> Model:
    """The integer graph of a normalized model; where its control flow is taken apart, the model with integer
    sub-networks in its branches and bodies. Raises ModelError."""
    form = split(normalized).form
    if form is None:
        return integerize(normalized)
    return assemble(form.with_networks(tuple(integerize(normalize_network(each)) for each in form.networks)))
