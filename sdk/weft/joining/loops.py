"""Loops as steps of a joined program: how many iterations, what they read and give, and which states only count."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence as Listing
from collections.abc import Set
from dataclasses import replace
from typing import Any

import numpy as np

from weft.backends import Accelerator
from weft.conditions import Composite, Condition, DeferredValues
from weft.ir.device_control import UNKNOWN, Chosen, Collected, Reading, Repeat, Sequence, Slice, Unjoinable
from weft.joining.choices import MOST_STORED, chosen_values, open_choice
from weft.joining.counters import Numbers, parts_of_and
from weft.joining.paths import branch_of_state, counted_values, select_graph, tally_names, value_without_branch
from weft.joining.slices import MOST_TRIED, OpenChoice, OpenLoop, sliced, table_graph, truth_binding, whole_of
from weft_runtime.control import (
    Block,
    Branch,
    Launch,
    Loop,
    Network,
    ReadScalar,
    Statement,
    blocks_within,
    read_by,
    statements_within,
)
from weft_runtime.executable import Executable, HostGraph, Region, TensorBinding, TensorSignature
from weft_runtime.host import HostProgram
from weft_runtime.interpreter import MAX_ITERATIONS
from weft_runtime.layout import DEVICE_DTYPES

__all__ = ["LoopJoining"]


class LoopJoining(ABC):
    """What is known of a program while its runs are joined, and its loops."""

    def __init__(self, executable: Executable, accelerators: Listing[Accelerator]) -> None:
        assert executable.control is not None
        self.networks: list[Network] = list(executable.control.networks)
        self.regions: list[Region] = list(executable.regions)
        self.joined: dict[str, str] = {}
        self.hosts: list[HostGraph] = list(executable.host_graphs)
        self.accelerators = accelerators
        self._deferred = DeferredValues()
        self._scalars: dict[str, str] = {}
        self._stored: dict[str, TensorBinding] = {}
        self._conditions: dict[tuple[bytes, tuple[int, ...], str], Condition | str] = {}
        self._open: list[OpenLoop] = []
        self._proceeding: set[str] = set()
        self._bodies: dict[str, DeferredValues] = {}
        self._bindings: dict[str, dict[str, TensorBinding]] = {}
        self._named: dict[Launch, dict[str, str]] = {}
        self._branches = 0
        self._hosted: set[str] = set()
        self._tallies: set[str] = set()
        self._tried: dict[tuple[str, TensorBinding, int, bytes], Slice | str] = {}
        self._stops: dict[str, int | None] = {}
        self._places: dict[str, tuple[Reading, Any]] = {}
        self._values: dict[str, Any] = {}
        self._fresh = 0
        self._reads: dict[str, int] = {}
        for statement in statements_within(executable.control.body):
            for name in read_by(statement):
                self._reads[name] = self._reads.get(name, 0) + 1
        blocks = [executable.control.body, *(
            block for each in statements_within(executable.control.body) for block in blocks_within(each)
        )]  # fmt: skip
        self._used = {*self._reads, *(name for block in blocks for name in block.results)}
        self._constant, self._counts = self._constant_counts(executable.control.body)
        # What a scalar is read from.
        self._counted = {
            each.scalar: each.value for each in statements_within(executable.control.body)
            if isinstance(each, ReadScalar)
        }  # fmt: skip

    @abstractmethod
    def _sequence(self, statements: Listing[Statement], results: tuple[str, ...]) -> Sequence:
        """Statements as steps. Raises Unjoinable."""

    @abstractmethod
    def _condition(self, scalar: str) -> Condition:
        """What a scalar says that the host would read. Raises Unjoinable."""

    def _constant_counts(self, body: Block) -> tuple[frozenset[str], dict[str, int]]:
        """Values that are constant and only read as numbers of iterations, or as conditions before loops, and these
        numbers by scalar."""
        statements = list(statements_within(body))
        loops = {each for statement in statements if isinstance(statement, Loop)
                 for each in (statement.count, statement.condition)}  # fmt: skip
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
                made |= HostProgram(self.hosts[step.index]).run(made)
            for own, name in zip(network.outputs, launch.outputs, strict=True):
                self._values[name] = made[own]
                if name in reads and self._reads[name] == 1 and made[own].size == 1:
                    values.add(name)
                    counts[reads[name]] = int(made[own].reshape(-1)[0])
        return frozenset(values), counts

    def _repeat(self, loop: Loop) -> Repeat:
        """A loop with a count, constant or read before, or a condition that the body computes, or both; one before it;
        and slices that it takes by the iteration's number, or gives. Raises Unjoinable."""
        needless = self._needless(loop)
        begun = [name for name, own in zip(loop.initial, loop.parameters, strict=True) if own not in needless]
        if any((name in self._deferred or name in self._hosted) and name not in self._values for name in begun):
            raise Unjoinable("the host computes its first state")
        limits, begins, allowed = self._limits(loop), None, ""
        if loop.condition in self._counts:
            limits = limits if self._counts[loop.condition] else (0, 0, "")
        elif loop.condition and self._counted[loop.condition] in self._deferred:
            begins = self._condition(loop.condition)
        elif loop.condition:
            allowed = self._counted[loop.condition]
        numbers = Numbers(loop.index, loop.index_rank)
        self._find_counting(loop, numbers)
        limits = self._limited(loop, numbers, limits)
        opened = OpenLoop(numbers, limits[0], choices=self._find_choices(loop, numbers, needless))
        turning = self._find_turning(loop, numbers, needless)
        self._hosted |= turning
        self._open.append(opened)
        self._proceeding.add(loop.proceed)
        steps = self._sequence(loop.body.statements, ()).steps
        condition = self._condition(loop.proceed) if loop.proceed and not self._ends_by_count(loop) else None
        self._open.pop()
        known = numbers.names.union(*(each.taken.numbers.names for each in opened.choices))
        known = known | needless | turning
        states = [place for place, name in enumerate(loop.parameters) if name not in known]
        initial, parameters, results, following = (
            tuple(names[place] for place in states)
            for names in (loop.initial, loop.parameters, loop.results, loop.body.results)
        )
        repeat = Repeat(
            loop.name, *limits, None if condition is None else condition.comparison,
            "below" if condition is None or condition.holds else "above", Sequence(steps, following),
            initial, parameters, results, None if begins is None else begins.comparison,
            "below" if begins is None or begins.holds else "above", allowed, tuple(opened.slices.values()),
            chosen=tuple(Chosen(each.reading, tuple(each.taken.slices.values())) for each in opened.choices),
            tally="" if len(states) == len(loop.parameters) or self._open else f"{loop.index}/iterations",
        )  # fmt: skip
        self._give_counted(loop, repeat, numbers)
        self._give_turning(loop, repeat, turning)
        pairs = zip(loop.body.results[len(loop.results) :], loop.stacked, strict=True)
        read = [(value, each) for value, each in pairs if each.name in self._used]
        return replace(repeat, collected=tuple(self._collected(repeat, *pair) for pair in read))

    def _find_counting(self, loop: Loop, numbers: Numbers) -> None:
        """Adds the states that count: each begins at a constant, and depends on itself alone."""
        deferred = DeferredValues()
        stored: dict[str, TensorBinding] = {}
        launches = [each for each in loop.body.statements if isinstance(each, Launch)]
        for launch in launches:
            network = self.networks[launch.network]
            names = self._names(launch, network)
            for step in network.steps:
                if step.kind == "host":
                    deferred.add(self.hosts[step.index], names)
                else:
                    stored |= {names[each.name]: each for each in self.regions[step.index].outputs}
        self._bodies[loop.index], self._bindings[loop.index] = deferred, stored
        for initial, name, following in zip(loop.initial, loop.parameters, loop.body.results, strict=False):
            first = self._values.get(initial)
            if first is None or first.dtype.name in DEVICE_DTYPES or following not in deferred:
                continue
            composite = deferred.composite(following)
            if set(composite.inputs.values()) == {name}:
                numbers.add(name, first, composite)

    def _find_choices(self, loop: Loop, numbers: Numbers, needless: Set[str]) -> list[OpenChoice]:
        """The states that are chosen by what an iteration makes, each beginning at a constant."""
        deferred, stored = self._bodies[loop.index], self._bindings[loop.index]
        found = []
        for initial, name, following in zip(loop.initial, loop.parameters, loop.body.results, strict=False):
            first = self._values.get(initial)
            if name in numbers.names or first is None or first.dtype.name in DEVICE_DTYPES or following not in deferred:
                continue
            if name in needless:
                continue
            composite = deferred.composite(following)
            tensors = list(composite.inputs.values())
            if len(tensors) == 1 and tensors[0] in stored:
                if name not in self._places:
                    self._places[name] = chosen_values(composite, stored[tensors[0]])
                found.append(open_choice(name, first, *self._places[name]))
        return found

    def _limited(self, loop: Loop, numbers: Numbers, limits: tuple[int, int, str]) -> tuple[int, int, str]:
        """The limits, where a condition on states that count ends the loop before. Raises Unjoinable."""
        value, inside = self._counted.get(loop.proceed, ""), self._bodies[loop.index]
        if value not in inside:
            return limits
        known = [each for each in parts_of_and(inside.composite(value)) if _is_known(each, numbers)]
        limit, _, count = limits
        if loop.index not in self._stops:
            most = MOST_TRIED if limit == UNKNOWN else min(limit, MOST_TRIED)
            self._stops[loop.index] = numbers.first_false(known, most)
        stop = self._stops[loop.index]
        if stop is not None:
            return stop + 1, stop + 1, count
        if known and not 0 <= limit <= MOST_TRIED:
            raise Unjoinable(f"a condition on a state that counts holds for more than {MOST_TRIED} iterations")
        return limits

    def _ends_by_count(self, loop: Loop) -> bool:
        """Whether the condition for another iteration depends on the iteration's number alone: the limit has it."""
        value, inside = self._counted.get(loop.proceed, ""), self._bodies[loop.index]
        numbers = self._open[-1].numbers
        return value in inside and all(_is_known(each, numbers) for each in parts_of_and(inside.composite(value)))

    def _without_counting(self, composite: Composite) -> Composite:
        """A condition for another iteration without what the limit says already."""
        parts = [each for each in parts_of_and(composite) if not _is_known(each, self._open[-1].numbers)]
        return parts[0] if len(parts) == 1 else composite

    def _give_counted(self, loop: Loop, repeat: Repeat, numbers: Numbers) -> None:
        """Behind the loop, states that count depend on how many iterations there were: deferred. Where these may be too
        many to try, such a state must not be needed."""
        self._tallies.update(filter(None, (repeat.tally,)))
        if not repeat.tally or repeat.limit == UNKNOWN or repeat.limit > MOST_TRIED:
            return
        for name, result in zip(loop.parameters, loop.results, strict=True):
            if name in numbers.values:
                table = np.stack([numbers.value(name, number) for number in range(repeat.limit + 1)])
                graph = table_graph(result, table)
                self._deferred.add(graph, {graph.inputs[0]: repeat.tally, graph.outputs[0]: result})

    def _needless(self, loop: Loop) -> frozenset[str]:
        """States that no iteration reads, and nothing behind the loop."""
        pairs = zip(loop.parameters, loop.results, strict=True)
        return frozenset(name for name, result in pairs if self._used.isdisjoint((name, result)))

    def _find_turning(self, loop: Loop, numbers: Numbers, needless: Set[str]) -> frozenset[str]:
        """The states of the host that an If of the body changes: each begins at a constant, and becomes in one branch
        what that makes of it alone, while it stays in the other."""
        found = set()
        for initial, name, following in zip(loop.initial, loop.parameters, loop.body.results, strict=False):
            first, given = self._values.get(initial), branch_of_state(loop, following)
            plain = name not in numbers.names and name not in needless
            if not plain or first is None or first.dtype.name in DEVICE_DTYPES:
                continue
            if following == name or (given is not None and name in given[1:]):
                found.add(name)
        return frozenset(found)

    def _give_turning(self, loop: Loop, repeat: Repeat, turning: Set[str]) -> None:
        """Behind the loop, such states depend on how often a branch was taken: deferred. Where that is not known, or
        may be too often to try, they must not be needed."""
        if self._open or repeat.limit == UNKNOWN or repeat.limit > MOST_TRIED:
            return
        states = zip(loop.initial, loop.parameters, loop.body.results, loop.results, strict=False)
        for initial, name, following, result in states:
            given = branch_of_state(loop, following) if name in turning else None
            if name in turning and following == name:
                table = np.stack([self._values[initial]] * (repeat.limit + 1))
                graph = table_graph(result, table)
                self._deferred.add(graph, {graph.inputs[0]: repeat.tally, graph.outputs[0]: result})
            if given is None:
                continue
            branch, *sides = given
            taken = 1 if sides[0] == name else 0
            if sides[taken] not in self._deferred:
                continue
            composite = self._deferred.composite(sides[taken])
            if set(composite.inputs.values()) != {name}:
                continue
            table = counted_values(self._values[initial], composite, repeat.limit)
            graph = table_graph(result, table)
            tally = tally_names(branch)[taken]
            self._tallies.add(tally)
            self._deferred.add(graph, {graph.inputs[0]: tally, graph.outputs[0]: result})

    def _places_given(self, branch: Branch) -> list[int]:
        """Which of an If's results the accelerator merges. Of the others, where it stands in no loop, the host takes
        one branch's behind the launch. Raises Unjoinable."""
        pairs = list(zip(branch.then.results, branch.otherwise.results, strict=True))
        hosted = [place for place, pair in enumerate(pairs) if any(map(self._is_hosted, pair))]
        tally = tally_names(branch)[0]
        for place in hosted:
            self._hosted.add(branch.results[place])
            if not self._open:
                values = [
                    value_without_branch(name, self._values, self._deferred, self._tallies) for name in pairs[place]
                ]
                if (values[0].dtype, values[0].shape) != (values[1].dtype, values[1].shape):
                    raise Unjoinable(f"{branch.results[place]!r} has another type or shape in each branch")
                then, otherwise = (
                    None if name in self._deferred else value for name, value in zip(pairs[place], values, strict=True)
                )
                graph = select_graph(branch.results[place], then, otherwise, values[0])
                names = {"taken": tally, "then": pairs[place][0], "else": pairs[place][1]}
                self._tallies.add(tally)
                self._deferred.add(graph, {**names, graph.outputs[0]: branch.results[place]})
        return [place for place in range(len(pairs)) if place not in hosted]

    def _is_hosted(self, name: str) -> bool:
        """Whether only the host has a value."""
        if name in self._stored:
            return False
        known = name in self._values and self._values[name].dtype.name not in DEVICE_DTYPES
        return known or name in self._deferred or name in self._hosted

    def _opened(self, composite: Composite) -> OpenLoop | None:
        """The only loop around on whose number something depends. Raises Unjoinable where these are several."""
        around = [*self._open, *(choice.taken for each in self._open for choice in each.choices)]
        found = [each for each in around if not each.numbers.names.isdisjoint(composite.inputs.values())]
        if len(found) > 1:
            raise Unjoinable("the host computes with the numbers of several loops")
        return found[0] if found else None

    def _collected(self, repeat: Repeat, value: str, signature: TensorSignature) -> Collected:
        """What the accelerator collects: a stored tensor, which the host may dequantize when all is there. Raises
        Unjoinable where the number of slices is not constant, or the host would compute them."""
        if repeat.limit in (0, UNKNOWN) or (repeat.changes and (self._open or self._branches)):
            raise Unjoinable("the number of collected slices is not known")
        if value in self._stored:
            return Collected(value, signature.name, self._stored[value])
        if value not in self._deferred:
            raise Unjoinable("what is collected is not made in the loop")
        composite, stored = self._deferred.composite(value), f"{signature.name}/stored"
        tensors = [name for name in composite.inputs.values() if name in self._stored]
        if len(tensors) != 1:
            raise Unjoinable("what is collected is not made in the loop")
        binding, reading, source = self._stored[tensors[0]], None, tensors[0]
        try:
            source, graph = whole_of(composite, value, None if repeat.changes else repeat.limit)
        except Unjoinable:
            reading, values = chosen_values(composite, binding)
            if len(values) > MOST_STORED:
                raise
            binding = replace(truth_binding(stored), shape=())
            graph = table_graph(signature.name, values, binding)
        self._deferred.add(graph, {graph.inputs[0]: stored, graph.outputs[0]: signature.name})
        return Collected(source, stored, binding, reading)

    def _slice(self, name: str, binding: TensorBinding) -> None:
        """A deferred value becomes one that iterations take by their number. Raises Unjoinable."""
        composite = self._deferred.composite(name)
        opened = self._opened(composite)
        if opened is None:
            raise Unjoinable("the host computes in it")
        taken = self._taken(composite, name, binding, opened)
        if taken.source and opened not in self._open:
            raise Unjoinable("a tensor that is computed is read at a chosen place")
        opened.slices[name] = taken
        self._stored[name] = replace(binding, name=name)

    def _taken(self, composite: Composite, name: str, binding: TensorBinding, opened: OpenLoop) -> Slice:
        """`sliced`, tried once for a value, however many runs of statements are. Raises Unjoinable."""
        key = name, binding, opened.limit, composite.model.SerializeToString(deterministic=True)
        if key not in self._tried:
            try:
                self._tried[key] = sliced(composite, name, binding, opened)
            except Unjoinable as why:
                self._tried[key] = str(why)
        found = self._tried[key]
        if isinstance(found, str):
            raise Unjoinable(found)
        return found

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

    def _names(self, launch: Launch, network: Network) -> dict[str, str]:
        """The program's names for a launched sub-network's tensors; those inside get ones of their own."""
        if launch in self._named:
            return self._named[launch]
        names = dict(zip(network.inputs, launch.inputs, strict=True))
        names |= dict(zip(network.outputs, launch.outputs, strict=True))
        self._fresh += 1
        for step in network.steps:
            device = step.kind == "device"
            made = (
                [each.name for each in self.regions[step.index].outputs] if device else self.hosts[step.index].outputs
            )
            for name in made:
                names.setdefault(name, f"{name}/{self._fresh}")
        self._named[launch] = names
        return names


def _is_known(condition: Composite, numbers: Numbers) -> bool:
    return numbers.names.issuperset(condition.inputs.values())
