"""The Python face of the cycle-level simulator (hw_sim/core), a C++ library behind one C header."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weft_sim._core import ffi, lib
from weft_sim.errors import DeviceFault
from weft_sim.golden import check_launch
from weft_sim.isa.architecture import REGISTERS, FaultCause, Unit
from weft_sim.machine import MachineConfig
from weft_sim.result import EVENT_DTYPE, Fault, RunOptions, RunResult, UnitCounters

__all__ = ["STALL_CAUSES", "kernel_name", "run"]

_ACTIVITIES = ("busy", "idle", "token", "queue", "dram", "bank", "weights", "write", "interval", "drain")

STALL_CAUSES: dict[Unit, tuple[str, ...]] = {
    Unit.FETCH: ("dram", "queue", "token"),
    Unit.LOAD: ("token", "dram", "bank"),
    Unit.STORE: ("token", "bank", "dram"),
    Unit.MXU: ("token", "weights", "bank"),
    Unit.VPU: ("token", "bank", "write", "interval", "drain"),
}
"""What each unit can wait for, as docs/machine.md defines it."""

_DONE, _FAULT, _TRACE_EXHAUSTED, _OUT_OF_MEMORY = 0, 1, 3, 4
_FIELDS = tuple(field.name for field in dataclasses.fields(MachineConfig) if field.name != "name")


def run(
    config: MachineConfig,
    dram: npt.NDArray[np.uint8],
    program_address: int,
    instruction_count: int,
    registers: Sequence[int],
    options: RunOptions = RunOptions(),
) -> RunResult:
    """Runs the program at `program_address` (bytes) of `dram` (uint8, in place; untouched with timing_only).

    Raises ValueError when the program does not lie inside `dram` or `dram` is read-only, and DeviceFault when
    a timing-only run needs more mailbox values than `options.mailbox_trace` has; everything else ends as a
    fault in the result. `events` has the first 2²¹ instructions. The interpreter's lock is free while it runs.
    """
    check_launch(dram, program_address, instruction_count, registers)
    if not dram.flags.writeable:
        raise ValueError("DRAM must be writeable")
    trace = np.asarray(options.mailbox_trace, np.int32)
    launch = _launch(program_address, instruction_count, registers, options, trace)
    result = ffi.new("weft_result *")
    handle = lib.weft_run_new(
        ffi.new("weft_config *", {name: getattr(config, name) for name in _FIELDS}),
        launch, ffi.cast("uint8_t *", dram.ctypes.data), len(dram), result,
    )  # fmt: skip
    if handle == ffi.NULL:
        raise _refusal(result, len(trace))
    try:
        return _collect(handle, result)
    finally:
        lib.weft_run_free(handle)


def kernel_name() -> str:
    """Which arithmetic kernels the simulator uses on this CPU: "scalar", "avx2" or "avx512"."""
    return _text(lib.weft_kernel_name())


def _launch(
    program_address: int,
    instruction_count: int,
    registers: Sequence[int],
    options: RunOptions,
    trace: npt.NDArray[np.int32],
) -> Any:
    launch = ffi.new("weft_launch *")
    launch.program_address, launch.instruction_count = program_address, instruction_count
    launch.registers = [int(value) for value in registers] + [0] * (REGISTERS - len(registers))
    launch.timing_only, launch.single_step = options.timing_only, options.single_step
    launch.record_events = options.record_events
    launch.stall_seed = options.stall_seed
    launch.cycle_limit, launch.instruction_limit = options.cycle_limit, options.instruction_limit
    launch.mailbox_trace = ffi.cast("int32_t *", trace.ctypes.data)
    launch.mailbox_trace_length = len(trace)
    return launch


def _refusal(result: Any, trace_length: int) -> Exception:
    if result.status == _TRACE_EXHAUSTED:
        return DeviceFault(
            f"instruction {result.instruction} reads a mailbox, but this timing-only run's mailbox_trace "
            f"has only {trace_length} values"
        )
    if result.status == _OUT_OF_MEMORY:
        return MemoryError(_text(result.detail))
    return ValueError(_text(result.detail))


def _collect(handle: Any, result: Any) -> RunResult:
    fault = None
    if result.status == _FAULT:
        fault = Fault(FaultCause(result.cause).name.lower(), int(result.instruction), _text(result.detail))
    return RunResult(
        status="fault" if fault else "done",
        fault=fault,
        cycles=int(result.cycles),
        instructions=int(result.instructions),
        units={unit.name.lower(): _counters(unit, result.activity[unit]) for unit in Unit},
        read_bytes=int(result.read_bytes),
        write_bytes=int(result.write_bytes),
        events=_events(handle),
        mailboxes=tuple(result.mailboxes),
    )


def _counters(unit: Unit, activity: Any) -> UnitCounters:
    counts = dict(zip(_ACTIVITIES, (int(count) for count in activity), strict=True))
    return UnitCounters(counts["busy"], {cause: counts[cause] for cause in STALL_CAUSES[unit]})


def _events(handle: Any) -> npt.NDArray[Any]:
    size = lib.weft_run_event_count(handle) * EVENT_DTYPE.itemsize
    if size == 0:
        return np.zeros(0, EVENT_DTYPE)
    return np.frombuffer(ffi.buffer(lib.weft_run_events(handle), size), EVENT_DTYPE).copy()


def _text(data: Any) -> str:
    return str(ffi.string(data).decode())
