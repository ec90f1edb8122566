"""What only decisions depend on: the backward slice of all conditions without that of the model's outputs."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from weft.dynamic.form import Form
from weft.frontend.topology import used_names
from weft_runtime.control import Branch, Launch, Loop, Statement, statements_within

__all__ = ["gate_nodes"]


def gate_nodes(form: Form) -> tuple[frozenset[str], ...]:
    """For each sub-network the names of its nodes from which data lead to a condition or a number of iterations, but to
    no output of the model. A state that a loop hands on is followed around the loop, so a recurrent gate's own state
    belongs to the gate."""
    slicer = _Slicer(form)
    slicer.run()
    return tuple(
        frozenset(node.name for place, node in enumerate(network.proto.graph.node) if place not in kept)
        for network, kept in zip(form.networks, slicer.kept, strict=True)
    )


class _Slicer:
    """`needed` are the values that lead to the model's outputs, `kept` the nodes by sub-network that do."""

    def __init__(self, form: Form) -> None:
        self.needed = set(form.body.results)
        self.kept: list[set[int]] = [set() for _ in form.networks]
        self._form = form

    def run(self) -> None:
        """Follows values backwards until a round finds nothing new: loops lead from their bodies' ends to the
        beginnings."""
        statements = list(statements_within(self._form.body))[::-1]
        before = -1
        while len(self.needed) != before:
            before = len(self.needed)
            for statement in statements:
                self._follow(statement)

    def _follow(self, statement: Statement) -> None:
        match statement:
            case Launch():
                self._launch(statement)
            case Branch():
                results = zip(statement.results, statement.then.results, statement.otherwise.results, strict=True)
                for name, ours, theirs in results:
                    if name in self.needed:
                        self.needed |= {ours, theirs}
            case Loop():
                self._loop(statement)

    def _loop(self, loop: Loop) -> None:
        states = zip(loop.results, loop.parameters, loop.initial, loop.body.results, strict=False)
        for result, parameter, initial, following in states:
            if result in self.needed or parameter in self.needed:
                self.needed |= {initial, following}
        for signature, slices in zip(loop.stacked, loop.body.results[len(loop.results) :], strict=True):
            if signature.name in self.needed:
                self.needed.add(slices)

    def _launch(self, launch: Launch) -> None:
        graph = self._form.networks[launch.network].proto.graph
        outputs = zip((value.name for value in graph.output), launch.outputs, strict=True)
        wanted = {own for own, name in outputs if name in self.needed}
        self.kept[launch.network] |= _behind(graph.node, wanted)
        inputs = zip((value.name for value in graph.input), launch.inputs, strict=True)
        self.needed |= {name for own, name in inputs if own in wanted}


def _behind(nodes: Sequence[onnx.NodeProto], wanted: set[str]) -> set[int]:
    """The places of the nodes, given in topological order, that these names depend on. Adds what they read to the
    names."""
    found = set()
    for place in reversed(range(len(nodes))):
        if not wanted.isdisjoint(nodes[place].output):
            wanted |= used_names(nodes[place])
            found.add(place)
    return found
