"""Decisions given to the accelerator: sub-networks and the Ifs between them become one launch where that can be."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from weft.backends import Accelerator
from weft.drivers import Drivers
from weft.dynamic.rewrite import with_networks
from weft.ir.device_control import Decide, JoinRequest, Piece, Repeat, Sequence, Unjoinable
from weft_runtime.control import (
    Block,
    Branch,
    ControlFlow,
    Launch,
    Loop,
    Network,
    ReadScalar,
    Statement,
    blocks_within,
    read_by,
    statements_within,
)
from weft_runtime.executable import Executable, HostGraph, Region, Step, TensorBinding
from weft_runtime.host import HostProgram

__all__ = ["join_decisions"]

MOST_ROUNDS = 255


def join_decisions(executable: Executable, accelerators: Listing[Accelerator], drivers: Drivers) -> Executable:
    """The executable with every run of sub-networks and Ifs that its accelerator can decide by itself as one launch.

    An If can be decided there when its condition is a function of one stored element that is false up to some value and
    true from it on, or the other way round (found by trying all 256 values), and when both branches run on the same
    accelerator alone; likewise a Loop whose count is a small constant, and whose body decides nothing else. What cannot
    be joined, or what `drivers` takes for cheaper that way, stays as it is, for the host to decide.
    """
    if executable.control is None:
        return executable
    joiner = _Joining(executable, accelerators, drivers)
    body = joiner.block(executable.control.body)
    if not joiner.joined:
        return executable
    return _pruned(replace(
        executable, regions=tuple(joiner.regions), control=ControlFlow(tuple(joiner.networks), body),
    ), joiner.joined)  # fmt: skip


@dataclass(frozen=True)
class _Taken:
    """Statements as steps of a joined program."""

    count: int
    steps: tuple[Piece | Decide | Repeat, ...]


class _Condition(NamedTuple):
    """Regions that compute a stored element, its name, where the condition changes, and whether it holds from there
    on."""

    pieces: tuple[Piece, ...]
    tensor: str
    threshold: int
    holds_above: bool


class _Joining:
    def __init__(self, executable: Executable, accelerators: Listing[Accelerator], drivers: Drivers) -> None:
        assert executable.control is not None
        self._drivers = drivers
        self.networks: list[Network] = list(executable.control.networks)
        self.regions: list[Region] = list(executable.regions)
        self.joined: dict[str, str] = {}
        self._hosts = executable.host_graphs
        self._accelerators = accelerators
        self._thresholds: dict[str, tuple[int, bool]] = {}
        self._fresh = 0
        self._reads: dict[str, int] = {}
        for statement in statements_within(executable.control.body):
            for name in read_by(statement):
                self._reads[name] = self._reads.get(name, 0) + 1
        self._constant, self._counts = self._constant_counts(executable.control.body)

    def block(self, block: Block) -> Block:
        """The block with joined launches in it, and in the blocks inside."""
        statements: list[Statement] = []
        waiting = _constants_first(block.statements, self._constant)
        while waiting:
            for run in reversed(self._runs(waiting)):
                launch = self._joined(run.steps, _needed(waiting[run.count :], block.results))
                if launch is not None:
                    statements += [each for each in waiting[: run.count] if self._is_constant(each)]
                    statements.append(launch)
                    waiting = waiting[run.count :]
                    break
            else:
                statements.append(self._inside(waiting[0]))
                waiting = waiting[1:]
        return Block(tuple(statements), block.results)

    def _constant_counts(self, body: Block) -> tuple[frozenset[str], dict[str, int]]:
        """Values that are constant and only read as numbers of iterations, and these numbers by scalar."""
        statements = list(statements_within(body))
        loops = {statement.count for statement in statements if isinstance(statement, Loop)}
        reads = {
            each.value: each.scalar for each in statements if isinstance(each, ReadScalar) and each.scalar in loops
        }
        values: set[str] = set()
        counts: dict[str, int] = {}
        for launch in statements:
            network = self.networks[launch.network] if isinstance(launch, Launch) else None
            if network is None or network.inputs or any(step.kind == "device" for step in network.steps):
                continue
            assert isinstance(launch, Launch)
            made: dict[str, Any] = {}
            for step in network.steps:
                made |= HostProgram(self._hosts[step.index]).run(made)
            for own, name in zip(network.outputs, launch.outputs, strict=True):
                if name in reads and self._reads[name] == 1 and made[own].size == 1:
                    values.add(name)
                    counts[reads[name]] = int(made[own].reshape(-1)[0])
        return frozenset(values), counts

    def _inside(self, statement: Statement) -> Statement:
        match statement:
            case Branch():
                return replace(statement, then=self.block(statement.then), otherwise=self.block(statement.otherwise))
            case Loop():
                return replace(statement, body=self.block(statement.body))
        return statement

    def _runs(self, statements: Listing[Statement]) -> list[_Taken]:
        """The runs from the first statement on that end in a decision or behind one, shortest first."""
        runs: list[_Taken] = []
        steps: tuple[Piece | Decide | Repeat, ...] = ()
        length = 0
        while length < len(statements):
            try:
                taken = self._take(statements[length:])
            except Unjoinable:
                break
            steps += taken.steps
            length += taken.count
            if any(isinstance(each, Decide | Repeat) for each in steps):
                runs.append(_Taken(length, steps))
        return runs

    def _joined(self, steps: tuple[Piece | Decide | Repeat, ...], needed: frozenset[str]) -> Launch | None:
        made = dict.fromkeys(_made(steps))
        results = tuple(name for name in made if name in needed)
        processors = {region.processor for region in _regions(steps)}
        if len(processors) != 1:
            return None
        name = f"region_{len(self.regions)}"
        request = JoinRequest(name, Sequence(steps, results))
        try:
            region = self._accelerators[next(iter(processors))].join(request)
        except Unjoinable as why:
            for each in steps:
                if not isinstance(each, Piece):
                    self._drivers.refuse(each.name, str(why))
            return None
        self.joined.update({each.name: name for each in _regions(steps)})
        self.regions.append(region)
        inputs = tuple(dict.fromkeys(binding.name for binding in region.inputs))
        outputs = tuple(binding.name for binding in region.outputs)
        step = Step("device", len(self.regions) - 1)
        macs = sum(each.region.macs for each in steps if isinstance(each, Piece))
        self.networks.append(Network(f"network_{len(self.networks)}", inputs, outputs, (step,), macs))
        return Launch(len(self.networks) - 1, inputs, outputs)

    def _take(self, statements: Listing[Statement]) -> _Taken:
        """The first statement, or the first three where they are a decision, as steps. Raises Unjoinable, also where
        the host is to decide."""
        decision = statements[0] if isinstance(statements[0], Loop) else statements[min(2, len(statements) - 1)]
        if not isinstance(decision, Branch | Loop):
            return self._steps(statements)
        try:
            taken = self._steps(statements)
            if taken.count == 3 or decision is statements[0]:
                self._drivers.check(decision, statements[: taken.count])
        except Unjoinable as why:
            self._drivers.refuse(decision.name, str(why))
            raise
        return taken

    def _steps(self, statements: Listing[Statement]) -> _Taken:
        first = statements[0]
        if self._is_constant(first):
            return _Taken(1, ())
        if isinstance(first, Loop):
            return _Taken(1, (self._repeat(first),))
        if not isinstance(first, Launch):
            raise Unjoinable("its condition is not computed right before it")
        network = self.networks[first.network]
        if all(step.kind == "device" for step in network.steps):
            return _Taken(1, self._pieces(first, network.steps))
        if len(statements) < 3:
            raise Unjoinable("the host computes in it")
        read, branch = statements[1:3]
        if not (isinstance(read, ReadScalar) and isinstance(branch, Branch) and branch.condition == read.scalar):
            raise Unjoinable("the host computes in it")
        return _Taken(3, self._decision(first, read, branch))

    def _decision(self, launch: Launch, read: ReadScalar, branch: Branch) -> tuple[Piece | Decide | Repeat, ...]:
        condition = self._condition(launch, read)
        then, otherwise = (self._sequence(each.statements, each.results) for each in (branch.then, branch.otherwise))
        first, second = (otherwise, then) if condition.holds_above else (then, otherwise)
        outcomes = ("else", "then") if condition.holds_above else ("then", "else")
        decide = Decide(
            branch.name, condition.tensor, condition.threshold, *outcomes, first, second, branch.results
        )  # fmt: skip
        return (*condition.pieces, decide)

    def _condition(self, launch: Launch, read: ReadScalar) -> _Condition:
        """The sub-network of a condition: regions, and a host graph that makes the condition of one stored element.
        Raises Unjoinable."""
        network = self.networks[launch.network]
        kinds = [step.kind for step in network.steps]
        if not kinds or kinds[-1] != "host" or "host" in kinds[:-1] or self._reads.get(read.scalar, 0) > 1:
            raise Unjoinable("the host computes in it")
        graph = self._hosts[network.steps[-1].index]
        made = dict(zip(network.outputs, launch.outputs, strict=True))
        if len(graph.inputs) != 1 or len(graph.outputs) != 1 or made.get(graph.outputs[0]) != read.value:
            raise Unjoinable("the condition is not computed from one tensor alone")
        if self._reads[read.value] > 1:
            raise Unjoinable("the condition is read elsewhere, too")
        names = self._names(launch, network)
        pieces = self._pieces(launch, network.steps[:-1], names)
        found = [binding for piece in pieces for binding in piece.region.outputs if binding.name == graph.inputs[0]]
        if not found or found[0].layout.elements != 1:
            raise Unjoinable("the condition depends on several elements")
        return _Condition(pieces, names[graph.inputs[0]], *self._threshold(graph, found[0]))

    def _repeat(self, loop: Loop) -> Repeat:
        """A loop of a constant count of 1 to 255 (its counter on the device is a byte), perhaps with a condition that
        the body computes. Raises Unjoinable."""
        limit = self._counts.get(loop.count, 0)
        if loop.condition or loop.stacked or not 1 <= limit <= MOST_ROUNDS:
            raise Unjoinable("the loop has a condition before it, collects slices, or has no small constant count")
        if self._reads.get(loop.index, 0) or self._reads.get(loop.going, 0):
            raise Unjoinable("its body reads the iteration's number")
        statements, condition = list(loop.body.statements), None
        if loop.proceed:
            read = statements.pop()
            making = next(
                (each for each in statements if isinstance(each, Launch) and isinstance(read, ReadScalar)
                 and read.value in each.outputs), None,
            )  # fmt: skip
            if making is None or not isinstance(read, ReadScalar) or read.scalar != loop.proceed:
                raise Unjoinable("its condition comes from elsewhere")
            condition = self._condition(making, read)
            place = statements.index(making)
            before = self._sequence(statements[:place], ())
            after = self._sequence(statements[place + 1 :], ())
            steps = (*before.steps, *condition.pieces, *after.steps)
        else:
            steps = self._sequence(statements, ()).steps
        tensor, threshold, above = ("", 0, True) if condition is None else condition[1:]
        return Repeat(
            loop.name, limit, tensor, threshold, "above" if above else "below", Sequence(steps, loop.body.results),
            loop.initial, loop.parameters, loop.results,
        )  # fmt: skip

    def _sequence(self, statements: Listing[Statement], results: tuple[str, ...]) -> Sequence:
        steps: list[Piece | Decide | Repeat] = []
        position = 0
        while position < len(statements):
            taken = self._take(statements[position:])
            steps += taken.steps
            position += taken.count
        return Sequence(tuple(steps), results)

    def _is_constant(self, statement: Statement) -> bool:
        """Whether a statement does no more than make and read the constant count of loops."""
        match statement:
            case ReadScalar():
                return statement.scalar in self._counts
            case Launch():
                return bool(statement.outputs) and all(name in self._constant for name in statement.outputs)
        return False

    def _pieces(self, launch: Launch, steps: Listing[Step], names: dict[str, str] | None = None) -> tuple[Piece, ...]:
        found = names if names is not None else self._names(launch, self.networks[launch.network])
        return tuple(Piece(self.regions[step.index], found) for step in steps)

    def _names(self, launch: Launch, network: Network) -> dict[str, str]:
        """The program's names for a launched sub-network's tensors; those inside get ones of their own."""
        names = dict(zip(network.inputs, launch.inputs, strict=True))
        names |= dict(zip(network.outputs, launch.outputs, strict=True))
        self._fresh += 1
        for step in network.steps:
            for binding in self.regions[step.index].outputs if step.kind == "device" else ():
                names.setdefault(binding.name, f"{binding.name}/{self._fresh}")
        return names

    def _threshold(self, graph: HostGraph, binding: TensorBinding) -> tuple[int, bool]:
        """Where the condition changes, and whether it holds from there on. Raises Unjoinable where it changes twice."""
        if graph.name not in self._thresholds:
            limits = np.iinfo(binding.dtype)
            program = HostProgram(graph)
            values = np.arange(limits.min, limits.max + 1).astype(binding.dtype)
            feeds = [{graph.inputs[0]: value.reshape(binding.shape)} for value in values]
            truth = [bool(np.all(program.run(feed)[graph.outputs[0]])) for feed in feeds]
            changes = [index for index in range(1, len(truth)) if truth[index] != truth[index - 1]]
            if len(changes) > 1:
                raise Unjoinable("the condition is no threshold")
            first = changes[0] if changes else 0
            self._thresholds[graph.name] = (int(values[first]), truth[-1])
        return self._thresholds[graph.name]


def _constants_first(statements: Listing[Statement], constant: frozenset[str]) -> list[Statement]:
    """The statements with those first that read nothing, so that they part no run; counts stay with their loops."""

    def is_free(statement: Statement) -> bool:
        return isinstance(statement, Launch) and not statement.inputs and not constant.issuperset(statement.outputs)

    return [*filter(is_free, statements), *(each for each in statements if not is_free(each))]


def _regions(steps: Listing[Piece | Decide | Repeat]) -> list[Region]:
    found: list[Region] = []
    for step in steps:
        if isinstance(step, Piece):
            found.append(step.region)
        else:
            inner = (step.body,) if isinstance(step, Repeat) else (step.when_below, step.when_above)
            found += [region for each in inner for region in _regions(each.steps)]
    return found


def _made(steps: Listing[Piece | Decide | Repeat]) -> list[str]:
    """What the steps give to statements behind them."""
    names: list[str] = []
    for step in steps:
        if isinstance(step, Piece):
            names += [step.names[binding.name] for binding in step.region.outputs]
        else:
            names += step.results
    return names


def _needed(statements: Listing[Statement], results: Listing[str]) -> frozenset[str]:
    """What is read in statements, also inside them, and what the block returns."""
    names = set(results)
    for statement in statements:
        names.update(read_by(statement))
        for inner in blocks_within(statement):
            names |= _needed(inner.statements, inner.results)
    return frozenset(names)


def _pruned(executable: Executable, joined: dict[str, str]) -> Executable:
    """Without sub-networks that nothing launches, and parts that none of the others runs, under new numbers."""
    assert executable.control is not None
    used = [each.network for each in statements_within(executable.control.body) if isinstance(each, Launch)]
    networks = [executable.control.networks[number] for number in dict.fromkeys(used)]
    steps = list(dict.fromkeys(step for network in networks for step in network.steps))
    kinds = {kind: [step.index for step in steps if step.kind == kind] for kind in ("device", "host")}
    numbers = {(kind, index): place for kind, found in kinds.items() for place, index in enumerate(found)}
    regions = [executable.regions[index] for index in kinds["device"]]
    names = {region.name: f"region_{place}" for place, region in enumerate(regions)}
    moved = {number: place for place, number in enumerate(dict.fromkeys(used))}
    control = ControlFlow(
        tuple(
            replace(
                network, name=f"network_{place}",
                steps=tuple(replace(step, index=numbers[step.kind, step.index]) for step in network.steps),
            )
            for place, network in enumerate(networks)
        ),
        with_networks(executable.control.body, moved),
    )  # fmt: skip
    hosts = [replace(executable.host_graphs[index], name=f"host_{place}") for place, index in enumerate(kinds["host"])]
    nodes = tuple(
        replace(node, region=names.get(node.region, names.get(joined.get(node.region, ""), "")))
        for node in executable.nodes
    )
    return replace(
        executable, control=control, nodes=nodes, host_graphs=tuple(hosts),
        regions=tuple(replace(region, name=names[region.name]) for region in regions),
    )  # fmt: skip
