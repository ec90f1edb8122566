"""Who works on what next when several requests are on their way: the policy alone, without threads and without time.

A request is the same row of tasks for every sample of an executable: host graphs, and for each region pack, send,
launch, receive, unpack. Tasks of one request follow each other; tasks of several requests overlap on the host, the bus
and the accelerators. The pipeline of a session (`pipeline.py`) and the simulated deployment (`weft.deployment`) both
ask this module, so that what the simulation plays out is what the runtime does.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from weft_runtime.executable import Executable

__all__ = ["BUFFERS", "BUS", "HOST", "Assignment", "Dispatcher", "Part", "Phase", "Slot", "Task", "tasks_of"]

BUFFERS = 3
"""Input/output areas of a region on each device: one is filled while another is worked on and a third is emptied."""


class Phase(Enum):
    """What a task does."""

    HOST = "host"
    PACK = "pack"
    SEND = "send"
    LAUNCH = "launch"
    RECEIVE = "receive"
    UNPACK = "unpack"


@dataclass(frozen=True)
class Part:
    """What does one task at a time: the host, the bus, or the device number `device` of a processor."""

    kind: str
    processor: int = 0
    device: int = 0


HOST = Part("host")
BUS = Part("bus")


@dataclass(frozen=True)
class Task:
    """One piece of every request: a phase of step `step` of the executable; `region` and `processor` are -1 for host
    graphs."""

    step: int
    phase: Phase
    region: int = -1
    processor: int = -1


@dataclass(frozen=True)
class Slot:
    """One of a region's input/output areas: on which device of its processor, and which one there."""

    device: int
    buffer: int


@dataclass(frozen=True)
class Assignment:
    """A task (index into the tasks) of a request, given to a part. `slot` is None for host graphs."""

    request: int
    task: int
    slot: Slot | None


def tasks_of(executable: Executable) -> tuple[Task, ...]:
    """The tasks of one request, in order."""
    tasks: list[Task] = []
    for number, step in enumerate(executable.steps):
        if step.kind == "host":
            tasks.append(Task(number, Phase.HOST))
            continue
        processor = executable.regions[step.index].processor
        phases = (Phase.PACK, Phase.SEND, Phase.LAUNCH, Phase.RECEIVE, Phase.UNPACK)
        tasks += [Task(number, phase, step.index, processor) for phase in phases]
    return tuple(tasks)


class Dispatcher:
    """Gives every part the oldest request's task that can be done now.

    A request takes a slot of a region before it packs and gives it back when it has received; of several devices it
    takes the one with the fewest slots in use. It holds one slot at a time and every task ends by itself, so nothing
    can wait in a circle. Requests are numbers that rise in order of arrival. Not safe for threads by itself.
    """

    def __init__(self, tasks: Sequence[Task], devices: int = 1, buffers: int = BUFFERS) -> None:
        if devices < 1 or buffers < 1:
            raise ValueError(f"{devices} devices with {buffers} buffers cannot work")
        self.tasks = tuple(tasks)
        self._devices = devices
        self._ready: dict[Part, list[tuple[int, int]]] = {}
        self._waiting: dict[int, list[tuple[int, int]]] = {}
        self._free = {task.region: [list(range(buffers)) for _ in range(devices)] for task in tasks if task.region >= 0}
        self._used: dict[tuple[int, int], int] = {}
        self._slots: dict[int, tuple[Task, Slot]] = {}

    @property
    def parts(self) -> tuple[Part, ...]:
        """Host, bus, and every device."""
        processors = sorted({task.processor for task in self.tasks if task.processor >= 0})
        return (HOST, BUS, *(Part("device", each, device) for each in processors for device in range(self._devices)))

    def admit(self, request: int) -> None:
        """A new request; with no task at all it is done at once."""
        self._proceed(request, 0)

    def take(self, part: Part) -> Assignment | None:
        """The next task for a part that is idle, or None."""
        ready = self._ready.get(part)
        if not ready:
            return None
        request, task = heapq.heappop(ready)
        slot = self._slots.get(request)
        return Assignment(request, task, slot[1] if slot is not None else None)

    def finish(self, done: Assignment) -> bool:
        """The task is done; True if that was the request's last one."""
        task = self.tasks[done.task]
        if task.phase is Phase.RECEIVE:
            self._release(done.request)
        return self._proceed(done.request, done.task + 1)

    def drop(self, request: int) -> None:
        """The request ends here, with none of its tasks under way: it failed or was cancelled."""
        self._release(request)
        for heap in (*self._ready.values(), *self._waiting.values()):
            kept = [each for each in heap if each[0] != request]
            if len(kept) < len(heap):
                heap[:] = kept
                heapq.heapify(heap)

    def _proceed(self, request: int, index: int) -> bool:
        if index == len(self.tasks):
            return True
        task = self.tasks[index]
        if task.phase is Phase.PACK:
            heapq.heappush(self._waiting.setdefault(task.region, []), (request, index))
            self._allot(task.region)
            return False
        self._push(self._part(request, task), request, index)
        return False

    def _part(self, request: int, task: Task) -> Part:
        if task.phase is Phase.LAUNCH:
            return Part("device", task.processor, self._slots[request][1].device)
        return BUS if task.phase in (Phase.SEND, Phase.RECEIVE) else HOST

    def _push(self, part: Part, request: int, index: int) -> None:
        heapq.heappush(self._ready.setdefault(part, []), (request, index))

    def _allot(self, region: int) -> None:
        """Free slots of a region go to the oldest requests that wait for one."""
        waiting = self._waiting.get(region, [])
        while waiting:
            open_devices = [device for device, free in enumerate(self._free[region]) if free]
            if not open_devices:
                return
            request, index = heapq.heappop(waiting)
            task = self.tasks[index]
            device = min(open_devices, key=lambda each: self._used.get((task.processor, each), 0))
            self._used[task.processor, device] = self._used.get((task.processor, device), 0) + 1
            self._slots[request] = (task, Slot(device, self._free[region][device].pop(0)))
            self._push(HOST, request, index)

    def _release(self, request: int) -> None:
        held = self._slots.pop(request, None)
        if held is None:
            return
        task, slot = held
        self._used[task.processor, slot.device] -= 1
        self._free[task.region][slot.device].append(slot.buffer)
        self._allot(task.region)
