"""Who works on what next when several requests are on their way: the policy alone, without threads and without time.

A request is the same row of tasks for every sample of an executable: host graphs, and for each region pack, send,
launch, receive, unpack; where its path depends on the input, what comes next is known when the task before is done.
Tasks of one request follow each other; tasks of several requests overlap on the host, the bus and the accelerators. The
pipeline of a session (`pipeline.py`) and the simulated deployment (`weft.deployment`) both ask this module, so that
what the simulation plays out is what the runtime does.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from weft_runtime.executable import Executable

__all__ = [
    "BUFFERS",
    "BUS",
    "HOST",
    "Assignment",
    "CourseDispatcher",
    "Dispatcher",
    "Dispatching",
    "Following",
    "Part",
    "Phase",
    "Slot",
    "Task",
    "Work",
    "tasks_of",
]

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
    graphs. Of a dynamic program, `step` is the host graph's number and `region` the one that a launch, or what is sent
    for it, belongs to; both are -1 where the host fetches a value."""

    step: int
    phase: Phase
    region: int = -1
    processor: int = -1


@dataclass(frozen=True)
class Work:
    """A task that was done: bytes over the bus or packed, and cycles of a launch."""

    task: Task
    nbytes: int = 0
    cycles: int = 0


@dataclass(frozen=True)
class Slot:
    """One of a region's input/output areas: on which device of its processor, and which one there. For a dynamic
    program, one of the places for a request on the devices, that many of each processor."""

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


class Dispatching(Protocol):
    """Who gives tasks to parts."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Host, bus, and every device."""
        ...

    def admit(self, request: int) -> bool:
        """A new request; True if it has no task at all and so is done."""
        ...

    def take(self, part: Part) -> Assignment | None:
        """The next task for a part that is idle, or None."""
        ...

    def finish(self, done: Assignment) -> bool:
        """The task is done; True if that was the request's last one."""
        ...

    def drop(self, request: int) -> None:
        """The request ends here, with none of its tasks under way: it failed or was cancelled."""
        ...


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

    def admit(self, request: int) -> bool:
        """A new request; True if it has no task at all and so is done."""
        return self._proceed(request, 0)

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


Following = Callable[[int, int], Task | None]
"""The task number so-and-so of a request, when those before are done; None where there is no further one."""


class CourseDispatcher:
    """The same for requests whose tasks follow from what they decide on the way.

    A request takes one of `devices` × `buffers` slots before its first task and gives it back after its last: a device
    of each processor, the one with the fewest slots in use, and memory of its own there. Every part takes the oldest
    request's task; a request holds one slot and waits for nothing else, so nothing can wait in a circle.
    """

    def __init__(
        self, processors: Sequence[int], following: Following, devices: int = 1, buffers: int = BUFFERS
    ) -> None:
        if devices < 1 or buffers < 1:
            raise ValueError(f"{devices} devices with {buffers} buffers cannot work")
        self._processors, self._following, self._devices = tuple(processors), following, devices
        self._ready: dict[Part, list[tuple[int, int]]] = {}
        self._waiting: list[int] = []
        self._free = [list(range(buffers)) for _ in range(devices)]
        self._slots: dict[int, Slot] = {}

    @property
    def parts(self) -> tuple[Part, ...]:
        """Host, bus, and every device."""
        devices = range(self._devices)
        return (HOST, BUS, *(Part("device", each, device) for each in self._processors for device in devices))

    def admit(self, request: int) -> bool:
        """A new request; True if it has no task at all and so is done."""
        if self._following(request, 0) is None:
            return True
        heapq.heappush(self._waiting, request)
        self._allot()
        return False

    def take(self, part: Part) -> Assignment | None:
        """The next task for a part that is idle, or None."""
        ready = self._ready.get(part)
        if not ready:
            return None
        request, task = heapq.heappop(ready)
        return Assignment(request, task, self._slots[request])

    def finish(self, done: Assignment) -> bool:
        """The task is done; True if that was the request's last one."""
        if self._push(done.request, done.task + 1):
            return False
        self._release(done.request)
        return True

    def drop(self, request: int) -> None:
        """The request ends here, with none of its tasks under way: it failed or was cancelled."""
        for heap in self._ready.values():
            kept = [each for each in heap if each[0] != request]
            if len(kept) < len(heap):
                heap[:] = kept
                heapq.heapify(heap)
        if request in self._waiting:
            self._waiting.remove(request)
            heapq.heapify(self._waiting)
        self._release(request)

    def _push(self, request: int, index: int) -> bool:
        """Whether the request has such a task, which is then ready."""
        task = self._following(request, index)
        if task is None:
            return False
        slot = self._slots[request]
        part = HOST
        if task.phase is Phase.LAUNCH:
            part = Part("device", task.processor, slot.device)
        elif task.phase in (Phase.SEND, Phase.RECEIVE):
            part = BUS
        heapq.heappush(self._ready.setdefault(part, []), (request, index))
        return True

    def _allot(self) -> None:
        """Free slots go to the oldest requests that wait for one."""
        while self._waiting and any(self._free):
            request = heapq.heappop(self._waiting)
            device = max(range(self._devices), key=lambda each: len(self._free[each]))
            self._slots[request] = Slot(device, self._free[device].pop(0))
            self._push(request, 0)

    def _release(self, request: int) -> None:
        slot = self._slots.pop(request, None)
        if slot is not None:
            self._free[slot.device].append(slot.buffer)
            self._allot()
