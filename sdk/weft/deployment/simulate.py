"""The deployment played out: a discrete-event simulation with the runtime's own dispatcher.

Every task takes a known time on its part: the host, the bus, or an accelerator. Times are whole nanoseconds, so equal
settings give equal results. The simulation only moves time; who works on what is `weft_runtime.dispatch`.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from weft.deployment.arrivals import Arrivals
from weft.errors import WeftError
from weft_runtime.dispatch import BUFFERS, Assignment, CourseDispatcher, Dispatcher, Dispatching, Part, Phase, Task

__all__ = ["MOST_REQUESTS", "Occupation", "Played", "Served", "Setting", "play"]

MOST_REQUESTS = 100_000
MOST_OCCUPATIONS = 2_000_000


@dataclass(frozen=True)
class Setting:
    """What is played: the tasks of a request, their nanoseconds (one row for each request, in turn), `devices` of each
    processor, room for `queue` requests, and how many may be worked on at once (`queue` where they overlap, 1 where
    they do not). Where the path depends on the input, `courses` has the tasks of each row, `tasks` is empty, and
    `paths` names the path of each. Raises WeftError for impossible values."""

    tasks: tuple[Task, ...]
    nanoseconds: tuple[tuple[int, ...], ...]
    devices: int = 1
    queue: int = 16
    at_once: int = 16
    buffers: int = BUFFERS
    courses: tuple[tuple[Task, ...], ...] = ()
    paths: tuple[str, ...] = ()

    def tasks_of(self, request: int) -> tuple[Task, ...]:
        """What a request does."""
        return self.courses[request % len(self.courses)] if self.courses else self.tasks

    @property
    def rows(self) -> tuple[tuple[tuple[Task, ...], tuple[int, ...]], ...]:
        """The tasks of each row, and their nanoseconds."""
        return tuple((self.tasks_of(index), row) for index, row in enumerate(self.nanoseconds))

    def dispatcher(self) -> Dispatching:
        """Who gives tasks to parts."""
        if not self.courses:
            return Dispatcher(self.tasks, self.devices, self.buffers)
        used = {task.processor for course in self.courses for task in course if task.phase is Phase.LAUNCH}
        return CourseDispatcher(sorted(used), self._following, self.devices, self.buffers)

    def _following(self, request: int, index: int) -> Task | None:
        tasks = self.tasks_of(request)
        return tasks[index] if index < len(tasks) else None

    def __post_init__(self) -> None:
        if min(self.devices, self.queue, self.at_once, self.buffers) < 1:
            raise WeftError("a deployment needs at least one device, one buffer and room for one request")
        rows = self.nanoseconds
        if self.courses and (self.tasks or len(self.courses) != len(rows) or len(self.paths) != len(rows)):
            raise WeftError("a deployment of requests on several paths needs the tasks and the path of each")
        if not rows or any(len(row) != len(tasks) or min(row, default=0) < 0 for tasks, row in self.rows):
            raise WeftError("a deployment needs a time of at least 0 for every task")


@dataclass(frozen=True)
class Occupation:
    """A part at work on one task (an index) of one request, from `start` to `end` in nanoseconds."""

    request: int
    task: int
    part: Part
    start: int
    end: int


@dataclass(frozen=True)
class Served:
    """A request that was answered: nanoseconds of its arrival, of its first task and of its end."""

    number: int
    arrival: int
    begin: int
    end: int


@dataclass(frozen=True)
class Played:
    """All that happened: occupations in order of their start, requests in order of arrival, and the numbers of those
    that found no room."""

    setting: Setting
    parts: tuple[Part, ...]
    occupations: tuple[Occupation, ...]
    served: tuple[Served, ...]
    rejected: tuple[int, ...]

    @property
    def nanoseconds(self) -> int:
        """From the first arrival to the last answer."""
        if not self.served:
            return 0
        return max(each.end for each in self.served) - min(each.arrival for each in self.served)


def play(setting: Setting, arrivals: Arrivals, requests: int, seed: int = 0) -> Played:
    """Plays out so many requests. A request of an open system that finds the queue full is turned away. Raises
    WeftError for a number of requests outside 1 to MOST_REQUESTS, or with more than MOST_OCCUPATIONS tasks."""
    longest = max(len(tasks) for tasks, _ in setting.rows)
    most = min(MOST_REQUESTS, MOST_OCCUPATIONS // max(1, longest))
    if not 1 <= requests <= most:
        raise WeftError(f"{requests} requests of {longest} tasks cannot be played out: 1 to {most}")
    player = _Player(setting)
    if arrivals.is_open:
        return player.play_open(arrivals.times(requests, seed))
    clients = setting.queue if arrivals.kind == "saturating" else arrivals.clients
    return player.play_closed(min(clients, setting.queue), requests)


class _Player:
    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.dispatcher = setting.dispatcher()
        self.idle = dict.fromkeys(self.dispatcher.parts)
        self.now = 0
        self.line: deque[int] = deque()
        self.working = 0
        self.arrived: dict[int, int] = {}
        self.begun: dict[int, int] = {}
        self.ended: dict[int, int] = {}
        self.rejected: list[int] = []
        self.occupations: list[Occupation] = []
        self.under_way: list[tuple[int, int, Part, Assignment]] = []
        self.next_request = 0
        self.left = 0  # of a closed system: requests that clients have still to send

    def play_open(self, moments: Sequence[int]) -> Played:
        for moment in moments:
            while self.under_way and self.under_way[0][0] <= moment:
                self._advance()
            self.now = moment
            self._arrive()
            self._let_in()
            if self.next_request == len(moments) or moments[self.next_request] > moment:
                self._start()
        return self._drain()

    def play_closed(self, clients: int, requests: int) -> Played:
        self.left = requests
        for _ in range(min(clients, requests)):
            self.left -= 1
            self._arrive()
        self._let_in()
        self._start()
        return self._drain()

    def _arrive(self) -> None:
        number = self.next_request
        self.next_request += 1
        if self.working + len(self.line) >= self.setting.queue:
            self.rejected.append(number)
            return
        self.arrived[number] = self.now
        self.line.append(number)

    def _let_in(self) -> None:
        while self.line and self.working < self.setting.at_once:
            number = self.line.popleft()
            self.working += 1
            if self.dispatcher.admit(number):
                self.begun[number] = self.now
                self._leave(number)

    def _leave(self, number: int) -> None:
        self.ended[number] = self.now
        self.working -= 1
        if self.left:
            self.left -= 1
            self._arrive()

    def _advance(self) -> None:
        """To the next moment at which tasks end: all of them end, then idle parts start."""
        self.now = self.under_way[0][0]
        while self.under_way and self.under_way[0][0] == self.now:
            _, _, part, assignment = heapq.heappop(self.under_way)
            self.idle[part] = None
            if self.dispatcher.finish(assignment):
                self._leave(assignment.request)
        self._let_in()
        self._start()

    def _start(self) -> None:
        for part in self.dispatcher.parts:
            if part not in self.idle:
                continue
            assignment = self.dispatcher.take(part)
            if assignment is None:
                continue
            del self.idle[part]
            rows = self.setting.nanoseconds
            end = self.now + rows[assignment.request % len(rows)][assignment.task]
            self.begun.setdefault(assignment.request, self.now)
            self.occupations.append(Occupation(assignment.request, assignment.task, part, self.now, end))
            heapq.heappush(self.under_way, (end, len(self.occupations), part, assignment))

    def _drain(self) -> Played:
        while self.under_way:
            self._advance()
        served = tuple(
            Served(number, self.arrived[number], self.begun[number], self.ended[number])
            for number in sorted(self.ended)
        )
        return Played(self.setting, self.dispatcher.parts, tuple(self.occupations), served, tuple(self.rejected))
