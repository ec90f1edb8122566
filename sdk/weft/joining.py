"""Decisions given to the accelerator: sub-networks and the Ifs between them become one launch where that can be."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from dataclasses import dataclass, replace
from typing import Any

from weft.backends import Accelerator
from weft.conditions import Condition, DeferredValues, condition_of
from weft.drivers import Drivers
from weft.dynamic.rewrite import with_networks
from weft.ir.device_control import UNKNOWN, Decide, JoinRequest, Piece, Repeat, Sequence, Unjoinable
from weft.joining_limits import bounded
from weft.joining_split import split_hosts
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
    written_by,
)
from weft_runtime.executable import Executable, Region, Step, TensorBinding
from weft_runtime.host import HostProgram
from weft_runtime.interpreter import MAX_ITERATIONS

__all__ = ["join_decisions"]


def join_decisions(executable: Executable, accelerators: Listing[Accelerator], drivers: Drivers) -> Executable:
    """The executable with every run of sub-networks and Ifs that its accelerator can decide by itself as one launch.

    An If can be decided there when its condition is a function of a number that the accelerator can make of a stored
    tensor (see `weft.conditions`), and when both branches run on the same accelerator alone; likewise a Loop whose
    count is a small constant, and whose body decides nothing else. What the host would compute for a condition is not
    computed then. What cannot be joined, or what `drivers` takes for cheaper that way, stays as it is, for the host to
    decide.
    """
    if executable.control is None:
        return executable
    control = split_hosts(executable, executable.control)
    joiner = _Joining(replace(executable, control=control), accelerators, drivers)
    body = joiner.block(control.body)
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


class _Joining:
    def __init__(self, executable: Executable, accelerators: Listing[Accelerator], drivers: Drivers) -> None:
        assert executable.control is not None
        self._drivers = drivers
        self.networks: list[Network] = list(executable.control.networks)
        self.regions: list[Region] = list(executable.regions)
        self.joined: dict[str, str] = {}
        self._hosts = executable.host_graphs
        self._accelerators = accelerators
        self._deferred = DeferredValues()
        self._scalars: dict[str, str] = {}
        self._stored: dict[str, TensorBinding] = {}
        self._conditions: dict[tuple[bytes, tuple[int, ...], str], Condition | str] = {}
        self._fresh = 0
        self._reads: dict[str, int] = {}
        for statement in statements_within(executable.control.body):
            for name in read_by(statement):
                self._reads[name] = self._reads.get(name, 0) + 1
        self._constant, self._counts = self._constant_counts(executable.control.body)
        # What a scalar is read from.
        self._counted = {
            each.scalar: each.value for each in statements_within(executable.control.body)
            if isinstance(each, ReadScalar)
        }  # fmt: skip

    def block(self, block: Block) -> Block:
        """The block with joined launches in it, and in the blocks inside."""
        statements: list[Statement] = []
        waiting = self._hosts_first(block.statements)
        while waiting:
            for run in reversed(self._runs(waiting)):
                needed = _needed(waiting[run.count :], block.results)
                made = {name for each in waiting[: run.count] for name in written_by(each)}
                if any(name in made and (name in self._deferred or name in self._scalars) for name in needed):
                    continue  # the host needs what it would not compute
                launch = self._joined(run.steps, needed)
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

    def _hosts_first(self, statements: Listing[Statement]) -> list[Statement]:
        """The statements with those first that the host runs on what is there before, so that they part no run; counts
        that are constant stay with their loops."""
        first: list[Statement] = []
        rest: list[Statement] = []
        late: set[str] = set()
        for each in statements:
            by_host = isinstance(each, ReadScalar) or (isinstance(each, Launch) and not any(
                step.kind == "device" for step in self.networks[each.network].steps
            ))  # fmt: skip
            if by_host and not self._is_constant(each) and late.isdisjoint(read_by(each)):
                first.append(each)
            else:
                rest.append(each)
                late.update(written_by(each))
        return [*first, *rest]

    def _inside(self, statement: Statement) -> Statement:
        match statement:
            case Branch():
                return replace(statement, then=self.block(statement.then), otherwise=self.block(statement.otherwise))
            case Loop():
                return replace(statement, body=self.block(statement.body))
        return statement

    def _runs(self, statements: Listing[Statement]) -> list[_Taken]:
        """The runs from the first statement on that end in a decision or behind one, shortest first."""
        self._deferred, self._scalars, self._stored = DeferredValues(), {}, {}
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
        try:
            request = JoinRequest(name, Sequence(bounded(steps), results))
            region = self._accelerators[next(iter(processors))].join(request)
        except Unjoinable as why:
            for each in steps:
                if not isinstance(each, Piece):
                    self._drivers.refuse(each.name, str(why))
            return None
        self.joined.update({each.name: name for each in _regions(steps)})
        self.regions.append(region)
        taken = (*(binding.name for binding in region.inputs), *(number.name for number in region.numbers))
        inputs = tuple(dict.fromkeys(taken))
        outputs = tuple(binding.name for binding in region.outputs)
        step = Step("device", len(self.regions) - 1)
        macs = sum(each.region.macs for each in steps if isinstance(each, Piece))
        self.networks.append(Network(f"network_{len(self.networks)}", inputs, outputs, (step,), macs))
        return Launch(len(self.networks) - 1, inputs, outputs)

    def _take(self, statements: Listing[Statement]) -> _Taken:
        """The first statement as steps: of a launch, what the host would compute is left for those that need it. Raises
        Unjoinable, also where the host is to decide."""
        first = statements[0]
        if not isinstance(first, Branch | Loop):
            return self._steps(first)
        try:
            taken = self._steps(first)
            self._check(first, taken.steps[0])
        except Unjoinable as why:
            self._drivers.refuse(first.name, str(why))
            raise
        return taken

    def _check(self, decision: Branch | Loop, step: Piece | Decide | Repeat) -> None:
        """Raises Unjoinable where the host decides for less."""
        if isinstance(decision, Loop):
            return self._drivers.check(decision, is_element=True, condition=None)
        assert isinstance(step, Decide)
        composite = self._deferred.composite(self._scalars[decision.condition])
        is_element = step.comparison.reading.kind == "element"
        return self._drivers.check(decision, is_element=is_element, condition=composite.model)

    def _steps(self, first: Statement) -> _Taken:
        if self._is_constant(first):
            return _Taken(1, ())
        match first:
            case Loop():
                return _Taken(1, (self._repeat(first),))
            case Branch():
                return _Taken(1, (self._decision(first),))
            case ReadScalar():
                self._scalars[first.scalar] = first.value
                return _Taken(1, ())
        network = self.networks[first.network]
        return _Taken(1, self._pieces(first, network))

    def _decision(self, branch: Branch) -> Decide:
        condition = self._condition(branch.condition)
        then, otherwise = (self._sequence(each.statements, each.results) for each in (branch.then, branch.otherwise))
        sides, outcomes = ((then, otherwise), ("then", "else"))
        if not condition.holds:
            sides, outcomes = ((otherwise, then), ("else", "then"))
        return Decide(branch.name, condition.comparison, *outcomes, *sides, branch.results)

    def _condition(self, scalar: str) -> Condition:
        """What a scalar says that the host would read. Raises Unjoinable."""
        value = self._scalars.get(scalar, "")
        if value not in self._deferred:
            raise Unjoinable("the condition is not computed here")
        composite = self._deferred.composite(value)
        if len(composite.inputs) != 1:
            raise Unjoinable("the condition is not computed from one tensor alone")
        (tensor,) = composite.inputs.values()
        if tensor not in self._stored:
            raise Unjoinable("the condition is computed from what the host has")
        binding = self._stored[tensor]
        key = (composite.model.SerializeToString(deterministic=True), binding.shape, binding.dtype)
        if key not in self._conditions:
            try:
                self._conditions[key] = condition_of(composite, binding.shape, binding.dtype)
            except Unjoinable as why:
                self._conditions[key] = str(why)
        found = self._conditions[key]
        if isinstance(found, str):
            raise Unjoinable(found)
        reading = replace(found.comparison.reading, tensor=tensor)
        return replace(found, comparison=replace(found.comparison, reading=reading))

    def _repeat(self, loop: Loop) -> Repeat:
        """A loop with a count, constant or read before, or a condition that the body computes, or both. Raises
        Unjoinable."""
        if loop.condition or loop.stacked:
            raise Unjoinable("the loop has a condition before it, or collects slices")
        if self._reads.get(loop.index, 0) or self._reads.get(loop.going, 0):
            raise Unjoinable("its body reads the iteration's number")
        if any(name in self._deferred for name in loop.initial):
            raise Unjoinable("the host computes its first state")
        steps = self._sequence(loop.body.statements, ()).steps
        condition = self._condition(loop.proceed) if loop.proceed else None
        return Repeat(
            loop.name, *self._limits(loop), None if condition is None else condition.comparison,
            "below" if condition is None or condition.holds else "above", Sequence(steps, loop.body.results),
            loop.initial, loop.parameters, loop.results,
        )  # fmt: skip

    def _limits(self, loop: Loop) -> tuple[int, int, str]:
        """The loop's count, twice, where it is constant; else UNKNOWN, and the number that bounds it at launch."""
        if not loop.count:
            return UNKNOWN, UNKNOWN, ""
        if loop.count not in self._counts:
            value = self._counted[loop.count]
            if value in self._deferred:
                raise Unjoinable("the host computes its count")
            return UNKNOWN, UNKNOWN, value
        limit = max(0, self._counts[loop.count])
        return (limit, limit, "") if limit <= MAX_ITERATIONS else (UNKNOWN, UNKNOWN, "")

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

    def _pieces(self, launch: Launch, network: Network) -> tuple[Piece, ...]:
        """A launched sub-network's regions; its host graphs are deferred. Raises Unjoinable where a region needs what
        a host graph makes."""
        names = self._names(launch, network)
        pieces = []
        for step in network.steps:
            if step.kind == "host":
                self._deferred.add(self._hosts[step.index], names)
                continue
            region = self.regions[step.index]
            if any(names[binding.name] in self._deferred for binding in region.inputs):
                raise Unjoinable("the host computes in it")
            self._stored.update({names[binding.name]: binding for binding in region.outputs})
            pieces.append(Piece(region, names))
        return tuple(pieces)

    def _names(self, launch: Launch, network: Network) -> dict[str, str]:
        """The program's names for a launched sub-network's tensors; those inside get ones of their own."""
        names = dict(zip(network.inputs, launch.inputs, strict=True))
        names |= dict(zip(network.outputs, launch.outputs, strict=True))
        self._fresh += 1
        for step in network.steps:
            device = step.kind == "device"
            made = (
                [each.name for each in self.regions[step.index].outputs] if device else self._hosts[step.index].outputs
            )
            for name in made:
                names.setdefault(name, f"{name}/{self._fresh}")
        return names


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
