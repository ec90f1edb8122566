"""What goes where: one JSON object or a text for people on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["Stages", "answer", "note"]

PATIENCE_SECONDS = 1.0
WIDE = 10_000


def answer(data: dict[str, Any], as_json: bool, render: Callable[[Console], None]) -> None:
    """Print a verb's answer: the object itself, or what `render` makes of it."""
    if as_json:
        # Not through rich, which would wrap and color it.
        sys.stdout.write(json.dumps(data, allow_nan=False) + "\n")
        return
    # A file or pipe has no width: nothing is cut or folded there.
    width = None if sys.stdout.isatty() else WIDE
    render(Console(highlight=False, soft_wrap=True, width=width))


def note(text: str) -> None:
    """Print a remark on stderr."""
    sys.stderr.write(text + "\n")


class Stages:
    """Shows the stages of a call that takes over a second, on stderr if that is a terminal. Use as context
    manager; calling it reports progress as `weft.api` defines it."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
        )
        self._display = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._timer = threading.Timer(PATIENCE_SECONDS, self._show)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._ended = False
        self._task: TaskID | None = None
        self._stage = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._task is None or stage != self._stage:
            if self._task is not None:
                self._display.remove_task(self._task)
            self._task = self._display.add_task(stage, total=total or None)
            self._stage = stage
        self._display.update(self._task, completed=done, total=total or None)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._ended = True
            self._display.stop()

    def _show(self) -> None:
        with self._lock:
            if not self._ended:
                self._display.start()
