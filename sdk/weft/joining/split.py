"""Sub-networks cut behind what the host computes in them before any accelerator, so that the rest can be joined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from weft_runtime.control import Block, Branch, ControlFlow, Launch, Loop, Network, Statement
from weft_runtime.executable import Executable
from weft_runtime.steps import Step

__all__ = ["split_hosts"]


def split_hosts(executable: Executable, control: ControlFlow) -> ControlFlow:
    """The program with every sub-network that begins on the host and goes on elsewhere as two: the host graphs that
    wait for no accelerator, and the rest; constants of inner blocks come first of all. Bits and paths stay."""
    return _Splitter(executable, control).run()


class _Splitter:
    def __init__(self, executable: Executable, control: ControlFlow) -> None:
        self._executable = executable
        self._body = control.body
        self._networks = list(control.networks)
        self._halves: dict[int, tuple[int, int]] = {}
        self._fresh = 0

    def run(self) -> ControlFlow:
        for number, network in enumerate(tuple(self._networks)):
            first, rest = self._partition(network)
            if first and rest:
                self._halves[number] = self._cut(network, first, rest)
        constants: list[Statement] = []
        body = self._block(self._body, constants)
        return ControlFlow(tuple(self._networks), Block((*constants, *body.statements), body.results))

    def _names(self, step: Step) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What a step reads and makes."""
        if step.kind == "host":
            graph = self._executable.host_graphs[step.index]
            return graph.inputs, graph.outputs
        region = self._executable.regions[step.index]
        return tuple(each.name for each in region.inputs), tuple(each.name for each in region.outputs)

    def _partition(self, network: Network) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
        """Host graphs that wait for no accelerator, and the other steps."""
        first: list[Step] = []
        rest: list[Step] = []
        late: set[str] = set()
        for step in network.steps:
            reads, makes = self._names(step)
            if step.kind == "host" and late.isdisjoint(reads):
                first.append(step)
            else:
                rest.append(step)
                late.update(makes)
        return (tuple(first), tuple(rest)) if any(step.kind == "device" for step in rest) else ((), tuple(rest))

    def _cut(self, network: Network, first: tuple[Step, ...], rest: tuple[Step, ...]) -> tuple[int, int]:
        made = [name for step in first for name in self._names(step)[1]]
        read = {name for step in rest for name in self._names(step)[0]}
        crossing = tuple(name for name in made if name in read or name in network.outputs)
        reads_first = {name for step in first for name in self._names(step)[0]}
        before = Network(
            f"network_{len(self._networks)}", tuple(name for name in network.inputs if name in reads_first), crossing,
            first, 0,
        )  # fmt: skip
        inputs = tuple(name for name in network.inputs if name in read or name in network.outputs)
        after = Network(
            f"network_{len(self._networks) + 1}", (*inputs, *(name for name in crossing if name in read)),
            tuple(name for name in network.outputs if name not in made), rest, network.macs,
        )  # fmt: skip
        self._networks += [before, after]
        return len(self._networks) - 2, len(self._networks) - 1

    def _block(self, block: Block, constants: list[Statement]) -> Block:
        """The block without what it launches on nothing, which is added to the constants."""
        statements: list[Statement] = []
        for statement in block.statements:
            match statement:
                case Launch() if statement.network in self._halves:
                    statements += self._launches(statement)
                case Launch():
                    network = self._networks[statement.network]
                    free = not network.inputs and all(step.kind == "host" for step in network.steps)
                    (constants if free else statements).append(statement)
                case Branch():
                    then = self._block(statement.then, constants)
                    otherwise = self._block(statement.otherwise, constants)
                    statements.append(replace(statement, then=then, otherwise=otherwise))
                case Loop():
                    statements.append(replace(statement, body=self._block(statement.body, constants)))
                case _:
                    statements.append(statement)
        return Block(tuple(statements), block.results)

    def _launches(self, launch: Launch) -> tuple[Launch, Launch]:
        whole = self._networks[launch.network]
        names = dict(zip(whole.inputs, launch.inputs, strict=True))
        names |= dict(zip(whole.outputs, launch.outputs, strict=True))
        self._fresh += 1
        first, second = self._halves[launch.network]
        before, after = self._networks[first], self._networks[second]
        for name in before.outputs:
            names.setdefault(name, f"{name}/before/{self._fresh}")
        return _launch(first, before, names), _launch(second, after, names)


def _launch(number: int, network: Network, names: Mapping[str, str]) -> Launch:
    return Launch(
        number, tuple(names[name] for name in network.inputs), tuple(names[name] for name in network.outputs)
    )  # fmt: skip
