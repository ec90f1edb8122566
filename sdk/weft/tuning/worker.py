"""What runs in a worker process of `weft.tuning.workers.LocalWorkers`."""

from __future__ import annotations

import os
import pickle
import sys
from typing import Any

from weft.errors import CompileError
from weft.tuning.workers import Call, receive, send

__all__ = ["serve"]


def serve() -> None:
    """Answers calls from standard input until it is closed: (failed, answer or exception)."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a call prints must not get between the answers
    while True:
        try:
            call = receive(sys.stdin.buffer)
        except (EOFError, KeyboardInterrupt):
            return
        try:
            send(answers, _answer(call))
        except (OSError, KeyboardInterrupt):
            return


def _answer(call: Call) -> tuple[bool, Any]:
    try:
        return False, call.function(*call.arguments)
    except Exception as error:  # it is the caller's to handle
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # an exception that cannot travel: its text can
            return True, CompileError(f"{type(error).__name__}: {error}")
        return True, error
