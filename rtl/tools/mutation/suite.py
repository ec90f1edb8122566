"""The lockstep programs that every mutant runs, and how one is judged.

Caught is a mutant only by what the fault itself does: a difference from the simulator, a check of the memory or of the
control port that fails, an assertion inside the modules, a hang, or the end of the process. Each mutant runs in a
process of its own, a copy of one that has loaded everything; number 0 has passed all programs in the same way before.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import itertools
import json
import os
import resource
import select
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from weft_sim import cosim, cosim_fuzz, simulator
from weft_sim.isa import Fill, Halt, Jump, Load, Store, Unit
from weft_sim.isa.program import encode_program
from weft_sim.machine import MachineConfig
from weft_sim.rehearsal import Rehearsal, rehearsal
from weft_sim.result import RunOptions, RunResult
from weft_sim.rtl import RtlError

SECONDS = 20.0
"""A mutant that needs longer for one program hangs: without a fault the longest takes less than a tenth of a second."""
MEMORY = 6 << 30

Device = Callable[..., RunResult]
DeviceAfter = Callable[[Rehearsal | None], Device]


@dataclass(frozen=True)
class Verdict:
    """Who caught a mutant and how; `by` is empty when nobody did."""

    by: str = ""
    how: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Case:
    """A program with the simulator's result and memory."""

    name: str
    config: MachineConfig
    dram: npt.NDArray[np.uint8]
    launch: tuple[int, int, tuple[int, ...]]
    options: RunOptions
    expected: RunResult
    memory: npt.NDArray[np.uint8]
    before: Rehearsal | None = None


def cases(config: MachineConfig, programs: int, first_seed: int) -> list[Case]:
    """Directed launches and `programs` random ones, the shortest first."""
    found = [_random(config, seed) for seed in range(first_seed, first_seed + programs)]
    return sorted([*found, *_directed(config)], key=lambda case: case.expected.cycles)


def _random(config: MachineConfig, seed: int) -> Case:
    case = cosim_fuzz.fuzz_case(config, seed)
    program = case.program
    launch = (program.program_address, program.instruction_count, tuple(program.registers))
    made = _case(f"{config.name} seed {seed}", case.config, program.dram, launch, case.options)
    # The same run, but one that goes on for longer than any correct one ends.
    limited = dataclasses.replace(case.options, cycle_limit=2 * made.expected.cycles + 1000)
    # One of three as the first launch, one after another launch, one after a reset in the middle of another.
    before = [None, rehearsal(config), rehearsal(config, 10 + 7 * (seed % 100))][seed % 3]
    return dataclasses.replace(made, options=limited, before=before)


def _directed(config: MachineConfig) -> list[Case]:
    """What random programs never do: an empty program, an endless one, limits of cycles and instructions."""
    copy = (
        Load(
            register=0, offset=3, scratchpad=5, run_bytes=100, count_3=7, dram_stride_3=131, scratchpad_stride_3=101,
            signal=1 << Unit.STORE,
        ),
        Store(
            register=1, offset=1, scratchpad=5, run_bytes=50, count_3=14, dram_stride_3=67, scratchpad_stride_3=50,
            wait=1 << Unit.LOAD,
        ),
        Halt(),
    )  # fmt: skip
    code = encode_program(copy)
    dram = np.random.default_rng(1).integers(0, 256, 1 << 16, dtype=np.uint8)
    dram[: len(code)] = np.frombuffer(code, np.uint8)
    endless = dram.copy()
    loop = encode_program((Fill(), Jump(target=0)))
    endless[: len(loop)] = np.frombuffer(loop, np.uint8)
    launch = (0, len(copy), (8192, 16384))
    limits = [RunOptions(cycle_limit=cycles) for cycles in (1, 2, 57, 150)]
    found = [_case(f"{config.name} limit {o.cycle_limit}", config, dram, launch, o) for o in limits]
    found.append(_case(f"{config.name} empty", config, dram, (0, 0, ()), RunOptions(cycle_limit=5000)))
    endless_options = RunOptions(instruction_limit=25, cycle_limit=100_000)
    found.append(_case(f"{config.name} endless", config, endless, (0, 2, (8192, 16384)), endless_options))
    return found


def _case(
    name: str,
    config: MachineConfig,
    dram: npt.NDArray[np.uint8],
    launch: tuple[int, int, tuple[int, ...]],
    options: RunOptions,
) -> Case:
    memory = dram.copy()
    expected = simulator.run(config, memory, *launch, options)
    return Case(name, config, dram, launch, options, expected, memory)


def judge(case: Case, device_after: DeviceAfter) -> Verdict | None:
    """The first difference between the device and the simulator; None where there is none. Raises RtlError."""
    memory = case.dram.copy()
    result = device_after(case.before)(case.config, memory, *case.launch, case.options)
    found = cosim.differences(case.expected, result)
    if case.expected.cycles < case.options.cycle_limit:
        found = itertools.chain(found, cosim.memory_differences(case.expected, case.memory, result, memory))
    first = next(found, None)
    if first is None:
        return None
    limited = case.expected.cycles < case.options.cycle_limit <= result.cycles
    return Verdict(case.name, "hang" if limited else "difference", str(first)[:200])


@dataclass
class _Stage:
    """What the processes below inherit."""

    suite: list[Case]
    device: DeviceAfter


_stage: _Stage | None = None


def enter(suite: list[Case], device: DeviceAfter) -> None:
    """Makes these the cases and the device of `run_mutant`, and runs the first case here, without a fault: whatever
    has to be loaded is loaded. Raises RuntimeError when that shows a difference."""
    global _stage
    os.environ["WEFT_MUTANT"] = "0"
    found = judge(suite[0], device)
    if found is not None:
        raise RuntimeError(f"the RTL without a fault fails: {found}")
    _stage = _Stage(suite, device)


def run_mutant(number: int) -> Verdict:
    """All cases until one catches the mutant, in a process of its own. Raises RuntimeError when it proves nothing."""
    assert _stage is not None
    suite, device = _stage.suite, _stage.device
    with tempfile.TemporaryDirectory(prefix="weft-mutant-") as folder:
        log, proof = Path(folder, "log"), Path(folder, "proof")
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(readable)
            _child(number, suite, device, writable, log, proof)
        os.close(writable)
        lines, status = _watch(child, readable)
        words = log.read_text(errors="replace") if log.is_file() else ""
        active = proof.read_text() if proof.is_file() else ""
    if active != str(number):
        raise RuntimeError(f"mutant {number} was not active: {active or 'no model ran'}: {words[-300:]}")
    last = lines[-1]
    if "verdict" in last:
        return Verdict(**last["verdict"])
    name = str(last["case"])
    if status is None:
        return Verdict(name, "hang", f"no end after {SECONDS:.0f} s")
    message = next((line for line in words.splitlines() if "%Error" in line), "").strip()[-160:]
    if message and words.rstrip().endswith("Aborting..."):  # Verilator's way to end: by exit or by a signal
        return Verdict(name, "assertion" if "Assertion failed" in message else "end of the process", message)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
        return Verdict(name, "end of the process", signal.Signals(os.WTERMSIG(status)).name)
    raise RuntimeError(f"mutant {number} ended with status {status} in {name}: {words[-500:]}")


def _child(number: int, suite: list[Case], device: DeviceAfter, writable: int, log: Path, proof: Path) -> None:
    """Never returns."""
    try:
        faulthandler.disable()
        output = os.open(log, os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        os.environ |= {"WEFT_MUTANT": str(number), "WEFT_MUTANT_PROOF": str(proof)}
        verdict = Verdict()
        for case in suite:
            os.write(writable, json.dumps({"case": case.name}).encode() + b"\n")
            found = _attempt(case, device)
            if found is not None:
                verdict = found
                break
        os.write(writable, json.dumps({"verdict": dataclasses.asdict(verdict)}).encode() + b"\n")
        os._exit(0)
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(3)


def _attempt(case: Case, device: DeviceAfter) -> Verdict | None:
    try:
        return judge(case, device)
    except RtlError as error:
        # The library has been loaded and used before: this is a check in the harness that failed.
        if "alloc" in str(error) or "built" in str(error):
            raise
        return Verdict(case.name, "check of the harness", str(error)[:200])


def _watch(child: int, readable: int) -> tuple[list[dict[str, Any]], int | None]:
    """The lines that a process writes, and its status; None when it was ended because it was silent for too long."""
    text = b""
    deadline = time.monotonic() + SECONDS
    with os.fdopen(readable, "rb", buffering=0) as stream:
        while True:
            ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
            data = stream.read(65536) if ready else b""
            if not data:
                break
            text += data
            deadline = time.monotonic() + SECONDS
    lines = [json.loads(line) for line in text.decode().splitlines()]
    if not ready:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return lines, None
    return lines, os.waitpid(child, 0)[1]
