"""What each mechanism of the scheduler is worth: whole models compiled without one of them, and without all."""

from __future__ import annotations

from typing import Any

from weft.backends import resolve_target
from weft.backends.npu import NpuAccelerator
from weft.compiler import compile as compile_model
from weft.frontend import Model
from weft.schedule.options import ScheduleOptions
from weft_runtime.npu import machine_of

__all__ = ["ABLATIONS", "ablation_rows"]

ABLATIONS: dict[str, ScheduleOptions] = {
    "latency hiding": ScheduleOptions(hiding=False),
    "fusion": ScheduleOptions(fusion=False),
    "residency (chains)": ScheduleOptions(chains=False),
    "rows beside products": ScheduleOptions(side_by_side=False),
    "all of these": ScheduleOptions(hiding=False, fusion=False, chains=False, side_by_side=False),
}
"""What is switched off, as the table names it."""


def ablation_rows(network: str, model: Model, target: str, full: int) -> list[dict[str, Any]]:
    """A row for the full compiler, which takes `full` cycles, and one for each mechanism that is off: cycles, and those
    in per cent of `full`. Without one mechanism, the compiler still chooses the best program that the others allow."""
    config = machine_of(resolve_target(target)[0].processor)
    rows = [_row(network, "nothing", full, full)]
    for name, options in ABLATIONS.items():
        executable = compile_model(model, NpuAccelerator(config, options=options))
        rows.append(_row(network, name, sum(region.estimated_cycles for region in executable.regions), full))
    return rows


def _row(network: str, without: str, cycles: int, full: int) -> dict[str, Any]:
    return {"network": network, "without": without, "cycles": cycles, "percent_of_full": round(100 * cycles / full, 1)}
