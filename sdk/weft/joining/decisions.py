"""Decisions given to the accelerator: sub-networks and the Ifs between them become one launch where that can be."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from collections.abc import Set
from dataclasses import dataclass, replace

import onnx

from weft.backends import Accelerator
from weft.conditions import Composite, Condition, DeferredValues, condition_of
from weft.dynamic.rewrite import with_networks
from weft.ir.device_control import (
    Comparison,
    Decide,
    JoinRequest,
    Piece,
    Reading,
    Repeat,
    Sequence,
    Unjoinable,
)
from weft.joining.drivers import Drivers
from weft.joining.limits import bounded
from weft.joining.loops import LoopJoining
from weft.joining.paths import tally_names
from weft.joining.slices import truth_binding
from weft.joining.split import split_hosts
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
from weft_runtime.executable import Executable, HostGraph, Region, Step

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
    changed = replace(
        executable, regions=tuple(joiner.regions), host_graphs=tuple(joiner.hosts),
        control=ControlFlow(tuple(joiner.networks), body),
    )  # fmt: skip
    return _pruned(changed, joiner.joined)


@dataclass(frozen=True)
class _Taken:
    """Statements as steps of a joined program."""

    count: int
    steps: tuple[Piece | Decide | Repeat, ...]


@dataclass(frozen=True)
class _Late:
    """A value that the host computes behind a joined launch."""

    name: str
    composite: Composite

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(self.composite.inputs.values())


class _Joining(LoopJoining):
    def __init__(self, executable: Executable, accelerators: Listing[Accelerator], drivers: Drivers) -> None:
        super().__init__(executable, accelerators)
        self._drivers = drivers
        drivers.follow(self.networks, self.hosts)

    def block(self, block: Block, scalars: frozenset[str] = frozenset()) -> Block:
        """The block with joined launches in it, and in the blocks inside; `scalars` are read behind it, too."""
        statements, waiting = self._hosts_first(block.statements)
        while waiting:
            for run in reversed(self._runs(waiting)):
                needed = _needed(waiting[run.count :], block.results) | scalars
                made = {name for each in waiting[: run.count] for name in written_by(each)}
                try:
                    late = self._late(made & needed, run.steps)
                except Unjoinable:
                    continue  # the host needs what it would not compute
                launch = self._joined(run.steps, needed.union(*(each.reads for each in late)))
                if launch is not None:
                    kept = self._kept(waiting[: run.count], needed.union(*(each.reads for each in late)))
                    statements += [each for each in kept if isinstance(each, Launch)]
                    statements += [launch, *self._computed_late(late)]
                    statements += [each for each in kept if isinstance(each, ReadScalar)]
                    waiting = waiting[run.count :]
                    break
            else:
                statements.append(self._inside(waiting[0]))
                waiting = waiting[1:]
        return Block(tuple(statements), block.results)

    def _kept(self, statements: Listing[Statement], needed: Set[str]) -> list[Statement]:
        """Of joined statements the constants, and scalars that the host reads, that others still need."""
        kept: list[Statement] = []
        wanted = set(needed)
        for each in reversed(statements):
            if (self._is_constant(each) or isinstance(each, ReadScalar)) and not wanted.isdisjoint(written_by(each)):
                kept.append(each)
                wanted.update(read_by(each))
        return kept[::-1]

    def _late(self, needed: Set[str], steps: Listing[Piece | Decide | Repeat]) -> list[_Late]:
        """What the host computes behind a joined launch, of what it would have computed before: deferred values, also
        those that it reads as scalars. Raises Unjoinable for what neither gives."""
        values = {self._scalars.get(name, name) for name in needed}
        given = {*_made(steps), *self._constant, *self._counts}
        for name in values:
            if name not in given and name not in self._deferred:
                raise Unjoinable(f"nothing gives {name!r} behind the launch")
        return [_Late(name, self._deferred.composite(name)) for name in sorted(values) if name in self._deferred]

    def _computed_late(self, late: Listing[_Late]) -> list[Statement]:
        statements: list[Statement] = []
        for each in late:
            composite = each.composite
            name = f"host_{len(self.hosts)}"
            model = onnx.ModelProto()
            model.CopyFrom(composite.model)
            graph = HostGraph(
                name, model.SerializeToString(deterministic=True), tuple(composite.inputs), (composite.output,)
            )
            self.hosts.append(graph)
            step = Step("host", len(self.hosts) - 1)
            network = Network(f"network_{len(self.networks)}", graph.inputs, graph.outputs, (step,), 0)
            self.networks.append(network)
            statements.append(Launch(len(self.networks) - 1, tuple(composite.inputs.values()), (each.name,)))
        return statements

    def _hosts_first(self, statements: Listing[Statement]) -> tuple[list[Statement], list[Statement]]:
        """Statements that the host runs on what is there before, which come first so that they part no run, and the
        others; counts that are constant stay with their loops."""
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
        return first, rest

    def _inside(self, statement: Statement) -> Statement:
        match statement:
            case Branch():
                return replace(statement, then=self.block(statement.then), otherwise=self.block(statement.otherwise))
            case Loop():
                return replace(
                    statement, body=self.block(statement.body, frozenset(filter(None, (statement.proceed,))))
                )
        return statement

    def _runs(self, statements: Listing[Statement]) -> list[_Taken]:
        """The runs from the first statement on that end in a decision or behind one, shortest first."""
        self._deferred, self._scalars, self._stored, self._open = DeferredValues(), {}, {}, []
        self._branches = 0
        self._hosted, self._tallies = set(), set()
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
            region = self.accelerators[next(iter(processors))].join(request)
        except Unjoinable as why:
            for each in steps:
                if isinstance(each, Decide | Repeat):
                    self._drivers.refuse(each.name, str(why))
            return None
        self.joined.update({each.name: name for each in _regions(steps)})
        self.regions.append(region)
        taken = (*(binding.name for binding in region.inputs), *(number.name for number in region.numbers))
        inputs = tuple(dict.fromkeys(taken))
        outputs = (*(binding.name for binding in region.outputs), *region.tallies)
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
        self._branches += 1
        steps = [self._sequence(each.statements, ()).steps for each in (branch.then, branch.otherwise)]
        self._branches -= 1
        places = self._places_given(branch)
        results, *inner = (
            tuple(names[place] for place in places)
            for names in (branch.results, branch.then.results, branch.otherwise.results)
        )
        then, otherwise = map(Sequence, steps, inner)
        tallies = ("", "") if len(places) == len(branch.results) or len(self._open) > 1 else tally_names(branch)
        sides, outcomes = ((then, otherwise), ("then", "else"))
        if not condition.holds:
            sides, outcomes, tallies = ((otherwise, then), ("else", "then"), tallies[::-1])
        return Decide(branch.name, condition.comparison, *outcomes, *sides, results, tallies)

    def _condition(self, scalar: str) -> Condition:
        """What a scalar says that the host would read. Raises Unjoinable."""
        value = self._scalars.get(scalar, "")
        if value not in self._deferred:
            raise Unjoinable("the condition is not computed here")
        composite = self._deferred.composite(value)
        if scalar in self._proceeding:
            composite = self._without_counting(composite)
        opened = self._opened(composite)
        if opened is not None and opened.numbers.names.issuperset(composite.inputs.values()):
            truth = f"{value}/truth"
            opened.slices[truth] = self._taken(composite, truth, truth_binding(truth), opened)
            return Condition(Comparison(Reading(truth, "element", (0,)), "below", 1), False)
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
                self._deferred.add(self.hosts[step.index], names)
                continue
            region = self.regions[step.index]
            for binding in region.inputs:
                if names[binding.name] in self._deferred and names[binding.name] not in self._stored:
                    self._slice(names[binding.name], binding)
                elif names[binding.name] in self._hosted and names[binding.name] not in self._stored:
                    raise Unjoinable(f"only the host has {names[binding.name]!r}")
            self._stored.update({names[binding.name]: binding for binding in region.outputs})
            pieces.append(Piece(region, names))
        return tuple(pieces)


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
            names += [each.result for each in step.collected] if isinstance(step, Repeat) else []
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
