"""`weft explain`: where each node runs, and why, and what it would have cost elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from weft.cli.console import Stages, answer
from weft.cli.options import (
    BatchOption,
    CalibrationOption,
    DriverOption,
    HostOption,
    InputOption,
    JsonOption,
    PinOption,
    ProgramArgument,
    SeedOption,
    ShapeOption,
    TargetOption,
    driver_of,
    pins_of,
    shapes_of,
)

__all__ = ["explain_command"]


def explain_command(
    program: ProgramArgument,
    target: TargetOption = None,
    calibration: CalibrationOption = None,
    shape: ShapeOption = None,
    pin: PinOption = None,
    host: HostOption = None,
    driver: DriverOption = "auto",
    batch: BatchOption = 1,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Write a picture of what runs where.")
    ] = None,
    control_flow: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.svg", help="Write a picture of the control-flow graph; with --input, of the ways taken."
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a self-contained page with both pictures.")
    ] = None,
    inputs: InputOption = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Say for each node of a model where it runs and why, and what it would cost elsewhere.

    With --input, a model whose path depends on its input is run, and every decision says how often it went which way.

    Example: weft explain early_exit.onnx --input digits.npz --html early_exit.html
    """
    from weft.api.arrays import load_arrays
    from weft.api.describe import explain
    from weft.api.execution import run
    from weft.api.preparation import PrepareOptions, open_program
    from weft.report import Paths, ReportError, write_explanation, write_flow, write_picture

    samples = None if calibration is None else load_arrays(calibration)
    given = None if inputs is None else load_arrays(inputs)
    options = PrepareOptions(
        samples,
        given,
        seed=seed,
        shapes=shapes_of(shape),
        host=host,
        pins=pins_of(pin),
        driver=driver_of(driver),
        batch=batch,
    )
    with Stages() as stages:
        executable = open_program(program, target, options, stages)
        if picture is not None:
            write_picture(executable, picture, program.name)
        if control_flow is not None and executable.control is None:
            raise ReportError(f"{program}: has no control flow to draw: no If, Loop or Scan with products inside")
        paths: Paths = ()
        if given is not None and executable.control is not None:
            paths = run(executable, given, progress=stages).profile.paths
        data = explain(executable, paths)
        if control_flow is not None:
            write_flow(executable, control_flow, program.name, paths)
        if html is not None:
            write_explanation(executable, data, html, program.name, paths)
    answer(data, json, lambda console: _render(console, data))


def _render(console: Console, data: dict[str, Any]) -> None:
    from weft.report.control_flow import outline

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("node", "operator", "runs on", "region"):
        table.add_column(column, overflow="fold")
    table.add_column("estimated cycles", justify="right")
    table.add_column("µs by processor", overflow="fold")
    table.add_column("why", overflow="fold")
    for node in data["nodes"]:
        cycles = f"{node['estimated_cycles']:,}" if node["device"] != "host" else ""
        costs = ", ".join(f"{each['processor']} {each['nanoseconds'] / 1000:,.1f}" for each in node["costs"])
        row = (node["name"], node["op"], node["device"], node["region"], cycles, costs, node["reason"])
        table.add_row(*map(escape, row))
    console.print(table)
    if data["control"]:
        console.print()
        console.print("\n".join(outline(data["control"])), markup=False, soft_wrap=True)
    if data["partition"] is not None:
        console.print()
        console.print(_candidates(data["partition"]))


def _candidates(partition: dict[str, Any]) -> Table:
    title = f"estimates in µs, host {partition['host_profile']}"
    table = Table(title=escape(title), title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("partition")
    for column in ("host", "accelerator", "transfers", "launches", "total"):
        table.add_column(column, justify="right")
    for each in partition["candidates"]:
        figures = (each[key] for key in ("host", "accelerator", "transfers", "launches", "total"))
        chosen = " (chosen)" if each["name"] == partition["chosen"] else ""
        table.add_row(escape(each["name"]) + chosen, *(f"{figure / 1000:,.1f}" for figure in figures))
    return table
