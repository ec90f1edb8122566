"""Calls spread over worker processes of this machine. A worker that dies loses nothing: its call is made again."""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Protocol, Self

from weft.errors import CompileError

__all__ = ["Call", "LocalWorkers", "Workers", "cores"]

TRIES = 3
LENGTH_BYTES = 8
START = "import sys; sys.path[:] = {path!r}; from weft.tuning.worker import serve; serve()"


@dataclass(frozen=True)
class Call:
    """A function of some module, and what it is called with. Both travel between processes."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Workers(Protocol):
    """Somewhere to make calls. Used as a context manager."""

    @property
    def count(self) -> int:
        """How many calls are made at the same time."""

    def run(self, calls: Sequence[Call], until: float | None = None) -> Iterator[tuple[int, Any]]:
        """Index and answer of each call as it is finished, in any order. From `until` (of time.monotonic) on no call
        is begun. Raises what a call raises, and CompileError for one whose worker dies again and again."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


def cores() -> int:
    """The processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class LocalWorkers:
    """Python processes on this machine, started when they are first needed, so that the caller's own module is never
    imported again (as multiprocessing's ways of starting would). They get the calls as pickles from their parent and
    from nobody else."""

    def __init__(self, count: int | None = None) -> None:
        self._count = cores() if count is None else max(1, count)
        self._children: list[_Child] = [_Child() for _ in range(self._count)]

    @property
    def count(self) -> int:
        """How many processes there are."""
        return self._count

    def run(self, calls: Sequence[Call], until: float | None = None) -> Iterator[tuple[int, Any]]:
        """As `Workers` says."""
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        answers: queue.SimpleQueue[tuple[int, Any, BaseException | None] | None] = queue.SimpleQueue()
        stopped = threading.Event()
        for index in range(len(calls)):
            waiting.put(index)

        def work(child: _Child) -> None:
            while not stopped.is_set() and (until is None or time.monotonic() < until):
                try:
                    index = waiting.get_nowait()
                except queue.Empty:
                    break
                try:
                    answers.put((index, child.call(calls[index]), None))
                except Exception as error:
                    answers.put((index, None, error))
            answers.put(None)

        threads = [threading.Thread(target=work, args=(child,), daemon=True) for child in self._children[: len(calls)]]
        for thread in threads:
            thread.start()
        try:
            ended = 0
            while ended < len(threads):
                answer = answers.get()
                if answer is None:
                    ended += 1
                    continue
                index, result, error = answer
                if error is not None:
                    raise error
                yield index, result
        finally:
            stopped.set()
            for thread in threads:
                thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for child in self._children:
            child.stop()


class _Child:
    """One worker process, started again if it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def call(self, call: Call) -> Any:
        for _ in range(TRIES):
            try:
                failed, answer = self._ask(call)
            except (OSError, EOFError):
                self.stop()
                continue
            if failed:
                raise answer
            return answer
        raise CompileError(f"a worker process died {TRIES} times in {call.function.__name__}; is there enough memory?")

    def _ask(self, call: Call) -> tuple[bool, Any]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", START.format(path=sys.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise OSError("the worker process has no pipes")
        send(stdin, call)
        failed, answer = receive(stdout)
        return bool(failed), answer

    def stop(self) -> None:
        """Ends the process, also in the middle of a call."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # the rest of a call that the dead process has not taken
                    continue
        self._process = None


def send(pipe: IO[bytes], value: Any) -> None:
    """Writes a value to the other side. Raises OSError if that has gone."""
    data = pickle.dumps(value)
    pipe.write(len(data).to_bytes(LENGTH_BYTES, "little") + data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """Reads what the other side has sent. Raises EOFError if it has gone."""
    length = int.from_bytes(_exactly(pipe, LENGTH_BYTES), "little")
    return pickle.loads(_exactly(pipe, length))


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data
