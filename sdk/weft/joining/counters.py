"""States of a loop that count: each depends on the one before alone and begins at a constant, so that the iteration's
number tells it, and a condition on it tells how many iterations there are at most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from weft.conditions import Composite
from weft.conditions.trial import program_of
from weft.frontend.graph import is_standard
from weft.frontend.topology import used_names
from weft.ir.device_control import Unjoinable
from weft_runtime.errors import HostError
from weft_runtime.host import HostProgram

__all__ = ["Numbers", "parts_of_and", "restricted"]

PASSING = ("Identity", "Reshape", "Squeeze", "Unsqueeze")
MOST_ELEMENTS = 16


@dataclass
class Numbers:
    """What is known of a loop's iteration before it runs: by name the iteration's number, with its rank, and states
    that count, with their first values and what makes the next one."""

    index: str
    rank: int
    steps: dict[str, tuple[HostProgram, str, str]] = field(default_factory=dict)
    values: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(filter(None, (self.index, *self.values)))

    def add(self, parameter: str, first: Any, following: Composite) -> None:
        """A state that counts. Raises Unjoinable where it cannot be computed."""
        (given,) = following.inputs
        self.steps[parameter] = program_of(following.model, following.output), given, following.output
        self.values[parameter] = [first]

    def feeds(self, inputs: Mapping[str, str], number: int) -> dict[str, Any]:
        """Values in one iteration, for those inputs of a graph (the program's names by its own) that are known."""
        return {own: self.value(name, number) for own, name in inputs.items() if name in self.names}

    def value(self, name: str, number: int) -> Any:
        """A state, or the number, in one iteration. Raises Unjoinable."""
        if name == self.index:
            return np.full((1,) * self.rank, number, np.int64)
        values = self.values[name]
        while len(values) <= number:
            program, given, output = self.steps[name]
            try:
                values.append(program.run({given: values[-1]})[output])
            except HostError as error:
                raise Unjoinable(f"a state that counts cannot be computed: {error}") from error
        return values[number]

    def first_false(self, conditions: Iterable[Composite], most: int) -> int | None:
        """The first iteration after which one of the conditions does not hold; None where that is none of the first
        so many. Raises Unjoinable."""
        programs = [(program_of(each.model, each.output), each) for each in conditions]
        for number in range(most if programs else 0):
            for program, each in programs:
                try:
                    found = program.run(self.feeds(each.inputs, number))[each.output]
                except HostError as error:
                    raise Unjoinable(f"a condition on a state that counts cannot be computed: {error}") from error
                if not np.all(found):
                    return number
        return None


def parts_of_and(composite: Composite) -> list[Composite]:
    """The conditions whose And a composite is; itself where it is none."""
    makers = {name: node for node in composite.model.graph.node for name in node.output}
    waiting, parts = [composite.output], []
    while waiting:
        name = waiting.pop(0)
        node = makers.get(name)
        while node is not None and is_standard(node, *PASSING):
            name = node.input[0]
            node = makers.get(name)
        if node is not None and is_standard(node, "And"):
            waiting += node.input
        else:
            parts.append(name)
    return [restricted(composite, name) for name in parts] if len(parts) > 1 else [composite]


def restricted(composite: Composite, output: str) -> Composite:
    """What makes another tensor of a composite."""
    wanted, kept = {output}, []
    for node in reversed(composite.model.graph.node):
        if not wanted.isdisjoint(node.output):
            kept.append(node)
            wanted |= used_names(node)
    proto = onnx.ModelProto()
    proto.CopyFrom(composite.model)
    graph = proto.graph
    inputs = [each for each in composite.model.graph.input if each.name in wanted]
    constants = [each for each in composite.model.graph.initializer if each.name in wanted]
    del graph.node[:], graph.input[:], graph.output[:], graph.initializer[:]
    graph.node.extend(kept[::-1])
    graph.input.extend(inputs)
    graph.initializer.extend(constants)
    graph.output.append(onnx.ValueInfoProto(name=output))
    return Composite(proto, {each.name: composite.inputs[each.name] for each in inputs}, output)
