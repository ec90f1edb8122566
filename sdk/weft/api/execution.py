"""`weft run`: a model or artifact on a device, with given or random inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from weft.api.arrays import Arrays, random_arrays
from weft.api.margins import PathMargins, path_margins
from weft.api.preparation import NO_OPTIONS, PrepareOptions, Source, build, open_variants, prepare
from weft.api.progress import Progress, quiet
from weft.backends import DEFAULT_TARGET, Target, resolve_target
from weft.dynamic import DecisionMargins
from weft.lowering import Driver
from weft_runtime.devices import DeviceFactory, MemoryDevice
from weft_runtime.executable import Executable
from weft_runtime.npu import machine_of
from weft_runtime.profile import Profile
from weft_runtime.session import Session
from weft_runtime.variants import Variants
from weft_sim import rtl
from weft_sim.machine import MachineConfig
from weft_sim.result import RunOptions, RunResult

__all__ = ["RunReport", "rtl_with_waves", "run", "run_with_margins"]

NO_SHAPES: Mapping[str, int] = {}
NO_PINS: Mapping[str, str] = {}


@dataclass(frozen=True)
class RunReport:
    """Outputs by name, what the run cost, and whether its inputs were "given" or "random". `margins`: for each path of
    the profile those of its decisions, where they were asked for."""

    executable: Executable
    outputs: Arrays
    profile: Profile
    inputs: str
    margins: PathMargins = ()

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values: totals, then per layer and per unit. The outputs are not among
        them."""
        return {
            **self.profile.to_dict(),
            "paths": self._paths(),
            "calibration": self.executable.calibration,
            "inputs": self.inputs,
            "layers": [
                {"name": node.name, "region": node.region, "cycles": node.cycles, "active": dict(node.active)}
                for node in self.profile.nodes
            ],
            "units": {
                unit: {"busy": counters.busy, "stalls": dict(counters.stalls)}
                for unit, counters in self.profile.units.items()
            },
        }

    def _paths(self) -> list[list[dict[str, Any]]]:
        unknown = [[DecisionMargins()] * len(path) for path in self.profile.paths]
        return [
            [
                {"name": step.name, "outcome": step.outcome, "margins": list(each.conditions), "count": each.count}
                for step, each in zip(path, margins, strict=True)
            ]
            for path, margins in zip(self.profile.paths, self.margins or unknown, strict=True)
        ]


def run(
    source: Source | Executable,
    inputs: Mapping[str, Any] | None = None,
    *,
    device: str | DeviceFactory = "sim",
    target: Target | None = None,
    calibration: Mapping[str, Any] | None = None,
    shapes: Mapping[str, int] = NO_SHAPES,
    host: str | None = None,
    pins: Mapping[str, str] = NO_PINS,
    driver: Driver = "auto",
    seed: int = 0,
    progress: Progress = quiet,
) -> RunReport:
    """Run `source` once, or k times in turn where the inputs hold k samples.

    `inputs` and `calibration` hold one array per model input; without inputs, one seeded random sample runs.
    Of an artifact's variants the one that fits the inputs runs.
    A float model is quantized with `calibration`, else with `inputs`, else with random samples. `host` and `pins`
    say what runs where, `driver` who decides, as for `weft.compile`; artifacts take none of these. Raises WeftError.
    """
    options = PrepareOptions(calibration, inputs, seed, shapes, host, pins, driver=driver)
    programs = open_variants(source, target, options, progress)
    first = programs[0]
    arrays = random_arrays(first.bound_inputs, first.batch, 1, seed, shapes) if inputs is None else inputs
    with Session(Variants(programs), device) as session:
        outputs = session.run(arrays, lambda done, total: progress("run", done, total))
        return RunReport(session.executable, outputs, session.profile, "random" if inputs is None else "given")


def run_with_margins(
    source: Source,
    inputs: Mapping[str, Any] | None = None,
    *,
    device: str | DeviceFactory = "sim",
    target: Target | None = None,
    options: PrepareOptions = NO_OPTIONS,
    progress: Progress = quiet,
) -> RunReport:
    """As `run` for a model, and how close each decision on its path was. Raises WeftError; ModelError for an artifact,
    which holds no text of its conditions."""
    accelerators = resolve_target(target or DEFAULT_TARGET)  # before minutes go into quantizing
    prepared = prepare(source, options, progress)
    executable = build(prepared, accelerators, progress)
    arrays = inputs
    if arrays is None:
        arrays = random_arrays(executable.bound_inputs, executable.batch, 1, options.seed, options.shapes)
    report = run(executable, arrays, device=device, progress=progress)
    margins = path_margins(prepared, executable, arrays, report.profile.paths, progress)
    return replace(report, inputs="random" if inputs is None else "given", margins=margins)


def rtl_with_waves(path: Path, first: int = 0, last: int | None = None) -> DeviceFactory:
    """What opens the RTL so that each launch leaves waveforms of cycles `first` to `last` in `path` (FST)."""
    window = rtl.Waves(path, first) if last is None else rtl.Waves(path, first, last)

    def launch(
        config: MachineConfig,
        dram: npt.NDArray[np.uint8],
        program_address: int,
        instruction_count: int,
        registers: Sequence[int],
        options: RunOptions,
    ) -> RunResult:
        return rtl.run_with_waves(config, dram, program_address, instruction_count, registers, window, options)

    return lambda processor, size, options: _WavesDevice(machine_of(processor), size, options, launch)


class _WavesDevice(MemoryDevice):
    name = "rtl"
