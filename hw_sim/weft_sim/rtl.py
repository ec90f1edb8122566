"""The Python face of the RTL: the Verilated model behind the simulator's C header, with its DRAM timing."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from weft_sim.golden import check_launch
from weft_sim.isa.architecture import INSTRUCTION_BYTES, REGISTERS, FaultCause, Unit
from weft_sim.isa.instruction import Instruction, decode
from weft_sim.machine import MachineConfig
from weft_sim.rehearsal import Rehearsal
from weft_sim.result import EVENT_DTYPE, Fault, RunOptions, RunResult, UnitCounters
from weft_sim.rtl_build import BuildKind, RtlError, Sources, built_configuration, library
from weft_sim.simulator import STALL_CAUSES

__all__ = [
    "RtlError",
    "Waves",
    "device",
    "run",
    "run_checked",
    "run_covered",
    "run_with_waves",
    "write_coverage",
]

_ACTIVITIES = ("busy", "idle", "token", "queue", "dram", "bank", "weights", "write", "interval", "drain")
_FAULT, _BAD_LAUNCH = 1, 2
_FIELDS = tuple(field.name for field in dataclasses.fields(MachineConfig) if field.name != "name")
_FOREVER = (1 << 62) - 1
_EXTRA = """
void weft_rtl_waves(const char *path, uint64_t first, uint64_t last);
void weft_rtl_write_coverage(const char *path);
void weft_rtl_rehearse(const uint8_t *dram, uint64_t bytes, uint32_t instruction_count, uint64_t reset_at);
"""


@dataclass(frozen=True)
class Waves:
    """Waveforms of cycles `first` to `last` into an FST file."""

    path: Path
    first: int = 0
    last: int = _FOREVER


def run(
    config: MachineConfig,
    dram: npt.NDArray[np.uint8],
    program_address: int,
    instruction_count: int,
    registers: Sequence[int],
    options: RunOptions = RunOptions(),
) -> RunResult:
    """Runs the program at `program_address` (bytes) of `dram` (uint8, modified in place) on the RTL.

    The first run of a configuration builds its model. Raises RtlError when that is impossible or when the options
    ask for what only the simulator can do (timing_only), and ValueError when the program does not lie inside `dram`
    or `dram` is read-only; everything else ends as a fault in the result.
    """
    return _run(_model(config, BuildKind.fast()), config, dram, program_address, instruction_count, registers, options)


def run_checked(
    config: MachineConfig,
    dram: npt.NDArray[np.uint8],
    program_address: int,
    instruction_count: int,
    registers: Sequence[int],
    options: RunOptions = RunOptions(),
) -> RunResult:
    """`run` with the assertions inside the modules: one that fails ends the process with its place."""
    return _run(
        _model(config, BuildKind.checked()), config, dram, program_address, instruction_count, registers, options
    )


def run_with_waves(
    config: MachineConfig,
    dram: npt.NDArray[np.uint8],
    program_address: int,
    instruction_count: int,
    registers: Sequence[int],
    waves: Waves,
    options: RunOptions = RunOptions(),
) -> RunResult:
    """`run` that also leaves waveforms; a model of its own, slower."""
    model = _model(config, BuildKind.waves())
    model.lib.weft_rtl_waves(str(waves.path).encode(), waves.first, min(waves.last, _FOREVER))
    try:
        return _run(model, config, dram, program_address, instruction_count, registers, options)
    finally:
        model.lib.weft_rtl_waves(b"", 0, 0)


def run_covered(
    config: MachineConfig,
    dram: npt.NDArray[np.uint8],
    program_address: int,
    instruction_count: int,
    registers: Sequence[int],
    options: RunOptions = RunOptions(),
) -> RunResult:
    """`run_checked` on a model that counts its coverage; `write_coverage` says what it counted."""
    return _run(
        _model(config, BuildKind.coverage()), config, dram, program_address, instruction_count, registers, options
    )


def write_coverage(config: MachineConfig, path: Path) -> None:
    """Writes the sums over all runs of this process by `run_covered`, in Verilator's format. Raises RtlError when
    the file cannot be written."""
    model = _model(config, BuildKind.coverage())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")  # Verilator would end the process where it cannot write
    except OSError as error:
        raise RtlError(f"coverage cannot be written: {error}") from error
    model.lib.weft_rtl_write_coverage(str(path).encode())


def device(kind: BuildKind, sources: Sources, before: Rehearsal | None = None) -> Callable[..., RunResult]:
    """`run` on a model of that kind made from those sources, such as a changed copy of the project's; with the launch
    `before` each of its launches."""

    def run_on(
        config: MachineConfig,
        dram: npt.NDArray[np.uint8],
        program_address: int,
        instruction_count: int,
        registers: Sequence[int],
        options: RunOptions = RunOptions(),
    ) -> RunResult:
        model = _load(built_configuration(config), kind, sources)
        if before is not None:
            model.lib.weft_rtl_rehearse(before.dram, len(before.dram), before.instruction_count, before.reset_at)
        try:
            return _run(model, config, dram, program_address, instruction_count, registers, options)
        finally:
            model.lib.weft_rtl_rehearse(b"", 0, 0, 0)

    return run_on


@dataclass(frozen=True)
class _Model:
    ffi: Any
    lib: Any


def _model(config: MachineConfig, kind: BuildKind) -> _Model:
    return _load(built_configuration(config), kind, Sources.find())


@functools.lru_cache(maxsize=16)
def _load(config: MachineConfig, kind: BuildKind, sources: Sources) -> _Model:
    try:
        from cffi import FFI
    except ImportError as error:
        raise RtlError("the rtl device needs the package cffi") from error
    ffi = FFI()
    ffi.cdef(sources.declarations.read_text() + _EXTRA)
    path = library(config, kind, sources=sources)
    try:
        return _Model(ffi, ffi.dlopen(str(path)))
    except OSError as error:
        raise RtlError(f"{path} cannot be loaded ({error}): delete it to have it built again") from error


def _run(
    model: _Model,
    config: MachineConfig,
    dram: npt.NDArray[np.uint8],
    program_address: int,
    instruction_count: int,
    registers: Sequence[int],
    options: RunOptions,
) -> RunResult:
    check_launch(dram, program_address, instruction_count, registers)
    if not dram.flags.writeable:
        raise ValueError("DRAM must be writeable")
    if options.timing_only:
        raise RtlError("the RTL always computes data: timing_only is the simulator's")
    ffi, lib = model.ffi, model.lib
    launch = ffi.new("weft_launch *")
    launch.program_address, launch.instruction_count = program_address, instruction_count
    launch.registers = [int(value) for value in registers] + [0] * (REGISTERS - len(registers))
    launch.record_events, launch.stall_seed = options.record_events, options.stall_seed
    launch.cycle_limit, launch.instruction_limit = options.cycle_limit, options.instruction_limit
    result = ffi.new("weft_result *")
    handle = lib.weft_run_new(
        ffi.new("weft_config *", {name: getattr(config, name) for name in _FIELDS}),
        launch,
        ffi.cast("uint8_t *", dram.ctypes.data),
        len(dram),
        result,
    )
    if handle == ffi.NULL:
        raise RtlError(ffi.string(result.detail).decode())
    try:
        events = _events(model, handle)
    finally:
        lib.weft_run_free(handle)
    fault = _fault(config, dram, program_address, registers, result) if result.status == _FAULT else None
    return _result(result, fault, events)


def _result(result: Any, fault: Fault | None, events: npt.NDArray[Any]) -> RunResult:
    return RunResult(
        status="fault" if fault else "done",
        fault=fault,
        cycles=int(result.cycles),
        instructions=int(result.instructions),
        units={unit.name.lower(): _counters(unit, result.activity[unit]) for unit in Unit},
        read_bytes=int(result.read_bytes),
        write_bytes=int(result.write_bytes),
        events=events,
        mailboxes=tuple(result.mailboxes),
    )


def _fault(
    config: MachineConfig, dram: npt.NDArray[np.uint8], program_address: int, registers: Sequence[int], result: Any
) -> Fault:
    """The fault with words where the table can still tell them (registers may have changed since the launch)."""
    cause, index = FaultCause(result.cause), int(result.instruction)
    start = program_address + index * INSTRUCTION_BYTES
    data = dram[start : start + INSTRUCTION_BYTES].tobytes()
    if len(data) < INSTRUCTION_BYTES:
        return Fault(cause.name.lower(), index)
    found: Any = decode(data)
    if isinstance(found, Instruction):
        values = [int(value) for value in registers] + [0] * (REGISTERS - len(registers))
        found = found.validate(config, values, len(dram))
    return Fault(cause.name.lower(), index, found.detail if found is not None and found.cause == cause else "")


def _counters(unit: Unit, activity: Any) -> UnitCounters:
    counts = dict(zip(_ACTIVITIES, (int(count) for count in activity), strict=True))
    return UnitCounters(counts["busy"], {cause: counts[cause] for cause in STALL_CAUSES[unit]})


def _events(model: _Model, handle: Any) -> npt.NDArray[Any]:
    size = model.lib.weft_run_event_count(handle) * EVENT_DTYPE.itemsize
    if size == 0:
        return np.zeros(0, EVENT_DTYPE)
    return np.frombuffer(model.ffi.buffer(model.lib.weft_run_events(handle), size), EVENT_DTYPE).copy()
