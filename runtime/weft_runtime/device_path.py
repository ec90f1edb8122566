"""The way that a program took by itself, read from its mailboxes and its log after the launch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from weft_runtime.errors import DeviceError, SessionError
from weft_runtime.executable import IN_LOG, NUMBER_BYTES, UNCHANGING, Region, RegionCount, RegionDecision
from weft_runtime.interpreter import Decision

__all__ = ["MAX_EVENTS", "DevicePath", "packed_number"]

MAX_EVENTS = 1 << 22
"""Most iterations and decisions of one launch: a damaged artifact must not keep a session busy for ever."""

CHUNK = 64
"""Bytes of the log that are read at once."""

Read = Callable[[int, int], Any]


def packed_number(value: int, most: int) -> tuple[int, Any]:
    """What a program gets of a number between 0 and `most`, and its bytes, uint8."""
    bounded = min(max(value, 0), most)
    return bounded, np.frombuffer(bounded.to_bytes(NUMBER_BYTES, "little"), np.uint8)


class DevicePath:
    """Decisions in the order in which an interpreter would take them, and the multiply-accumulates on the way.

    `numbers` are those that the region was given, `read` fetches bytes of the workspace (offset, count). Raises
    DeviceError for what no program can have left behind, SessionError for a loop that was given up.
    """

    def __init__(self, region: Region, mailboxes: Sequence[int], numbers: Mapping[str, int], read: Read) -> None:
        self.decisions: list[Decision] = []
        self.macs = 0
        self.tallies = dict.fromkeys(region.tallies, 0)
        self.parts: dict[str, int] = {}
        self._region = region
        self._mailboxes = mailboxes
        self._numbers = numbers
        self._read = read
        self._bytes: list[int] = []
        self._position = self._events = 0
        self._follow(region.decisions)

    def _follow(self, decisions: Sequence[RegionDecision | RegionCount]) -> None:
        for decision in decisions:
            self._count_event()
            if isinstance(decision, RegionCount):
                self._follow_loop(decision)
            else:
                self._follow_decision(decision)

    def _follow_decision(self, decision: RegionDecision) -> None:
        logged = decision.mailbox == IN_LOG
        above = self._next() == 1 if logged else not decision.holds(self._mailboxes[decision.mailbox])
        self.decisions.append(Decision(decision.name, decision.above if above else decision.below))
        self.macs += decision.macs_above if above else decision.macs_below
        tally = decision.tally_above if above else decision.tally_below
        if tally:
            self.tallies[tally] += 1
        self._follow(decision.when_above if above else decision.when_below)

    def _follow_loop(self, loop: RegionCount) -> None:
        limit = min(loop.limit, self._numbers[loop.number]) if loop.number else loop.limit
        rounds = 0
        if loop.mailbox == IN_LOG:
            while self._next():
                rounds += 1
                if rounds > limit:
                    self._refuse(f"loop {loop.name!r} has more than {limit} iterations")
                self._follow_iteration(loop)
        else:
            left = 0 if loop.mailbox == UNCHANGING else self._mailboxes[loop.mailbox]
            if not 0 <= left <= limit:
                self._refuse(f"loop {loop.name!r} has {left} of {limit} iterations left")
            rounds = limit - left
            for _ in range(rounds if loop.decisions else 0):
                self._follow_iteration(loop)
        if rounds > loop.most:
            raise SessionError(
                f"loop {loop.name!r} has not ended after {loop.most} iterations, the most that its program on the "
                "accelerator can keep track of; compile with driver 'host'"
            )
        self.macs += rounds * loop.macs
        if loop.tally:
            self.tallies[loop.tally] = rounds
        if loop in self._region.decisions:
            self.parts.update(dict.fromkeys(loop.collected, rounds))
        self.decisions.append(Decision(loop.name, str(rounds)))

    def _follow_iteration(self, loop: RegionCount) -> None:
        self._count_event()
        self._follow(loop.decisions)

    def _next(self) -> int:
        """The log's next byte."""
        log = self._region.log
        if log is None or self._position >= log.size:
            self._refuse("its log is shorter than its way")
        if self._position >= len(self._bytes):
            size = min(CHUNK, log.size - self._position)
            self._bytes += self._read(log.offset + self._position, size).tolist()
        outcome = self._bytes[self._position]
        if outcome > 1:
            self._refuse(f"its log has {outcome} at byte {self._position}")
        self._position += 1
        return outcome

    def _count_event(self) -> None:
        self._events += 1
        if self._events > MAX_EVENTS:
            self._refuse(f"its way has more than {MAX_EVENTS} decisions and iterations")

    def _refuse(self, reason: str) -> NoReturn:
        raise DeviceError(f"region {self._region.name!r} left no possible way behind: {reason}")
