"""The command line on one file, in a child process with limits on time and memory."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

MEMORY_BYTES = 3 << 30
CPU_SECONDS = 20
WALL_SECONDS = 120
OUTPUT_BYTES = 64 << 20


@dataclass(frozen=True)
class Outcome:
    """How a call ended: "" where it ended well or with a typed error of one line, else what is wrong."""

    problem: str
    stderr: str


def call(arguments: list[str], folder: Path) -> Outcome:
    """Runs `weft ARGUMENTS` in a forked child. The caller must not have any thread but this one."""
    log = folder / "stderr"
    child = os.fork()
    if child == 0:
        _child(arguments, log)
    deadline = time.monotonic() + WALL_SECONDS
    while True:
        finished, status = os.waitpid(child, os.WNOHANG)
        if finished:
            break
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return Outcome(f"hangs for over {WALL_SECONDS} s", "")
        time.sleep(0.002)
    text = log.read_text(errors="replace") if log.exists() else ""
    return Outcome(_problem(os.waitstatus_to_exitcode(status), text), text)


def _child(arguments: list[str], log: Path) -> None:
    status = 99
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
        resource.setrlimit(resource.RLIMIT_FSIZE, (OUTPUT_BYTES, OUTPUT_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(target, 2)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        from weft.cli import main

        status = main(arguments)
        sys.stderr.flush()
        sys.stdout.flush()
    finally:
        os._exit(status)


def _problem(status: int, text: str) -> str:
    if status == -signal.SIGXCPU:
        return f"takes over {CPU_SECONDS} s"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    if status not in (0, 1):
        return f"exit status {status}"
    if "a defect of Weft" in text:
        return "an error without a type"
    if status == 1 and (text.count("\n") != 1 or not text.startswith("weft: ") or not text[:-1].isprintable()):
        return "not one printable line on stderr"
    return ""
