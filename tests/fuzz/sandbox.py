"""The command line on one file, in a child process with limits on time and memory.

Children are forked from a server process that has imported everything and has no thread but one: forked from a process
with threads (pytest under xdist, or one with sessions of ONNX Runtime), a child can wait for ever for a lock, or for a
thread, that is not there.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

MEMORY_BYTES = 3 << 30
CPU_SECONDS = 20
WALL_SECONDS = 180
OUTPUT_BYTES = 64 << 20


@dataclass(frozen=True)
class Outcome:
    """How a call ended: "" where it ended well or with a typed error of one line, else what is wrong."""

    problem: str
    stderr: str


def call(arguments: list[str], folder: Path, cpu_seconds: int = CPU_SECONDS) -> Outcome:
    """Runs `weft ARGUMENTS` in a child process; its stderr goes through a file in `folder`."""
    process = _server()
    assert process.stdin is not None and process.stdout is not None
    log = folder / "stderr"
    process.stdin.write(json.dumps([arguments, str(log), cpu_seconds]) + "\n")
    process.stdin.flush()
    status = json.loads(process.stdout.readline())
    text = log.read_text(errors="replace") if log.exists() else ""
    return Outcome(_problem(status, text, cpu_seconds), text)


@functools.cache
def _server() -> subprocess.Popen[str]:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    atexit.register(_stop, process)
    return process


def _stop(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait(WALL_SECONDS)


def serve() -> None:
    """Answers each line, a call as JSON, with the child's exit code, or None where it ran out of time."""
    import weft_sim.golden
    import weft_sim.simulator  # noqa: F401
    from weft.cli import main  # noqa: F401

    for line in sys.stdin:
        arguments, log, cpu_seconds = json.loads(line)
        print(json.dumps(_status(arguments, Path(log), cpu_seconds)), flush=True)


def _status(arguments: list[str], log: Path, cpu_seconds: int) -> int | None:
    child = os.fork()
    if child == 0:
        _child(arguments, log, cpu_seconds)
    deadline = time.monotonic() + WALL_SECONDS
    while True:
        finished, status = os.waitpid(child, os.WNOHANG)
        if finished:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.002)


def _child(arguments: list[str], log: Path, cpu_seconds: int) -> None:
    status = 99
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
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


def _problem(status: int | None, text: str, cpu_seconds: int) -> str:
    if status is None:
        return f"hangs for over {WALL_SECONDS} s"
    if status == -signal.SIGXCPU:
        return f"takes over {cpu_seconds} s"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    if status not in (0, 1):
        return f"exit status {status}"
    if "a defect of Weft" in text:
        return "an error without a type"
    if status == 1 and (text.count("\n") != 1 or not text.startswith("weft: ") or not text[:-1].isprintable()):
        return "not one printable line on stderr"
    return ""


if __name__ == "__main__":
    serve()
