"""Partitions of a program's sub-networks that know of each other: what stays on the accelerator costs no transfer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from weft.dynamic import Form
from weft.dynamic.boundaries import shared_names
from weft.lowering import Prepared
from weft.partition import HOST, Borders, Partition
from weft.partition.evaluate import PartitionCost, partition_cost
from weft.partition.regions import Group
from weft_runtime.control import Loop, ReadScalar, statements_within

__all__ = ["Member", "Residence", "partitions_of"]

ROUNDS = 6


@dataclass(frozen=True)
class Member:
    """A sub-network as a launch sees it: its body prepared (None: all of it on the host), the body's names for inputs
    and outputs with the program's beside them, and a key of the body."""

    prepared: Prepared | None
    key: bytes
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class Residence:
    """One partition for each sub-network, None where all of it runs on the host, and what each costs; what crosses
    between two counts where it is read. `borders` are those with which it counts."""

    partitions: tuple[Partition | None, ...]
    costs: tuple[PartitionCost | None, ...]
    borders: tuple[Borders, ...]

    @property
    def total(self) -> int:
        """Nanoseconds of one launch of each."""
        return sum(each.total for each in self.costs if each is not None)


def partitions_of(form: Form, members: Sequence[Member], keeps: Callable[[int], bool]) -> Residence:
    """Partitions of all sub-networks.

    Each is the cheapest given the others: in turn, every sub-network is divided anew, with transfers only for values
    that another one makes or reads elsewhere, until nothing changes or after 6 rounds. Of the states on the way, that
    of each by itself included, the one that costs least in all is taken. `keeps` says of an accelerator, by its index,
    whether values stay there.
    """
    search = _Search(form, members, keeps)
    alone = search.state([None if each.prepared is None else search.chosen(each, Borders()) for each in members])
    states = [alone]
    for start in (alone, search.greedy()):
        current = list(start.partitions)
        for _ in range(ROUNDS):
            before = list(current)
            for index, member in enumerate(members):
                if member.prepared is not None:
                    current[index] = search.chosen(member, search.borders(index, current))
            states.append(search.state(current))
            if all(a is b for a, b in zip(before, current, strict=True)):
                break
    return min(states, key=lambda each: each.total)  # of equal ones the first


class _Search:
    def __init__(self, form: Form, members: Sequence[Member], keeps: Callable[[int], bool]) -> None:
        self._members = members
        self._keeps = keeps
        self._roots = shared_names(form.body)
        self._makers: dict[str, list[tuple[int, str]]] = {}
        self._readers: dict[str, list[tuple[int, str]]] = {}
        for index, member in enumerate(members):
            for own, name in member.outputs.items():
                self._makers.setdefault(self._root(name), []).append((index, own))
            for own, name in member.inputs.items():
                self._readers.setdefault(self._root(name), []).append((index, own))
        self._made_by_host = {self._root(each.name) for each in form.model.inputs}
        self._read_by_host = {self._root(name) for name in form.body.results}
        for statement in statements_within(form.body):
            match statement:
                case ReadScalar():
                    self._read_by_host.add(self._root(statement.value))
                case Loop():
                    slices = statement.body.results[len(statement.results) :]
                    self._read_by_host.update(self._root(name) for name in slices)
                    given = (statement.index, statement.going, *(each.name for each in statement.stacked))
                    self._made_by_host.update(self._root(name) for name in given)
        self._known: dict[tuple[object, ...], Partition] = {}

    def _root(self, name: str) -> str:
        return self._roots.get(name, name)

    def chosen(self, member: Member, borders: Borders) -> Partition:
        """The cheapest partition of a body with these borders; the same object for the same question."""
        assert member.prepared is not None
        key = (member.key, tuple(sorted(borders.made.items())), tuple(sorted(borders.read.items(), key=str)))
        if key not in self._known:
            self._known[key] = member.prepared.partition(borders)
        return self._known[key]

    def greedy(self) -> Residence:
        """Where values are thought to stay on the first accelerator that keeps them, wherever that may be."""
        found: list[Partition | None] = []
        for member in self._members:
            if member.prepared is None:
                found.append(None)
                continue
            place = next((n for n in range(len(member.prepared.costs.accelerators)) if self._keeps(n)), HOST)
            made = {own: place for own, name in member.inputs.items() if self._root(name) not in self._made_by_host}
            read = {
                own: frozenset({place})
                for own, name in member.outputs.items()
                if self._root(name) not in self._read_by_host
            }
            found.append(self.chosen(member, Borders(made, read)))
        return self.state(found)

    def borders(self, index: int, current: Sequence[Partition | None]) -> Borders:
        """Where a sub-network's inputs and outputs are beyond its border, the others being divided so."""
        member = self._members[index]
        made = {own: self._maker(self._root(name), current) for own, name in member.inputs.items()}
        read = {own: self._places_read(self._root(name), current) for own, name in member.outputs.items()}
        return Borders(made, read)

    def state(self, partitions: Sequence[Partition | None]) -> Residence:
        """With what they cost."""
        costs: list[PartitionCost | None] = []
        borders: list[Borders] = []
        for index, (member, partition) in enumerate(zip(self._members, partitions, strict=True)):
            read = {
                own: frozenset({HOST}) if self._root(name) in self._read_by_host else frozenset()
                for own, name in member.outputs.items()
            }
            borders.append(Borders(self.borders(index, partitions).made, read))
            if member.prepared is None or partition is None:
                costs.append(None)
            else:
                costs.append(partition_cost(partition.chosen.groups, member.prepared.costs, borders[-1]))
        return Residence(tuple(partitions), tuple(costs), tuple(borders))

    def _maker(self, root: str, current: Sequence[Partition | None]) -> int:
        """The one accelerator that makes a value on all ways, else HOST."""
        places = {_place_of(current[index], own) for index, own in self._makers.get(root, ())}
        if root in self._made_by_host or len(places) != 1:
            return HOST
        place = places.pop()
        return place if place != HOST and self._keeps(place) else HOST

    def _places_read(self, root: str, current: Sequence[Partition | None]) -> frozenset[int]:
        places = {HOST} if root in self._read_by_host else set[int]()
        for index, own in self._readers.get(root, ()):
            partition = current[index]
            groups: Sequence[Group] = () if partition is None else partition.chosen.groups
            readers = {each.processor for each in groups if own in each.inputs} or {HOST}
            places |= {place if place != HOST and self._keeps(place) else HOST for place in readers}
        return frozenset(places)


def _place_of(partition: Partition | None, name: str) -> int:
    if partition is None:
        return HOST
    return next((each.processor for each in partition.chosen.groups if name in each.outputs), HOST)
