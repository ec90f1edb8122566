"""Small branches made selects, where running both is estimated to take less time than deciding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from weft.dividing import Divided, Known, divide
from weft.drivers import DECISION_CYCLES
from weft.dynamic import Form, Splitting, assemble, split
from weft.dynamic.select import may_be_selected, with_selects
from weft.frontend import Model, normalize
from weft.lowering import Prepared, Progress, Request, prepare
from weft.partition import HOST
from weft.partition.evaluate import PartitionCost
from weft.partition.regions import Group
from weft_runtime.control import Block, Branch, Launch, Loop, ReadScalar, Statement, statements_within
from weft_runtime.executable import Executable, NodeReport

__all__ = ["Selected", "select_branches"]

MOST_TRIED = 16
"""Ifs that are tried one after the other; of more, all that may be cheaper are tried together."""


@dataclass(frozen=True)
class Selected:
    """A program in which some Ifs are selects: `notes` says by name what that saves. `divided` is the division of its
    sub-networks where it is known already."""

    normalized: Model
    splitting: Splitting
    notes: dict[str, str]
    divided: Divided | None

    def reported(self, executable: Executable) -> Executable:
        """The compiled program with a report for each If that is no decision any more."""
        reports = []
        for name, note in self.notes.items():
            chosen = [each for each in executable.nodes if each.op == "Where" and each.name.startswith(f"{name}__")]
            device, region = (chosen[0].device, chosen[0].region) if chosen else ("host", "")
            reports.append(NodeReport(name, "If", device, note, region, 0, 0))
        return replace(executable, nodes=(*executable.nodes, *reports))


def select_branches(
    normalized: Model, splitting: Splitting, request: Request, progress: Progress, known: Known
) -> Selected:
    """The program with selects in place of those Ifs that are cheaper so: both branches run, and nothing is decided.

    The whole program is estimated with and without: what its sub-networks cost, divided as well as can be, with
    branches counted half and loops once, and what deciding costs on the accelerator, where it can, or by the host.
    """
    unchanged = Selected(normalized, splitting, {}, None)
    if splitting.form is None:
        return unchanged
    branches = [each for each in statements_within(splitting.form.body) if isinstance(each, Branch)]
    if not any(may_be_selected(splitting.form, each) for each in branches):
        return unchanged
    search = _Search(request, progress, known)
    divided = divide(splitting.form, request, progress, known)
    best = replace(unchanged, divided=divided)
    cost = _Estimate(divided, request).total
    tried: set[str] = set()
    while best.splitting.form is not None:
        names = search.candidates(best.splitting.form, best.divided, tried)
        if not names:
            break
        tried.update(names)
        found, total = search.attempt(best, names)
        if total < cost:
            notes = dict.fromkeys(names, f"no decision: both branches run ({_compared(total, cost)})")
            best, cost = replace(found, notes={**best.notes, **notes}), total
    return best


def _compared(ours: float, theirs: float) -> str:
    return f"{ours / 1000:,.1f} µs in all, {theirs / 1000:,.1f} µs with it"


class _Search:
    def __init__(self, request: Request, progress: Progress, known: Known) -> None:
        self._request, self._progress, self._known = request, progress, known

    def candidates(self, form: Form, divided: Divided | None, tried: set[str]) -> list[str]:
        """The next If to try, or all of them where there are many."""
        assert divided is not None
        estimate = _Estimate(divided, self._request)
        branches = [each for each in statements_within(form.body) if isinstance(each, Branch)]
        known = (each for each in statements_within(divided.form.body) if isinstance(each, Branch))
        worth = {each.name for each in known if estimate.may_pay(each)}
        names = [
            each.name
            for each in branches
            if each.name not in tried and each.name in worth and may_be_selected(form, each)
        ]
        return names if len(names) > MOST_TRIED else names[:1]

    def attempt(self, before: Selected, names: Sequence[str]) -> tuple[Selected, float]:
        """The program with these selects, too, and what it costs."""
        assert before.splitting.form is not None
        model = normalize(with_selects(assemble(before.splitting.form), names))
        splitting = split(model)
        if splitting.form is None:
            prepared = prepare(model, model, self._request, self._progress)
            total: float = prepared.partition().chosen.cost.total
            return Selected(model, splitting, {}, None), total
        divided = divide(splitting.form, self._request, self._progress, self._known)
        return Selected(model, splitting, {}, divided), _Estimate(divided, self._request).total


class _Estimate:
    """Nanoseconds of a program."""

    def __init__(self, divided: Divided, request: Request) -> None:
        self._divided = divided
        self._profile = request.profile
        self._by_host = request.driver == "host"
        clock = min(each.processor.clock_mhz for each in request.accelerators)
        self._decision = DECISION_CYCLES * 1000 / clock
        self._launch = 1000 * request.profile.launch_microseconds
        self._transfer = 1000 * request.profile.transfer_microseconds

    @property
    def total(self) -> float:
        """Branches by halves, loops once."""
        return self._block(self._divided.form.body, joined=False)

    def may_pay(self, branch: Branch) -> bool:
        """Whether a select can be cheaper than this decision, by what is certain: the branch that would not have run
        takes its time, and a decision no more than these."""
        more = sum(self._computing(block) for block in (branch.then, branch.otherwise)) / 2
        node = 1000 * self._profile.node_microseconds
        return more < self._decision + 4 * (self._launch + self._transfer + node)

    def _computing(self, block: Block) -> float:
        costs = [self._cost(each) for each in block.statements if isinstance(each, Launch)]
        return sum(each.host + each.accelerator for each in costs)

    def _cost(self, launch: Launch) -> PartitionCost:
        return self._divided.residence.costs[launch.network] or PartitionCost(0, 0, 0, 0)

    def _block(self, block: Block, *, joined: bool) -> float:
        """`joined`: within a program on the accelerator, so that regions are launched with it."""
        total = 0.0
        statements = block.statements
        for index, statement in enumerate(statements):
            match statement:
                case Launch():
                    following = statements[index + 1 : index + 3]
                    decides = self._decides_there(statement, following)
                    total += self._cost(statement).total - (self._spared(statement) if decides else 0)
                    if joined and (decides or self._is_device_only(statement)):
                        total -= self._cost(statement).launches
                    joined = decides or (joined and self._is_device_only(statement))
                case ReadScalar():
                    total += 0 if joined else self._transfer
                case Branch():
                    total += self._decision if joined else 0
                    total += sum(self._block(each, joined=joined) for each in (statement.then, statement.otherwise)) / 2
                case Loop():
                    total += self._block(statement.body, joined=False)
                    joined = False
        return total

    def _decides_there(self, launch: Launch, following: Sequence[Statement]) -> bool:
        """Whether the accelerator can decide an If right behind a launch, as far as can be said before it is tried."""
        if self._by_host or len(following) < 2 or not isinstance(following[1], Branch):
            return False
        groups = self._groups(launch)
        if len(groups) < 2 or groups[-1].processor != HOST or any(each.processor == HOST for each in groups[:-1]):
            return False
        graph = self._prepared(launch).graph
        taken = groups[-1].inputs
        is_single = len(taken) == 1 and all(extent == 1 for extent in graph.shape(taken[0]) or (0,))
        return is_single and all(self._is_whole(block) for block in (following[1].then, following[1].otherwise))

    def _is_whole(self, block: Block) -> bool:
        """Whether everything in a block can be part of a program on the accelerator."""
        place = 0
        while place < len(block.statements):
            statement = block.statements[place]
            if not isinstance(statement, Launch):
                return False
            decides = self._decides_there(statement, block.statements[place + 1 : place + 3])
            if not decides and not self._is_device_only(statement):
                return False
            place += 3 if decides else 1
        return True

    def _spared(self, launch: Launch) -> float:
        """What the condition costs the host."""
        costs = self._prepared(launch).costs
        return sum(costs.on_host(node) for node in self._groups(launch)[-1].nodes) + self._transfer

    def _is_device_only(self, launch: Launch) -> bool:
        groups = self._groups(launch)
        return bool(groups) and all(each.processor != HOST for each in groups)

    def _groups(self, launch: Launch) -> Sequence[Group]:
        partition = self._divided.residence.partitions[launch.network]
        return () if partition is None else partition.chosen.groups

    def _prepared(self, launch: Launch) -> Prepared:
        prepared = self._divided.bodies[launch.network].member.prepared
        assert prepared is not None
        return prepared
