"""What a divided program takes, decisions included: an estimate by which programs with and without a select compare."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from weft.control.dividing import Divided
from weft.ir.patterns.table import POINTWISE
from weft.joining.drivers import DECISION_CYCLES, ELEMENT_CYCLES
from weft.lowering import Request
from weft.partition import HOST, Group
from weft.partition.evaluate import PartitionCost
from weft_runtime.control import Block, Branch, Launch, Loop, ReadScalar, blocks_within, statements_within

__all__ = ["Estimate"]

DECIDING = POINTWISE | {
    "ArgMax", "ArgMin", "DequantizeLinear", "Flatten", "Gather", "QuantizeLinear", "ReduceMax", "ReduceMin", "Reshape",
    "Slice", "Softmax", "Split", "Squeeze", "Unsqueeze",
}  # fmt: skip
"""Of such operators conditions consist that an accelerator mostly can decide on."""


class Estimate:
    """Nanoseconds of a program: what its sub-networks cost as they are divided, branches by halves, loops once, and
    what deciding costs on the accelerator, as far as it can, or by the host."""

    def __init__(self, divided: Divided, request: Request) -> None:
        self._divided = divided
        self._profile = request.profile
        self._deciding_ones = {index for index, each in enumerate(request.accelerators) if each.decides}
        self._launch = 1000 * request.profile.launch_microseconds
        self._transfer = 1000 * request.profile.transfer_microseconds
        self._cycle = 1000 / min(each.processor.clock_mhz for each in request.accelerators)
        statements = list(statements_within(divided.form.body))
        self._read = {each.scalar: each.value for each in statements if isinstance(each, ReadScalar)}
        self._makers = {name: each for each in statements if isinstance(each, Launch) for name in each.outputs}
        self._there: set[str] = set()
        """Values that decide on the accelerator."""
        self._find(divided.form.body)

    @property
    def total(self) -> float:
        """Of one run."""
        return self._block(self._divided.form.body, joined=False)

    def may_pay(self, branch: Branch) -> bool:
        """Whether a select can be cheaper than this decision, by what is certain: the branch that would not have run
        takes its time, and a decision no more than these."""
        launches = (each for block in blocks_within(branch) for each in block.statements if isinstance(each, Launch))
        more = sum(each.host + each.accelerator for each in map(self._cost, launches)) / 2
        most = DECISION_CYCLES * self._cycle
        if self._read[branch.condition] not in self._there:
            most += 4 * (self._launch + self._transfer + 1000 * self._profile.node_microseconds)
        return more < most

    def _find(self, block: Block) -> None:
        """Finds the Ifs that the accelerator can decide, the inner ones first."""
        for statement in block.statements:
            for inner in blocks_within(statement):
                self._find(inner)
            if not isinstance(statement, Branch):
                continue
            value = self._read[statement.condition]
            if self._condition(value) is not None and all(self._is_whole(each) for each in blocks_within(statement)):
                self._there.add(value)

    def _is_whole(self, block: Block) -> bool:
        """Whether all of a block can be part of a program on the accelerator."""
        for statement in block.statements:
            match statement:
                case Launch():
                    if not self._is_joinable(statement):
                        return False
                case Branch():
                    if self._read[statement.condition] not in self._there:
                        return False
                case Loop():
                    return False
        return True

    def _is_joinable(self, launch: Launch) -> bool:
        """Whether the host computes nothing in a sub-network but conditions for the accelerator."""
        by_host = [each for each in self._groups(launch) if each.processor == HOST]
        deciding = {id(each) for name in launch.outputs if name in self._there for each in self._condition(name) or ()}
        return len(by_host) < len(self._groups(launch)) and all(id(each) in deciding for each in by_host)

    def _condition(self, value: str) -> Sequence[Group] | None:
        """The host graph that makes a condition of one tensor that an accelerator has made before; None where there is
        no such."""
        launch = self._makers.get(value)
        if launch is None:
            return None
        groups = self._groups(launch)
        own = self._own_names(launch)[value]
        makers = [each for each in groups if own in each.outputs and each.processor == HOST]
        if len(makers) != 1 or any(node.op_type not in DECIDING for node in makers[0].nodes):
            return None
        made = {name for each in groups if each.processor in self._deciding_ones for name in each.outputs}
        return makers if len(makers[0].inputs) == 1 and makers[0].inputs[0] in made else None

    def _own_names(self, launch: Launch) -> dict[str, str]:
        member = self._divided.bodies[launch.network].member
        return {name: own for own, name in member.outputs.items()}

    def _cost(self, launch: Launch) -> PartitionCost:
        return self._divided.residence.costs[launch.network] or PartitionCost(0, 0, 0, 0)

    def _groups(self, launch: Launch) -> Sequence[Group]:
        partition = self._divided.residence.partitions[launch.network]
        return () if partition is None else partition.chosen.groups

    def _block(self, block: Block, *, joined: bool) -> float:
        """`joined`: within a program on the accelerator, so that regions are launched with it."""
        total = 0.0
        for statement in block.statements:
            match statement:
                case Launch():
                    is_joinable = self._is_joinable(statement)
                    spared = sum(self._spared(statement)) if is_joinable else 0
                    total += self._cost(statement).total - spared
                    if joined and is_joinable:
                        total -= self._cost(statement).launches
                    joined = is_joinable and (joined or spared > 0)
                case ReadScalar():
                    total += 0 if statement.value in self._there else self._transfer
                case Branch():
                    value = self._read[statement.condition]
                    joined = value in self._there
                    total += self._deciding(value) if joined else 0
                    total += sum(self._block(each, joined=joined) for each in blocks_within(statement)) / 2
                case Loop():
                    total += self._block(statement.body, joined=False)
                    joined = False
        return total

    def _deciding(self, value: str) -> float:
        (group,) = self._condition(value) or (None,)
        assert group is not None
        prepared = self._divided.bodies[self._makers[value].network].member.prepared
        assert prepared is not None
        is_element = math.prod(prepared.graph.shape(group.inputs[0]) or (0,)) == 1
        return (ELEMENT_CYCLES if is_element else DECISION_CYCLES) * self._cycle

    def _spared(self, launch: Launch) -> Iterator[float]:
        """What conditions that the accelerator decides on do not cost the host."""
        prepared = self._divided.bodies[launch.network].member.prepared
        for group in self._groups(launch):
            if group.processor == HOST and prepared is not None:
                yield sum(prepared.costs.on_host(node) for node in group.nodes) + self._transfer
