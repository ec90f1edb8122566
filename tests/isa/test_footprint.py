"""Footprints: exact against sets, and true against what instructions touch."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft_sim import footprint as module
from weft_sim.footprint import common_address, footprint, overlap
from weft_sim.isa import AddressStream, Instruction, MachineState, Space, addresses
from weft_sim.machine import machine
from weft_sim.random_program.instructions import Arena, random_instruction

dims = st.lists(st.tuples(st.integers(1, 5), st.integers(-40, 40)), max_size=4).map(tuple)
streams = st.builds(
    AddressStream, st.just("s"), st.just(Space.DRAM), st.booleans(), st.integers(0, 150), st.integers(1, 9), dims
)
tiles = st.builds(  # rectangles of one tensor: same strides, other corners and sizes
    lambda row, column, rows, columns, planes: AddressStream(
        "t", Space.DRAM, True, 8 * (row * 10 + column), 8 * columns, ((planes, 800), (rows, 80))
    ),
    st.integers(0, 9), st.integers(0, 9), st.integers(1, 5), st.integers(1, 5), st.integers(1, 3),
)  # fmt: skip


def _units(stream: AddressStream) -> set[int]:
    return set((addresses(stream.base, stream.dims)[:, None] + np.arange(stream.length)).ravel().tolist())


def _check(first: AddressStream, second: AddressStream) -> None:
    a, b = footprint(first), footprint(second)
    common = _units(first) & _units(second)
    assert overlap(a, b) == overlap(b, a) == bool(common)
    if common:
        assert common_address(a, b) in common
        assert common_address(b, a) in common
    else:
        with pytest.raises(ValueError):
            common_address(a, b)


@given(streams)
@settings(max_examples=200, deadline=None)
def test_the_normal_form_is_the_same_set(stream: AddressStream) -> None:
    area = footprint(stream)
    assert set((area.starts()[:, None] + np.arange(area.length)).ravel().tolist()) == _units(stream)
    assert (area.low, area.high) == (stream.lowest, stream.highest) == (min(_units(stream)), max(_units(stream)))
    strides = [stride for _, stride in area.dims]
    assert strides == sorted(set(strides), reverse=True)
    assert all(count > 1 and stride > 0 for count, stride in area.dims)


@given(streams, streams)
@settings(max_examples=400, deadline=None)
def test_overlap_is_exact(first: AddressStream, second: AddressStream) -> None:
    _check(first, second)


@given(tiles, tiles)
@settings(max_examples=200, deadline=None)
def test_overlap_of_tiles_is_exact(first: AddressStream, second: AddressStream) -> None:
    _check(first, second)


@given(streams, streams)
@settings(max_examples=100, deadline=None)
def test_the_fallback_is_exact_too(first: AddressStream, second: AddressStream) -> None:
    module._meet.cache_clear()
    before = module._SEARCH_NODES
    try:
        module._SEARCH_NODES = 1
        _check(first, second)
    finally:
        module._SEARCH_NODES = before
        module._meet.cache_clear()


def test_hostile_strides_end_in_reasonable_time() -> None:
    """Strides that nothing prunes: as many steps as an instruction may have."""
    first = AddressStream("a", Space.DRAM, True, 0, 1, ((50, 10007), (50, 9973), (50, 7919), (50, 3)))
    second = AddressStream("b", Space.DRAM, True, 1, 1, ((50, 9949), (50, 9941), (50, 6007), (50, 6)))
    start = time.process_time()
    a = footprint(first)
    for base in (1, 1_700_000, -1_400_000, -1_750_000):
        b = footprint(second._replace(base=base))
        found = module._first_meeting(a.starts(), a.length, b.starts(), b.length)
        assert overlap(a, b) == (found is not None)
    assert time.process_time() - start < 40.0


def test_contiguous_nests_become_one_run() -> None:
    nest = AddressStream("n", Space.SCRATCHPAD, False, 100, 16, ((3, 320), (4, 80), (5, 16)))
    area = footprint(nest)
    assert (area.low, area.length, area.dims) == (100, 960, ())
    windows = AddressStream("w", Space.SCRATCHPAD, False, 0, 16, ((3, 160), (8, 160), (3, 16), (4, 16)))
    assert footprint(windows).dims == ((10, 160),)
    assert footprint(windows).length == 96


CONFIG = machine("weft-8")
ARENA = Arena(CONFIG, (40, 400), (10, 60), {0: (0, 3500), 1: (50, 3000)})
REGISTERS = [120, 33, *[0] * 14]


def _memories(state: MachineState) -> dict[Space, np.ndarray]:
    return {
        Space.DRAM: state.dram, Space.SCRATCHPAD: state.scratchpad, Space.ACCUMULATOR: state.accumulators,
        Space.TABLE: state.tables, Space.MAILBOX: state.mailboxes,
    }  # fmt: skip


def _touched(instruction: Instruction, *, write: bool | None) -> dict[Space, np.ndarray]:
    """Index arrays of what the streams say (reads, writes, or both) touch."""
    found: dict[Space, list[int]] = {space: [] for space in Space}
    for stream in instruction.streams(CONFIG, REGISTERS):
        if write is None or stream.write == write:
            found[stream.space] += sorted(_units(stream))
    return {space: np.array(units, np.int64) for space, units in found.items()}


@pytest.mark.parametrize("seed", range(120))
def test_streams_are_all_that_an_instruction_touches(seed: int) -> None:
    """Bytes outside the streams do not change, and bytes outside the read streams do not matter."""
    rng = np.random.default_rng(seed)
    instruction = random_instruction(rng, ARENA)
    first = MachineState(CONFIG, rng.integers(0, 256, 4000, dtype=np.uint8), REGISTERS)
    for memory in _memories(first).values():
        memory[...] = rng.integers(0, 100, memory.shape)
    second = MachineState(CONFIG, np.zeros(4000, np.uint8), REGISTERS)
    reads, writes = _touched(instruction, write=False), _touched(instruction, write=True)
    for space, memory in _memories(second).items():
        memory[...] = rng.integers(0, 100, memory.shape)
        memory[reads[space]] = _memories(first)[space][reads[space]]
    before = {space: memory.copy() for space, memory in _memories(first).items()}
    instruction.execute(first)
    instruction.execute(second)
    for space, memory in _memories(first).items():
        outside = np.ones(len(memory), np.bool_)
        outside[writes[space]] = False
        np.testing.assert_array_equal(memory[outside], before[space][outside])
        np.testing.assert_array_equal(memory[writes[space]], _memories(second)[space][writes[space]])
