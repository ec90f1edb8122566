"""Calls spread over a Dask cluster: many machines, whatever queueing system has started the workers there."""

from __future__ import annotations

import importlib
import queue
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from weft.errors import CompileError
from weft.partition.costs.cycles import compiler_digest
from weft.tuning.workers import Call

__all__ = ["ClusterWorkers"]

CONNECT_SECONDS = 15
PATIENCE_SECONDS = 60
"""How long to wait for the first worker, or for another one after the last has gone."""

RETRIES = 3
POLL_SECONDS = 0.5


class ClusterWorkers:
    """The workers of a Dask scheduler. Calls of a worker that dies are made again by another one.

    Raises CompileError if dask.distributed is not installed, the scheduler does not answer, no worker comes, or a
    worker has another version of Weft.
    """

    def __init__(self, address: str) -> None:
        try:
            distributed: Any = importlib.import_module("distributed")
        except ImportError as error:
            raise CompileError("--scheduler needs dask.distributed: pip install 'weft[tune]'") from error
        self._address = address
        try:
            self._client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise CompileError(f"no Dask scheduler answers at {address!r}: {error or type(error).__name__}") from error
        self._futures: Any = distributed
        try:
            self._await_workers()
            self._check_versions()
        except CompileError:
            self._client.close()
            raise

    @property
    def count(self) -> int:
        """Threads of all workers that are there now."""
        return sum(self._client.nthreads().values())

    def run(self, calls: Sequence[Call], until: float | None = None) -> Iterator[tuple[int, Any]]:
        """As `Workers` says; calls that have not been begun by `until` are withdrawn."""
        futures: dict[Any, int] = {}
        ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for index, call in enumerate(calls):
            future = self._client.submit(call.function, *call.arguments, pure=False, retries=RETRIES)
            futures[future] = index
            future.add_done_callback(ended.put)
        lonely = time.monotonic()
        try:
            while futures:
                if until is not None and time.monotonic() >= until:
                    return
                try:
                    future = ended.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    lonely = time.monotonic() if self.count else lonely
                    if time.monotonic() - lonely > PATIENCE_SECONDS:
                        raise CompileError(f"no worker is left at the Dask scheduler {self._address!r}") from None
                    continue
                lonely = time.monotonic()
                yield futures.pop(future), self._result(future)
        finally:
            self._client.cancel(list(futures))

    def _result(self, future: Any) -> Any:
        try:
            return future.result()
        except self._futures.KilledWorker as error:
            raise CompileError(f"workers died again and again in the same call: {error}") from error

    def _await_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=PATIENCE_SECONDS)
        except TimeoutError as error:
            raise CompileError(
                f"the Dask scheduler {self._address!r} has no workers; start `dask worker {self._address}`"
            ) from error

    def _check_versions(self) -> None:
        try:
            found = self._client.run(compiler_digest)
        except Exception as error:  # whatever the import of another version, or of none, raises there
            raise CompileError(f"a worker at {self._address!r} cannot import this version of Weft: {error}") from error
        other = sorted(worker for worker, digest in found.items() if digest != compiler_digest())
        if other:
            raise CompileError(f"worker {other[0]} has another version of Weft than this machine; install the same one")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()
