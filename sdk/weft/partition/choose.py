"""The choice between partitions: the cheapest of the optimal assignment, all on the host, and all that can be taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weft.errors import CompileError
from weft.ir import Graph, Operator, Recognition
from weft.partition.assignment import assign
from weft.partition.borders import ALL_ON_HOST, Borders
from weft.partition.costs import CostModel
from weft.partition.evaluate import PartitionCost, partition_cost
from weft.partition.pins import Pins
from weft.partition.placement import Placement
from weft.partition.regions import Group, group
from weft.partition.units import Offers, units_of

__all__ = ["ALL_CPU", "OPTIMUM", "TAKE_EVERYTHING", "Candidate", "Partition", "choose"]

OPTIMUM, TAKE_EVERYTHING, ALL_CPU = "optimum", "take everything", "all cpu"
MOST_REPAIRS = 4

Shares = Mapping[str, int]
"""Operators for accelerators: index by operator name; the host has the rest."""


@dataclass(frozen=True)
class Candidate:
    """A way to divide the model that can be compiled: its steps and what they cost; for nodes, why they are on the
    host."""

    name: str
    operators: frozenset[str]
    groups: tuple[Group, ...]
    reasons: Mapping[str, str]
    cost: PartitionCost


@dataclass(frozen=True)
class Partition:
    """The cheapest candidate, all that were compared, and the operators that accelerators could have taken."""

    chosen: Candidate
    candidates: tuple[Candidate, ...]
    offers: Offers


def choose(
    graph: Graph, recognition: Recognition, costs: CostModel, pins: Pins, borders: Borders = ALL_ON_HOST
) -> Partition:
    """The cheapest of three candidates, all with the user's pins; of equal ones the first: the optimal assignment, each
    operator on the fastest accelerator that takes it, and everything on the host. `borders` says where inputs come from
    and outputs go to.

    Raises CompileError for a pin to an accelerator that cannot be.
    """
    chooser = _Chooser(graph, recognition, costs, pins, borders)
    everything = chooser.fastest()
    greedy = chooser.candidate(TAKE_EVERYTHING, everything)
    chooser.check_pins(greedy)
    minimal = {name: index for name, index in everything.items() if name in pins.accelerators}
    found = (chooser.optimum(), greedy, chooser.candidate(ALL_CPU, minimal))
    candidates = tuple(each for each in found if each is not None and chooser.keeps_pins(each))
    return Partition(min(candidates, key=lambda each: each.cost.total), candidates, chooser.offers)


class _Chooser:
    def __init__(
        self, graph: Graph, recognition: Recognition, costs: CostModel, pins: Pins, borders: Borders
    ) -> None:  # fmt: skip
        self.graph, self.costs, self.pins, self.borders = graph, costs, pins, borders
        self.operators = recognition.operators
        self.insisted = frozenset(pins.accelerators)
        self.reasons = dict(recognition.refused)
        offers: dict[str, dict[int, Operator]] = {}
        self.rest: dict[str, int] = {}
        for index in range(len(costs.accelerators)):
            given = [each for each in self.operators if self._may_offer(each, index)]
            placement = self._place(index, given)
            for operator in given:
                self.rest.setdefault(operator.name, index)
            for node, reason in placement.reasons.items():
                self.reasons.setdefault(node, reason)
            for operator in placement.operators:
                offers.setdefault(operator.name, {})[index] = operator
        for operator in self.operators:
            if operator.name in pins.host:
                self.reasons.update(dict.fromkeys(operator.nodes, pins.host[operator.name]))
        self.offers: Offers = offers

    def fastest(self) -> dict[str, int]:
        """For every operator the accelerator that computes it in the least time. Those that none offers stay with the
        first that may have them: movements are composed of others that are not taken by themselves."""
        return self.rest | {
            name: min(offered, key=lambda index: self.costs.on_accelerator(offered[index], index))
            for name, offered in self.offers.items()
        }

    def candidate(self, name: str, shares: Shares) -> Candidate:
        """The partition with these shares, without what accelerators do not take in this combination."""
        placements = [
            self._place(index, [each for each in self.operators if shares.get(each.name) == index])
            for index in range(len(self.costs.accelerators))
        ]
        reasons = dict(self.reasons)
        for operator in self.operators:
            if operator.name in self.offers and operator.name not in shares:
                reason = f"cheaper on the host ({self.costs.profile.name}), transfers and launches counted"
                reasons.update(dict.fromkeys(operator.nodes, reason))
        for placement in placements:
            reasons.update(placement.reasons)
        for operator in self.operators:
            if operator.name in self.pins.host:
                reasons.update(dict.fromkeys(operator.nodes, self.pins.host[operator.name]))
        groups = tuple(group(self.graph, placements))
        taken = frozenset(operator.name for placement in placements for operator in placement.operators)
        return Candidate(name, taken, groups, reasons, partition_cost(groups, self.costs, self.borders))

    def optimum(self) -> Candidate | None:
        """The optimal assignment, repaired: what cannot stay on its accelerator without neighbours that went elsewhere
        is fixed to the host, and the rest is assigned again. The cheapest on the way is the answer, None if none keeps
        the pins."""
        first = {name: min(offered) for name, offered in self.offers.items()}
        everything = [
            Placement(
                tuple(self.offers[each.name][index] for each in self.operators if first.get(each.name) == index), {}
            )
            for index in range(len(self.costs.accelerators))
        ]
        allowed = dict.fromkeys(self.pins.accelerators, False)
        units = units_of(self.graph, everything, self.offers, self.costs, allowed, self.borders)
        problem, best, fastest = units.problem, None, self.fastest()
        for _ in range(MOST_REPAIRS):
            choice = assign(problem).choice
            places = {name: place - 1 for name, place in zip(units.operators, choice, strict=True) if name}
            shares = {name: index for name, index in places.items() if index >= 0}
            unasked = {name: index for name, index in fastest.items() if name not in places}
            found = self.candidate(OPTIMUM, shares | unasked)
            if self.keeps_pins(found) and (best is None or found.cost.total < best.cost.total):
                best = found
            dropped = shares.keys() - self.insisted - found.operators
            if not dropped:
                break
            fixed = {index: 0 for index, name in enumerate(units.operators) if name in dropped}
            problem = problem.pinned(fixed)
        return best

    def keeps_pins(self, candidate: Candidate) -> bool:
        """Whether all that must be on an accelerator is there: a view may have needed a neighbour."""
        return self.insisted <= candidate.operators

    def check_pins(self, candidate: Candidate) -> None:
        """Raises CompileError, with the reason, unless the candidate keeps the pins."""
        for name, pin in self.pins.accelerators.items():
            if name not in candidate.operators:
                reason = candidate.reasons.get(pin.node, "it does not fit with its neighbours")
                raise CompileError(f"cannot pin {pin.node!r} to {pin.processor}: {reason}")

    def _may_offer(self, operator: Operator, index: int) -> bool:
        if operator.name in self.pins.host:
            return False
        accelerators = self.costs.accelerators
        pin = self.pins.accelerators.get(operator.name)
        if pin is not None and pin.processor not in (accelerators[index].processor.name, self.pins.any_accelerator):
            return False
        return len(accelerators) == 1 or accelerators[index].refuse(operator) is None

    def _place(self, index: int, operators: Sequence[Operator]) -> Placement:
        return self.costs.accelerators[index].place(self.graph, operators, self.insisted)
