"""Worker processes: answers, errors, deadlines, and workers that die."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from weft.errors import CompileError
from weft.tuning.workers import Call, LocalWorkers


def double(value: int) -> int:
    print("this must not get between the answers")
    return 2 * value


def fail(text: str) -> None:
    raise CompileError(text)


def fail_oddly() -> None:
    raise type("Unknown", (Exception,), {})("odd")


def die_once(marker: str) -> str:
    path = Path(marker)
    if not path.exists():
        path.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def workers():
    with LocalWorkers(2) as made:
        yield made


def test_all_answers_come_with_their_index(workers):
    assert dict(workers.run([Call(double, (number,)) for number in range(9)])) == {n: 2 * n for n in range(9)}
    assert list(workers.run([])) == []


def test_what_a_call_raises_is_raised(workers):
    with pytest.raises(CompileError, match="in a worker"):
        list(workers.run([Call(fail, ("in a worker",))]))
    with pytest.raises(CompileError, match="Unknown: odd"):
        list(workers.run([Call(fail_oddly, ())]))
    assert dict(workers.run([Call(double, (4,))])) == {0: 8}


def test_a_worker_that_dies_loses_nothing(workers, tmp_path):
    calls = [Call(die_once, (str(tmp_path / f"{number}"),)) for number in range(3)]
    assert dict(workers.run([*calls, Call(double, (1,))])) == {0: "alive", 1: "alive", 2: "alive", 3: 2}


def test_a_call_that_always_kills_its_worker_is_an_error(workers):
    with pytest.raises(CompileError, match="died 3 times in die"):
        list(workers.run([Call(die, ())]))


def test_nothing_is_begun_after_the_deadline(workers):
    assert list(workers.run([Call(double, (1,))], until=time.monotonic())) == []
