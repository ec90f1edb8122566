"""Loops whose end depends on data, recorded as `while_loop` nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

from weft.frontend.torch.branches import predicate
from weft.frontend.torch.effects import Guard
from weft.frontend.torch.location import refuse
from weft.frontend.torch.merging import ABSENT, Known, Merged, Pair, Slot, Unusable, is_data, merge, merge_leaf
from weft.frontend.torch.numbers import both
from weft.frontend.torch.program import WHILE_LOOP
from weft.frontend.torch.recorder import Recorder, Region
from weft.frontend.torch.scalars import Scalar

CONTINUE, BREAK, RETURN = 0, 1, 2
MAX_ROUNDS = 12
# How an iteration ended, the value of a return, and the state behind it.
Outcome = tuple[Any, Any, tuple[Any, ...]]
Body = Callable[..., Outcome]


@dataclass(frozen=True)
class Test:
    """A loop's test: `holds(*state)`; where it is `cheap` it may be computed although the loop was left already."""

    holds: Callable[..., Any]
    cheap: bool

    def behind(self, recorder: Recorder, status: Any, state: Sequence[Any]) -> Any:
        """Whether the loop goes on behind an iteration that ended with `status`."""
        goes_on = status == CONTINUE
        if not is_data(goes_on):
            return self.holds(*state) if goes_on else False
        return both(recorder, goes_on, lambda: self.holds(*state), cheap=self.cheap, exact=False)


@dataclass(frozen=True)
class Variable:
    """One element of a loop's state: its leaves on entry, and which of them the loop carries as tensors.

    A `late` variable has no value on entry; the body sees none, and the loop carries it to its end only.
    """

    name: str
    initial: tuple[Any, ...]
    merged: tuple[Merged, ...]
    structure: Any
    late: bool = False

    def entering(self, tensors: Sequence[torch.Tensor]) -> Any:
        """The value that an iteration sees, with `tensors` for the slots."""
        if self.late:
            return self.initial[0]
        return self.value(tensors)

    def value(self, tensors: Sequence[torch.Tensor]) -> Any:
        """The value with `tensors` for the slots."""
        rest = iter(tensors)
        leaves = [each.leaf(next(rest)) if isinstance(each, Slot) else each.value for each in self.merged]
        return pytree.tree_unflatten(leaves, self.structure)

    @property
    def slots(self) -> list[Slot]:
        """The slots in order."""
        return [each for each in self.merged if isinstance(each, Slot)]

    def initial_tensors(self) -> list[torch.Tensor]:
        """What the slots hold before the first iteration, recorded in the current region."""
        leaves = [ABSENT] * len(self.merged) if self.late else self.initial
        return [slot.tensor(leaf) for slot, leaf in zip(self.merged, leaves, strict=True) if isinstance(slot, Slot)]

    def tensors(self, value: Any) -> list[torch.Tensor]:
        """What the slots hold of a value of this variable, recorded in the current region."""
        leaves = pytree.tree_leaves(value) if value is not ABSENT else [ABSENT] * len(self.merged)
        return [slot.tensor(leaf) for slot, leaf in zip(self.merged, leaves, strict=True) if isinstance(slot, Slot)]


def starting(name: str, value: Any) -> Variable:
    """A variable before anything is known about the loop: tensors and numbers on data are carried, all else is as it
    is.
    """
    leaves, structure = pytree.tree_flatten(value)
    merged: list[Merged] = []
    for leaf in leaves:
        if isinstance(leaf, torch.Tensor):
            merged.append(Slot(leaf.dtype, tuple(leaf.shape), number=False))
        elif isinstance(leaf, Scalar):
            merged.append(Slot(leaf.tensor.dtype, (), number=True))
        else:
            merged.append(Known(leaf))
    return Variable(name, tuple(leaves), tuple(merged), structure)


def widened(variable: Variable, after: Any) -> Variable:
    """The variable such that it also holds what one iteration leaves in it."""
    subject = f"{variable.name} changes in a loop that depends on data: it"
    is_missing = len(variable.initial) == 1 and isinstance(variable.initial[0], Unusable)
    if is_missing:
        if isinstance(after, Unusable):  # also where an earlier round, with fewer values on data, assigned it always
            return starting(variable.name, variable.initial[0])
        pairs, structure = merge(ABSENT, after, subject)
        return Variable(variable.name, variable.initial, tuple(pair.merged for pair in pairs), structure, late=True)
    before = pytree.tree_unflatten(list(variable.initial), variable.structure)
    pairs, structure = merge(before, after, subject)
    if structure != variable.structure:
        return _unusable(variable, pairs)
    merged_leaves = tuple(_widened_leaf(each, pair, subject) for each, pair in zip(variable.merged, pairs, strict=True))
    for each in merged_leaves:
        if isinstance(each, Known) and isinstance(each.value, Unusable):
            return _unusable(variable, [Pair(each, None, None)])
    return Variable(variable.name, variable.initial, merged_leaves, structure)


def _unusable(variable: Variable, pairs: Sequence[Pair]) -> Variable:
    reasons = [
        pair.merged for pair in pairs if isinstance(pair.merged, Known) and isinstance(pair.merged.value, Unusable)
    ]
    return Variable(variable.name, (reasons[0].value,), (reasons[0],), pytree.tree_flatten(0)[1])


def _widened_leaf(present: Merged, pair: Pair, subject: str) -> Merged:
    if isinstance(present, Known):
        return pair.merged
    inside = present.leaf(torch.empty(present.shape, dtype=present.dtype, device="meta"))
    merged = merge_leaf(inside, pair.other, subject)
    return present if merged == present else merged if isinstance(merged, Known) else pair.merged


def record_loop(
    recorder: Recorder, test: Test, body: Body, state: tuple[Any, ...], names: Sequence[str], certain: bool
) -> Outcome:
    """Records a loop; as many of its state's leaves as change become tensors that it carries.

    `certain` says that the first iteration is known to run. Raises SourceError where a value that the loop reads
    changes its dtype, shape or structure.
    """
    variables = [starting(name, value) for name, value in zip(names, state, strict=True)]
    for _ in range(MAX_ROUNDS):
        region = Region(recorder.region)
        with recorder.inside(region), Guard(recorder):
            status, value, after = body(*_enter(recorder, variables))
        wider = [widened(variable, each) for variable, each in zip(variables, after, strict=True)]
        if wider == variables:
            break
        variables = wider
    else:
        raise refuse("the values of this loop change their types from iteration to iteration")
    ends = _ends(status, value)
    return _emit(recorder, test, region, variables, ends, (status, value, after), certain)


def _enter(recorder: Recorder, variables: Sequence[Variable]) -> list[Any]:
    """Gives the current region its carried values; what the body or test sees of them."""
    given: list[Any] = []
    for variable in variables:
        tensors = [] if variable.late else [recorder.carried(each) for each in _unrecorded(variable)]
        given.append(variable.entering(tensors))
    return given


def _unrecorded(variable: Variable) -> list[torch.Tensor]:
    """Tensors like the slots' initial ones, the very ones where they are tensors already."""
    found: list[torch.Tensor] = []
    for slot, leaf in zip(variable.merged, variable.initial, strict=True):
        if isinstance(slot, Slot):
            exact = leaf.tensor if isinstance(leaf, Scalar) else leaf
            same = isinstance(exact, torch.Tensor) and exact.dtype == slot.dtype
            found.append(exact if same else torch.zeros(slot.shape, dtype=slot.dtype))
    return found


def _ends(status: Any, value: Any) -> list[Variable]:
    """The loop's end and a return's value as late variables; none where no iteration ends the loop."""
    if not is_data(status) and status == CONTINUE:
        return []
    slot = Slot(torch.int64, (), number=True)
    end = Variable("the loop's end", (CONTINUE,), (slot,), pytree.tree_flatten(0)[1])
    pairs, structure = merge(ABSENT, value, "the returned value")
    merged = tuple(pair.merged for pair in pairs)
    return [end, Variable("the returned value", (ABSENT,), merged, structure, late=True)]


def _emit(
    recorder: Recorder,
    test: Test,
    region: Region,
    variables: Sequence[Variable],
    ends: Sequence[Variable],
    outcome: Outcome,
    certain: bool,
) -> Outcome:
    """The `while_loop` node: it carries the early variables, then the late ones, then the ends."""
    early = [(each, after) for each, after in zip(variables, outcome[2], strict=True) if not each.late]
    late = [(each, after) for each, after in zip(variables, outcome[2], strict=True) if each.late]
    closing = list(zip(ends, outcome[:2], strict=True)) if ends else []
    order = [*early, *late, *closing]
    initial = [recorder.fake(tensor) for variable, _ in order for tensor in variable.initial_tensors()]
    results: list[torch.Tensor] = []
    with recorder.inside(region):
        for variable, _ in (*late, *closing):
            for slot in variable.slots:
                recorder.carried(torch.zeros(slot.shape, dtype=slot.dtype))
        for variable, after in order:
            results += [recorder.fake(tensor) for tensor in variable.tensors(after)]
        for tensor in results:
            recorder.node(tensor)
    again, truth = _test_region(recorder, test, variables, late, ends)
    outputs = _node(recorder, (again, region), truth, results, initial)
    return _outcome(variables, [variable for variable, _ in order], outputs, certain)


def _test_region(
    recorder: Recorder,
    test: Test,
    variables: Sequence[Variable],
    late: Sequence[tuple[Variable, Any]],
    ends: Sequence[Variable],
) -> tuple[Region, torch.Tensor]:
    region = Region(recorder.region)
    with recorder.inside(region), Guard(recorder):
        given = _enter(recorder, variables)
        for variable, _ in late:
            for slot in variable.slots:
                recorder.carried(torch.zeros(slot.shape, dtype=slot.dtype))
        status: Any = CONTINUE
        for variable in ends:
            for slot in variable.slots:
                tensor = recorder.carried(torch.zeros(slot.shape, dtype=slot.dtype))
                status = slot.leaf(tensor) if variable is ends[0] else status
        held = test.behind(recorder, status, given)
        truth = predicate(held) if is_data(held) else torch.full((), bool(held), dtype=torch.bool)
        return region, recorder.fake(truth)


def _node(
    recorder: Recorder,
    regions: tuple[Region, Region],
    truth: torch.Tensor,
    results: Sequence[torch.Tensor],
    initial: Sequence[torch.Tensor],
) -> list[torch.Tensor]:
    again, body = regions
    with recorder.inside(again):
        recorder.node(truth)
    captured = list({key: each for region in regions for key, each in region.captured.items()}.values())
    blocks = [
        recorder.body(recorder.close(again, [truth], captured)),
        recorder.body(recorder.close(body, results, captured)),
    ]
    carried = tuple(recorder.operand(each) for each in initial)
    additional = tuple(recorder.operand(each) for each in captured)
    for region in regions:
        recorder.leave(region)
    node = recorder.region.graph.call_function(WHILE_LOOP, (*blocks, carried, additional))
    node.meta["val"] = tuple(initial)
    return [recorder.new_result(node, index, like, (like, results[index])) for index, like in enumerate(initial)]


def _outcome(
    variables: Sequence[Variable], order: Sequence[Variable], outputs: Sequence[torch.Tensor], certain: bool
) -> Outcome:
    values: dict[str, Any] = {}
    start = 0
    for variable in order:
        count = len(variable.slots)
        values[variable.name] = variable.value(outputs[start : start + count])
        start += count
        if variable.late and variable.name != "the returned value" and not certain:
            values[variable.name] = Unusable(
                f"{variable.name} is assigned only inside a loop that may run zero times; assign it before the loop"
            )
    state = tuple(values[variable.name] for variable in variables)
    return values.get("the loop's end", CONTINUE), values.get("the returned value", ABSENT), state
