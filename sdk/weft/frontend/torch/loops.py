"""Loops: run in Python while nothing depends on data, recorded as `while_loop` nodes or nested branches otherwise."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from weft.errors import SourceError
from weft.frontend.torch.branches import MAX_DEPTH, branch, copied
from weft.frontend.torch.effects import Guard
from weft.frontend.torch.location import refuse
from weft.frontend.torch.merging import ABSENT, is_data
from weft.frontend.torch.numbers import DataRange
from weft.frontend.torch.recorded_loop import CONTINUE, Body, Outcome, Test, record_loop
from weft.frontend.torch.recorder import Recorder, Region

MAX_UNROLLED = 16
MAX_ITERATIONS = 10_000
# A loop's body as the rewriter makes it: in front of the items and the state it takes the function that ends an
# iteration.
LeavingBody = Callable[..., Any]
After = Callable[..., Any]


def plain(body: LeavingBody) -> Body:
    """The body with outcomes as results."""
    return lambda *state: body(lambda status, value, now: (status, value, now), *state)


@dataclass(frozen=True)
class _Ended:
    """How an iteration ended on a path that no data decided."""

    outcome: Outcome


@dataclass(frozen=True)
class Unrolling:
    """A loop over items that are known."""

    recorder: Recorder
    items: Sequence[Any]
    body: LeavingBody
    names: Sequence[str]
    after: After

    def nested(self, index: int, state: tuple[Any, ...]) -> Any:
        """Runs the items from `index` on; behind a decision, each path runs the rest of the loop itself."""
        home = self.recorder.region

        def leave(status: int, value: Any, now: tuple[Any, ...]) -> Any:
            if self.recorder.region is home:
                return _Ended((status, value, now))
            return self.nested(index + 1, now) if status == CONTINUE else self.after(status, value, *now)

        while index < len(self.items):
            result = self.body(leave, self.items[index], *state)
            if not isinstance(result, _Ended):
                return result
            status, value, state = result.outcome
            if status != CONTINUE:
                return self.after(status, value, *state)
            index += 1
        return self.after(CONTINUE, ABSENT, *state)

    def merged(self, index: int, state: tuple[Any, ...]) -> Outcome:
        """Runs the items from `index` on; an iteration's paths meet before the next one."""
        body = plain(self.body)
        while index < len(self.items):
            status, value, after = body(self.items[index], *state)
            index += 1
            if is_data(status):
                rest = functools.partial(self._rest, index)
                return _go_on(self.recorder, (status, value, after), self.names, rest)
            if status != CONTINUE:
                return status, value, after
            state = after
        return CONTINUE, ABSENT, state

    def _rest(self, index: int, *state: Any) -> Outcome:
        return self.merged(index, state)


def for_loop(
    recorder: Recorder,
    items: Sequence[Any] | DataRange,
    body: LeavingBody,
    state: tuple[Any, ...],
    names: Sequence[str],
    single: bool,
    after: After | None,
) -> Any:
    """A loop over items: unrolled where they are known, recorded where their number or, in a long range, the end
    depends on data. `after` is called with how it ended, the value of a return, and the state; without it, these are
    the result.
    """
    finish: After = after or (lambda status, value, *now: (status, value, now))
    if isinstance(items, DataRange):
        return _finished(over_range(recorder, items.start, items.step, items.count, plain(body), state, names), finish)
    if len(items) > MAX_ITERATIONS:
        raise refuse(f"the loop has {len(items)} iterations; at most {MAX_ITERATIONS} can be unrolled")
    if isinstance(items, range) and len(items) > MAX_UNROLLED:

        def ends_on_data(*now: Any) -> bool:
            return is_data(plain(body)(items[0], *now)[0])

        if _tried(recorder, ends_on_data, state):
            return _finished(
                over_range(recorder, items.start, items.step, len(items), plain(body), state, names), finish
            )
    unrolling = Unrolling(recorder, items, body, names, finish)
    return unrolling.nested(0, state) if single else _finished(unrolling.merged(0, state), finish)


def _finished(outcome: Outcome, after: After) -> Any:
    status, value, state = outcome
    return after(status, value, *state)


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
    status, value, after = record_loop(
        recorder, Test(test, cheap=True), counted, (0, *state), ("the loop's counter", *names), certain
    )
    return status, value, after[1:]


def while_loop(recorder: Recorder, test: Test, body: Body, state: tuple[Any, ...], names: Sequence[str]) -> Outcome:
    """`body` again and again while `test(*state)` holds."""

    def goes_on_on_data(*now: Any) -> bool:
        status, _, after = body(*now)
        return is_data(status) or (status == CONTINUE and is_data(test.holds(*after)))

    for count in range(MAX_ITERATIONS):
        condition = test.holds(*state)
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
    """What `question` says of the state, on a copy in a region that is thrown away; False where it has other
    effects.
    """
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
