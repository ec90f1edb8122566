"""Requests that overlap: threads for the host, the bus and every device work on what the dispatcher gives them."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from weft_runtime.course_request import CourseRequest
from weft_runtime.dispatch import Assignment, Dispatching, Part, Task
from weft_runtime.errors import SessionError
from weft_runtime.placed import PlacedExecutable, Tensors, join
from weft_runtime.placed_control import PlacedControl
from weft_runtime.profile import Profile

__all__ = ["Answer", "Pipeline", "PipelineClosedError"]

Answer = Future[Tensors]


class PipelineClosedError(SessionError):
    """A request for a pipeline that takes no more."""


@dataclass
class _Call:
    """One submission: its samples, and what became of them."""

    future: Answer
    samples: Sequence[Tensors]
    started: float
    requests: dict[int, Any] = field(default_factory=dict)
    results: dict[int, Tensors] = field(default_factory=dict)
    begun: bool = False
    ended: bool = False


class Pipeline:
    """Runs requests of one placed executable on its devices. At most `capacity` samples are inside at a time; `submit`
    waits for room. `finished` is called with the profile of each submission that ended well."""

    def __init__(
        self,
        placed: PlacedExecutable | PlacedControl,
        devices: int,
        capacity: int,
        finished: Callable[[Profile], None],
    ) -> None:
        self.placed = placed
        self._dispatcher: Dispatching = placed.dispatcher(devices, self._following)
        self._capacity = capacity
        self._finished = finished
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._inside: dict[int, tuple[_Call, int]] = {}
        self._closing = False
        self._ended: queue.SimpleQueue[tuple[_Call, BaseException | None] | None] = queue.SimpleQueue()
        self._workers = [
            threading.Thread(target=self._work, args=(part,), name=f"weft-{part.kind}-{part.device}", daemon=True)
            for part in self._dispatcher.parts
        ]
        self._alive = len(self._workers)
        self._herald = threading.Thread(target=self._announce, name="weft-answers", daemon=True)
        for thread in (*self._workers, self._herald):
            thread.start()

    def submit(self, arrays: Tensors) -> Answer:
        """The future of the outputs, those of several samples joined. Waits while the pipeline is full. Raises
        InputError, and PipelineClosedError if it is closed, also while waiting."""
        samples = self.placed.split(arrays)
        call = _Call(Future(), samples, time.perf_counter())
        with self._changed:
            for index, sample in enumerate(samples):
                self._changed.wait_for(lambda: self._closing or call.ended or len(self._inside) < self._capacity)
                if call.ended:  # an earlier sample failed
                    break
                if self._closing:
                    call.ended = True
                    raise PipelineClosedError("the session is closed; open a new one")
                number = next(self._numbers)
                call.requests[index] = self.placed.request(sample)
                self._inside[number] = (call, index)
                if self._dispatcher.admit(number):
                    self._complete(number)
                self._changed.notify_all()
        return call.future

    def cancel(self) -> int:
        """Cancels what has not begun, and says how many submissions that were."""
        with self._changed:
            waiting = {
                id(call): call for call, _ in self._inside.values() if not call.begun and not call.future.cancelled()
            }
            return sum(call.future.cancel() for call in waiting.values())

    def abandon(self) -> None:
        """Takes no more and finishes what is inside, without waiting for that; then threads and devices end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def close(self) -> None:
        """Takes no more, finishes what is inside, and ends threads and devices. Closing twice is allowed; from a
        future's own callback it does not wait."""
        self.abandon()
        if self._herald is not threading.current_thread():
            for thread in (*self._workers, self._herald):
                thread.join()

    def _work(self, part: Part) -> None:
        self._work_until_closed(part)
        with self._changed:
            self._alive -= 1
            if not self._alive:
                self._ended.put(None)

    def _work_until_closed(self, part: Part) -> None:
        while True:
            with self._changed:
                assignment = self._next(part)
                while assignment is None:
                    if self._closing and not self._inside:
                        return
                    self._changed.wait()
                    assignment = self._next(part)
            error = self._perform(assignment)
            with self._changed:
                self._settle(assignment, error)
                self._changed.notify_all()

    def _next(self, part: Part) -> Assignment | None:
        """The part's next task; requests whose submission was cancelled or has failed leave on the way."""
        while (assignment := self._dispatcher.take(part)) is not None:
            call, _ = self._inside[assignment.request]
            if not call.begun and not call.ended:
                call.begun = call.future.set_running_or_notify_cancel()
                call.ended = not call.begun
            if not call.ended:
                return assignment
            self._leave(assignment.request)
        return None

    def _perform(self, assignment: Assignment) -> BaseException | None:
        call, index = self._inside[assignment.request]
        try:
            self.placed.perform(assignment, call.requests[index])
        except BaseException as error:  # it belongs to the future, whatever it is; the worker goes on
            return error
        return None

    def _following(self, number: int, task: int) -> Task | None:
        """What a dynamic request does next."""
        call, index = self._inside[number]
        request: CourseRequest = call.requests[index]
        return request.pending

    def _settle(self, assignment: Assignment, error: BaseException | None) -> None:
        call, _ = self._inside[assignment.request]
        if error is not None:
            self._end(call, error)
        if call.ended:
            self._leave(assignment.request)
        elif self._dispatcher.finish(assignment):
            self._complete(assignment.request)

    def _complete(self, number: int) -> None:
        call, index = self._inside.pop(number)
        request = call.requests[index]
        try:
            call.results[index] = self.placed.outputs(call.samples[index], request)
        except BaseException as error:  # as in _perform
            self._end(call, error)
            return
        request.forget()
        if len(call.results) == len(call.samples):
            self._end(call, None)

    def _leave(self, number: int) -> None:
        self._dispatcher.drop(number)
        self._inside.pop(number, None)
        self._changed.notify_all()

    def _end(self, call: _Call, error: BaseException | None) -> None:
        if not call.ended:
            call.ended = True
            self._ended.put((call, error))

    def _announce(self) -> None:
        """Gives answers in a thread of its own: what a callback does must not hold up the workers. Ends as the last."""
        while (item := self._ended.get()) is not None:
            call, error = item
            if error is not None:
                self._answer(call, error)
                continue
            try:
                outputs = join(self.placed.executable, [call.results[index] for index in range(len(call.samples))])
                requests = [call.requests[index] for index in range(len(call.samples))]
                self._finished(self.placed.measure(requests, time.perf_counter() - call.started))
                call.future.set_result(outputs)
            except BaseException as problem:
                self._answer(call, problem)
        self.placed.close()

    def _answer(self, call: _Call, error: BaseException) -> None:
        if not call.begun and not call.future.set_running_or_notify_cancel():
            return
        call.future.set_exception(error)
