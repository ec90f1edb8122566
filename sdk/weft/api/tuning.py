"""`weft tune`: search for better tiles of a model's operators, and keep them for the compiler."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weft.api.preparation import Prepared, PrepareOptions, Source, build, prepare
from weft.api.progress import Progress, quiet
from weft.api.targets import resolve_machine
from weft.backends import DEFAULT_TARGET, Target
from weft.backends.npu import NpuAccelerator
from weft.errors import CompileError
from weft.schedule.choice import Tile, TileChoices
from weft.schedule.search import make_ranker
from weft.tuning.cache import TunedTiles, TuningCache
from weft.tuning.cluster import ClusterWorkers
from weft.tuning.record import Recorder
from weft.tuning.search import Budget, search
from weft.tuning.workers import LocalWorkers, Workers
from weft_sim.machine import MachineConfig

__all__ = ["DEFAULT_TRIALS", "TuneOptions", "TuneReport", "TunedOperator", "open_workers", "tune"]

DEFAULT_TRIALS = 64


@dataclass(frozen=True)
class TuneOptions:
    """How far to search. `trials` candidates of each operator's shape at most; `seconds` of searching at most (None: as
    long as it takes); `ranker` is "learned", "simulator", "analytic" or "random"; `scheduler` is the address of a Dask
    scheduler (None: the cores of this machine, or as many processes as `processes` says)."""

    trials: int = DEFAULT_TRIALS
    seconds: float | None = None
    ranker: str = "learned"
    seed: int = 0
    scheduler: str | None = None
    processes: int | None = None

    def check(self) -> None:
        """Raises CompileError for an impossible budget."""
        if self.trials < 1 or (self.seconds is not None and not self.seconds > 0):
            raise CompileError(f"a search needs at least one trial and some time, not {self.trials} and {self.seconds}")


@dataclass(frozen=True)
class TunedOperator:
    """One shape: the operators that have it, the cycles of one of them alone with the default tile and with the best
    that was found (None where the time did not suffice for any), and that tile."""

    operators: tuple[str, ...]
    shape: str
    candidates: int
    trials: int
    default_cycles: int | None
    tuned_cycles: int | None
    tile: dict[str, Any]


@dataclass(frozen=True)
class TuneReport:
    """What came of it. `cycles_before` and `cycles_after` are those of the whole model's regions."""

    target: str
    ranker: str
    seed: int
    trials: int
    seconds: float
    workers: int
    complete: bool
    cycles_before: int
    cycles_after: int
    operators: tuple[TunedOperator, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)


NO_OPTIONS = TuneOptions()


def tune(
    source: Source,
    target: Target = DEFAULT_TARGET,
    options: TuneOptions = NO_OPTIONS,
    *,
    prepared_with: PrepareOptions | None = None,
    cache: TuningCache | None = None,
    progress: Progress = quiet,
) -> TuneReport:
    """Searches tiles for all convolutions and matrix products that the model has on the accelerator.

    What is measured is kept at once in the cache folder, where `weft.compile` finds it; after an interruption the
    search goes on from there. Equal trials and seed give equal results, however many workers there are; a limit in
    seconds does not promise that. Raises MachineError for a target that is not one of Weft's own machines, ModelError
    or CompileError.
    """
    options.check()
    ranker = make_ranker(options.ranker, options.seed)
    machine, kept = resolve_machine(target), TuningCache() if cache is None else cache
    prepared = prepare(source, prepared_with or PrepareOptions(seed=options.seed), progress)
    recorder = Recorder(machine)
    before = _cycles(prepared, machine, recorder, progress)
    named = recorder.targets
    targets = [each for each, _ in named]
    begin = time.monotonic()
    budget = Budget(options.trials, None if options.seconds is None else begin + options.seconds)
    with open_workers(options) as workers:
        found = search(targets, ranker, workers, budget, kept, lambda done, total: progress("tune", done, total))
        count = workers.count
    seconds = time.monotonic() - begin
    after = _cycles(prepared, machine, TunedTiles(machine, kept), progress)
    operators = tuple(
        _outcome(names, each.problem.candidates, repr(each.problem.shape), cycles)
        for (each, names), cycles in zip(named, found, strict=True)
    )
    complete = all(each.trials >= min(options.trials, each.candidates) for each in operators)
    trials = sum(each.trials for each in operators)
    return TuneReport(
        machine.name, options.ranker, options.seed, trials, seconds, count, complete, before, after, operators
    )


def open_workers(options: TuneOptions) -> Workers:
    """The cluster or the processes of this machine that the options ask for. Raises CompileError."""
    return LocalWorkers(options.processes) if options.scheduler is None else ClusterWorkers(options.scheduler)


def _cycles(prepared: Prepared, machine: MachineConfig, tiles: TileChoices, progress: Progress) -> int:
    executable = build(prepared, NpuAccelerator(machine, tiles), progress)
    return sum(region.estimated_cycles for region in executable.regions)


def _outcome(
    names: tuple[str, ...], candidates: tuple[Tile, ...], shape: str, cycles: Mapping[int, int]
) -> TunedOperator:
    best = min(cycles, key=lambda number: (cycles[number], number), default=0)
    return TunedOperator(
        names, shape, len(candidates), len(cycles), cycles.get(0), cycles.get(best),
        {field.name: getattr(candidates[best], field.name) for field in dataclasses.fields(candidates[best])},
    )  # fmt: skip
