"""`weft check`: prove that a program's answer does not depend on time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.console import Console

from weft.cli.console import Stages, answer, note
from weft.cli.options import (
    CalibrationOption,
    JsonOption,
    ProgramArgument,
    SeedOption,
    ShapeOption,
    TargetOption,
    shapes_of,
)

if TYPE_CHECKING:
    from weft.api.race_check import CheckReport

__all__ = ["check_command"]


def check_command(
    program: ProgramArgument,
    target: TargetOption = None,
    calibration: CalibrationOption = None,
    shape: ShapeOption = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Check that any two conflicting accesses of a program are ordered by tokens.

    Exit status 1 if two are not. Example: weft check resnet8.weft
    """
    from weft.api.arrays import load_arrays
    from weft.api.preparation import PrepareOptions, open_program
    from weft.api.race_check import check

    samples = None if calibration is None else load_arrays(calibration)
    with Stages() as stages:
        executable = open_program(program, target, PrepareOptions(samples, seed=seed, shapes=shapes_of(shape)), stages)
        report = check(executable, stages)
    answer(report.to_dict(), json, lambda console: _render(console, report))
    if report.findings:
        note(f"weft: {program}: {len(report.findings)} findings, first: {report.findings[0]}")
        raise typer.Exit(1)


def _render(console: Console, report: CheckReport) -> None:
    for finding in report.findings:
        console.print(finding, markup=False)
    verdict = f"{len(report.findings)} findings" if report.findings else "all conflicting accesses are ordered"
    console.print(
        f"{report.regions} region{'' if report.regions == 1 else 's'}, {report.instructions:,} instructions: {verdict}"
    )
