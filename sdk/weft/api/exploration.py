"""`weft explore`: models on many machines."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.api.preparation import PrepareOptions, Source, prepare
from weft.api.progress import Progress, quiet
from weft.api.targets import resolve_machine
from weft.api.tuning import TuneOptions, open_workers
from weft.backends import DEFAULT_TARGET, Target
from weft.errors import CompileError
from weft.exploration.area import area
from weft.exploration.axes import Invalid, Point, Value, machines, parse_axes
from weft.exploration.evaluate import Cost, evaluate
from weft.exploration.plot import Mark, render_plot
from weft.frontend import Model
from weft.partition.costs import DEFAULT_HOST
from weft.report.files import write_text
from weft.tuning.workers import Call

__all__ = ["ExploreReport", "Explored", "explore", "write_plot"]

NO_OPTIONS = PrepareOptions()


@dataclass(frozen=True)
class Explored:
    """One machine. Cycles, bytes and microseconds are sums over the models (one inference of each); `utilization` is
    their multiply-accumulates ÷ (cycles × peak), with what stays on the host counted as if it were the accelerator's;
    `offloaded` is the share of multiply-accumulates that does not stay there. `area` is in NAND2 equivalents. `front`:
    no other machine is both as quick and as small, and better in one of them."""

    parameters: dict[str, Value]
    cycles: int
    utilization: float
    moved_bytes: int
    microseconds: float
    offloaded: float
    area: float
    logic_gates: float
    memory_bits: float
    front: bool
    cycles_by_model: dict[str, int]


@dataclass(frozen=True)
class ExploreReport:
    """All machines that were simulated, and the combinations that could not be, with the reason."""

    base: str
    models: tuple[str, ...]
    host: str
    machines: tuple[Explored, ...]
    invalid: tuple[Invalid, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        data = dataclasses.asdict(self)
        data["invalid"] = [{"parameters": dict(each.parameters), "reason": each.reason} for each in self.invalid]
        return data


def explore(
    sources: Sequence[Source],
    vary: Sequence[str],
    target: Target = DEFAULT_TARGET,
    *,
    scheduler: str | None = None,
    processes: int | None = None,
    prepared_with: PrepareOptions = NO_OPTIONS,
    progress: Progress = quiet,
) -> ExploreReport:
    """Compiles every model for every machine that differs from `target` in the parameters of `vary` (texts such as
    "lanes=8,16"), on all cores or a Dask cluster, and compares them.

    Machines that cannot be, or for which a model cannot be compiled, are named in `invalid`. Raises CompileError for
    parameters that cannot be varied, MachineError for a target that is not one of Weft's own machines, ModelError.
    """
    base = resolve_machine(target)
    points, invalid = machines(base, parse_axes(vary))
    host = prepared_with.host or DEFAULT_HOST
    models = [prepare(source, prepared_with, progress) for source in sources]
    if not models:
        raise CompileError("no model to explore with")
    names = _names(sources)
    given = [
        (name, each.model.proto.SerializeToString(deterministic=True), dict(each.shapes), host)
        for name, each in zip(names, models, strict=True)
    ]
    calls = [Call(evaluate, (*model, point.machine.to_dict())) for point in points for model in given]
    costs: dict[int, Cost] = {}
    with open_workers(TuneOptions(scheduler=scheduler, processes=processes)) as workers:
        for index, cost in workers.run(calls):
            costs[index] = cost
            progress("explore", len(costs), len(calls))
    explored: list[Explored] = []
    for number, point in enumerate(points):
        of_point = [costs[number * len(given) + index] for index in range(len(given))]
        failed = [f"{name}: {cost.failure}" for name, cost in zip(names, of_point, strict=True) if cost.failure]
        if failed:
            invalid.append(Invalid(point.parameters, failed[0]))
        else:
            explored.append(_explored(point, names, of_point))
    return ExploreReport(base.name, tuple(names), host, tuple(_with_front(explored)), tuple(invalid))


def write_plot(report: ExploreReport, path: str | os.PathLike[str]) -> None:
    """Writes time against area as an SVG file. Raises ReportError if that cannot be."""
    marks = [
        Mark(each.area, each.microseconds, _label(each.parameters), _group(each.parameters), each.front)
        for each in report.machines
        if each.microseconds > 0
    ]
    write_text(path, render_plot(marks, f"{', '.join(report.models)} on variants of {report.base}"))


def _names(sources: Sequence[Source]) -> list[str]:
    """A name for each model, none twice."""
    names: list[str] = []
    for source in sources:
        name = source.name if isinstance(source, Model) else Path(source).name
        names.append(name if name not in names else f"{name} ({len(names) + 1})")
    return names


def _explored(point: Point, names: Sequence[str], costs: Sequence[Cost]) -> Explored:
    cycles, macs = sum(cost.cycles for cost in costs), sum(cost.macs for cost in costs)
    size = area(point.machine)
    return Explored(
        dict(point.parameters), cycles, macs / (cycles * point.machine.macs_per_cycle) if cycles else 0.0,
        sum(cost.moved_bytes for cost in costs), sum(cost.microseconds for cost in costs),
        sum(cost.offloaded_macs for cost in costs) / macs if macs else 0.0,
        size.total, size.gates, size.memory_bits, False,
        {name: cost.cycles for name, cost in zip(names, costs, strict=True)},
    )  # fmt: skip


def _with_front(explored: Sequence[Explored]) -> list[Explored]:
    return [
        dataclasses.replace(each, front=not any(_dominates(other, each) for other in explored)) for each in explored
    ]


def _dominates(one: Explored, other: Explored) -> bool:
    """Whether one is at least as quick and as small, and better in one of them."""
    no_worse = one.microseconds <= other.microseconds and one.area <= other.area
    return no_worse and (one.microseconds, one.area) != (other.microseconds, other.area)


def _label(parameters: dict[str, Value]) -> str:
    return " ".join(f"{value:g}" for value in parameters.values())


def _group(parameters: dict[str, Value]) -> str:
    return next((f"{name}={value:g}" for name, value in parameters.items()), "base")
