"""`weft explain`: where each node runs, and why."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from weft.cli.console import Stages, answer
from weft.cli.options import (
    CalibrationOption,
    JsonOption,
    ProgramArgument,
    SeedOption,
    ShapeOption,
    TargetOption,
    shapes_of,
)

__all__ = ["explain_command"]


def explain_command(
    program: ProgramArgument,
    target: TargetOption = None,
    calibration: CalibrationOption = None,
    shape: ShapeOption = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Say for each node of a model where it runs and why.

    Example: weft explain resnet8.onnx --target weft-8
    """
    from weft.api.arrays import load_arrays
    from weft.api.describe import explain
    from weft.api.preparation import PrepareOptions, open_program

    samples = None if calibration is None else load_arrays(calibration)
    with Stages() as stages:
        executable = open_program(program, target, PrepareOptions(samples, seed=seed, shapes=shapes_of(shape)), stages)
    data = explain(executable)
    answer(data, json, lambda console: _render(console, data))


def _render(console: Console, data: dict[str, Any]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("node", "operator", "runs on", "region"):
        table.add_column(column, overflow="fold")
    table.add_column("estimated cycles", justify="right")
    table.add_column("why", overflow="fold")
    for node in data["nodes"]:
        cycles = f"{node['estimated_cycles']:,}" if node["device"] != "host" else ""
        table.add_row(*map(escape, (node["name"], node["op"], node["device"], node["region"], cycles, node["reason"])))
    console.print(table)
