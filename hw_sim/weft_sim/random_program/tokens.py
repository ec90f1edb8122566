"""Superfluous tokens: pairs that order what is ordered already, so that every channel is exercised."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from weft_sim.isa import Instruction, Jump, Unit

__all__ = ["add_superfluous_tokens"]

_MOST_OPEN = 16


def add_superfluous_tokens(
    rng: np.random.Generator, program: Sequence[Instruction], sources: Sequence[Unit]
) -> list[Instruction]:
    """The program with some more pairs of signal and wait, from units in `sources`, within stretches between
    JUMPs.

    On a channel the n-th wait takes the n-th signal, so a new pair shifts its neighbours: one that lies
    inside an old pair makes the old wait stricter, one that is apart changes nothing. A pair around an old
    one would weaken it and is left out.
    """
    waits = [instruction.wait for instruction in program]
    signals = [instruction.signal for instruction in program]
    for first, last in _stretches(program):
        for _ in range((last - first) // 3):
            signal, wait = sorted(int(value) for value in rng.integers(first, last, 2))
            source, target = program[signal].UNIT, program[wait].UNIT
            if source == target or source not in sources:
                continue
            if signals[signal] >> target & 1 or waits[wait] >> source & 1:
                continue
            pairs = _pairs(program, signals, waits, range(first, last), (source, target))
            around = any(s > signal and w < wait for s, w in pairs)
            crowded = sum(s <= wait and w >= signal for s, w in pairs) >= _MOST_OPEN
            if not around and not crowded:
                signals[signal] |= 1 << target
                waits[wait] |= 1 << source
    return [item.with_tokens(w, s) for item, w, s in zip(program, waits, signals, strict=True)]


def _stretches(program: Sequence[Instruction]) -> list[tuple[int, int]]:
    """Index ranges without a JUMP inside, in each of which tokens balance; JUMPs themselves are left out."""
    bounds = [-1, *(i for i, item in enumerate(program) if isinstance(item, Jump)), len(program)]
    return [(a + 1, b) for a, b in pairwise(bounds) if b - a > 2]


def _pairs(
    program: Sequence[Instruction],
    signals: Sequence[int],
    waits: Sequence[int],
    stretch: range,
    channel: tuple[Unit, Unit],
) -> list[tuple[int, int]]:
    """(signal, wait) indices of the channel's tokens; the last wait may be that of the JUMP behind the
    stretch."""
    source, target = channel
    behind = range(stretch.start, min(stretch.stop + 1, len(program)))
    given = [i for i in behind if source == program[i].UNIT and signals[i] >> target & 1]
    taken = [i for i in behind if target == program[i].UNIT and waits[i] >> source & 1]
    return list(zip(given, taken, strict=True))
