"""How many iterations a joined program can keep track of, where a loop's count is not known."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from dataclasses import replace

from weft.codegen.device_walks import log_bytes, notes
from weft.ir.device_control import UNKNOWN, Decide, Piece, Repeat, Sequence, Unjoinable
from weft_runtime.interpreter import MAX_ITERATIONS

__all__ = ["LEAST", "LOG_BYTES", "bounded"]

LOG_BYTES = 1 << 18
"""Most outcomes inside loops of one launch."""

LEAST = 8
"""Iterations that a loop of unknown count must be able to have on the accelerator."""

Steps = tuple[Piece | Decide | Repeat, ...]


def bounded(steps: Steps) -> Steps:
    """The steps with a limit for every loop whose count is not known: as many iterations as the host would grant where
    they leave nothing to be kept, else the same power of two for all, so that what all of them decide fits. One
    iteration more tells that it was not enough. Raises Unjoinable where LEAST iterations are too many."""
    most = MAX_ITERATIONS
    while most >= LEAST:
        found = tuple(_with_limit(step, most, 0) for step in steps)
        if log_bytes(Sequence(found, ())) <= LOG_BYTES:
            return found
        most //= 2
    raise Unjoinable(f"what is decided in {LEAST} iterations of each loop is more than can be kept")


def _with_limit(step: Piece | Decide | Repeat, most: int, depth: int) -> Piece | Decide | Repeat:
    match step:
        case Decide():
            below, above = (_within(side, most, depth) for side in (step.when_below, step.when_above))
            return replace(step, when_below=below, when_above=above)
        case Repeat():
            body = _within(step.body, most, depth + 1)
            if step.limit != UNKNOWN:
                return replace(step, body=body)
            own = most if depth or notes(body) else MAX_ITERATIONS
            return replace(step, body=body, limit=own + 1, most=own)
    return step


def _within(sequence: Sequence, most: int, depth: int) -> Sequence:
    steps: Listing[Piece | Decide | Repeat] = [_with_limit(step, most, depth) for step in sequence.steps]
    return replace(sequence, steps=tuple(steps))
