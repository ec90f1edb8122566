"""Loops: run in Python while nothing depends on data, recorded as `while_loop` nodes or nested branches otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from weft.errors import SourceError
from weft.frontend.torch.branches import MAX_DEPTH, branch, copied
from weft.frontend.torch.effects import Guard
from weft.frontend.torch.location import refuse
from weft.frontend.torch.merging import ABSENT, is_data
from weft.frontend.torch.recorded_loop import BREAK, CONTINUE, RETURN, Body, Outcome, Test, record_loop
from weft.frontend.torch.recorder import Recorder, Region

MAX_UNROLLED = 16
MAX_ITERATIONS = 10_000


@dataclass(frozen=True)
class Iteration:
    """A loop over items that are known: `Body` takes the item in front of the state."""

    items: Sequence[Any]
    body: Body

    def from_item(self, recorder: Recorder, index: int, state: tuple[Any, ...], names: Sequence[str]) -> Outcome:
        """Runs the items from `index` on; the rest becomes a branch where an iteration's end depends on data."""
        while index < len(self.items):
            status, value, after = self.body(self.items[index], *state)
            index += 1
            if is_data(status):
                return _go_on(
                    recorder, (status, value, after), names, lambda *now: self.from_item(recorder, index, now, names)
                )
            if status != CONTINUE:
                return status, value, after
            state = after
        return CONTINUE, ABSENT, state


def over_items(
    recorder: Recorder, items: Sequence[Any], body: Body, state: tuple[Any, ...], names: Sequence[str]
) -> Outcome:
    """A loop over known items: unrolled, or where it is a long range with an end that depends on data, a loop."""
    if len(items) > MAX_ITERATIONS:
        raise refuse(f"the loop has {len(items)} iterations; at most {MAX_ITERATIONS} can be unrolled")
    if isinstance(items, range) and len(items) > MAX_UNROLLED:

        def ends_on_data(*now: Any) -> bool:
            return is_data(body(items[0], *now)[0])

        if _tried(recorder, ends_on_data, state):
            return over_range(recorder, items.start, items.step, len(items), body, state, names)
    return Iteration(items, body).from_item(recorder, 0, state, names)


def over_range(
    recorder: Recorder, start: Any, step: Any, count: Any, body: Body, state: tuple[Any, ...], names: Sequence[str]
) -> Outcome:
    """A loop that counts from `start` in steps of `step`, `count` times; each may depend on data."""

    def test(index: Any, *_: Any) -> Any:
        return index < count

    def counted(index: Any, *now: Any) -> Outcome:
        status, value, after = body(start + index * step, *now)
        return status, value, (index + 1, *after)

    certain = not is_data(count) and count > 0
    status, value, after = record_loop(recorder, test, counted, (0, *state), ("the loop's counter", *names), certain)
    return status, value, after[1:]


def while_loop(recorder: Recorder, test: Test, body: Body, state: tuple[Any, ...], names: Sequence[str]) -> Outcome:
    """`body` again and again while `test(*state)` holds."""

    def goes_on_on_data(*now: Any) -> bool:
        status, _, after = body(*now)
        return is_data(status) or (status == CONTINUE and is_data(test(*after)))

    for count in range(MAX_ITERATIONS):
        condition = test(*state)
        if is_data(condition):
            return record_loop(recorder, test, body, state, names, certain=False)
        if not condition:
            return CONTINUE, ABSENT, state
        if count == 0 and _tried(recorder, goes_on_on_data, state):
            try:
                return record_loop(recorder, test, body, state, names, certain=True)
            except SourceError:
                # A value that takes its final type in the first iteration: that one is taken out of the loop.
                if recorder.region.depth >= MAX_DEPTH - 4:
                    raise
        status, value, after = body(*state)
        if is_data(status):
            return _go_on(
                recorder, (status, value, after), names, lambda *now: while_loop(recorder, test, body, now, names)
            )
        if status != CONTINUE:
            return status, value, after
        state = after
    raise refuse(f"the loop still runs after {MAX_ITERATIONS} iterations, and nothing in it depends on data")


def _tried(recorder: Recorder, question: Callable[..., bool], state: tuple[Any, ...]) -> bool:
    """What `question` says of the state, on a copy in a region that is thrown away; False where it has other effects."""
    with recorder.inside(Region(recorder.region)):
        guard = Guard(recorder)
        guard.__enter__()
        try:
            answer = question(*copied(recorder, state))
        except Exception:
            # Whatever fails here fails again, with its message, where it counts.
            answer = False
        if guard.unchanged():
            return answer
        guard.restore()
        return False


def _go_on(recorder: Recorder, outcome: Outcome, names: Sequence[str], rest: Callable[..., Outcome]) -> Outcome:
    """The rest of a loop, as a branch on whether the iteration that gave `outcome` ended it."""
    status, value, after = outcome
    merged: Outcome = branch(
        recorder,
        status == CONTINUE,
        lambda *now: rest(*now),
        lambda *now: (status, value, now),
        after,
        ("the loop's end", "the returned value", tuple(names)),
    )
    return merged


__all__ = ["BREAK", "CONTINUE", "RETURN", "over_items", "over_range", "while_loop"]
