"""`weft explore`: models on many machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from weft.cli.console import Stages, answer
from weft.cli.options import CalibrationOption, HostOption, JsonOption, SeedOption, ShapeOption, TargetOption, shapes_of
from weft.cli.tune import SchedulerOption

__all__ = ["explore_command"]


def explore_command(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="ONNX models, float or quantized.")],
    vary: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=VALUE[,VALUE]",
            help="A parameter of the machine with its values, such as lanes=8,16; scratchpad_kib, "
            "dram_bytes_per_cycle or any that `weft targets --json` shows; repeatable.",
        ),
    ],
    target: TargetOption = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw time against area.")] = None,
    scheduler: SchedulerOption = None,
    calibration: CalibrationOption = None,
    shape: ShapeOption = None,
    host: HostOption = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Compile models for many machines and compare cycles, use, bytes and area; --target is what they differ from.

    Example: weft explore resnet18.onnx --vary lanes=8,16,32 --vary dram_bytes_per_cycle=4,8,16 --plot machines.svg
    """
    from weft.api.arrays import load_arrays
    from weft.api.exploration import explore, write_plot
    from weft.api.preparation import PrepareOptions
    from weft.errors import CompileError
    from weft.exploration.axes import parse_axes

    try:
        parse_axes(vary)
    except CompileError as error:
        raise typer.BadParameter(str(error), param_hint="--vary") from error
    samples = None if calibration is None else load_arrays(calibration)
    options = PrepareOptions(samples, seed=seed, shapes=shapes_of(shape), host=host)
    with Stages() as stages:
        report = explore(models, vary, target or "weft-16", scheduler=scheduler, prepared_with=options, progress=stages)
        if plot is not None:
            write_plot(report, plot)
    answer(report.to_dict(), json, lambda console: _render(console, report.to_dict()))


def _render(console: Console, data: dict[str, Any]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    names = list(data["machines"][0]["parameters"]) if data["machines"] else []
    for title in (*names, "cycles", "use", "MB moved", "µs", "on the accelerator", "area (MNAND2)", "front"):
        table.add_column(title, justify="right")
    for each in data["machines"]:
        table.add_row(
            *(f"{value:g}" for value in each["parameters"].values()), f"{each['cycles']:,}",
            f"{each['utilization']:.1%}", f"{each['moved_bytes'] / 1e6:,.2f}", f"{each['microseconds']:,.1f}",
            f"{each['offloaded']:.1%}", f"{each['area'] / 1e6:,.2f}", "*" if each["front"] else "",
        )  # fmt: skip
    console.print(table)
    for each in data["invalid"]:
        values = " ".join(f"{name}={value:g}" for name, value in each["parameters"].items())
        console.print(f"not possible: {escape(values)}: {escape(each['reason'])}")
    console.print("front: no other machine is as quick and as small; time includes the host's part (docs/tuning.md)")
