"""`weft verify`: compare a compiled model with ONNX Runtime, element by element."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from weft.cli.console import Stages, answer, note
from weft.cli.options import (
    CalibrationOption,
    DeviceOption,
    DriverOption,
    HostOption,
    InputOption,
    JsonOption,
    ModelArgument,
    PinOption,
    SeedOption,
    ShapeOption,
    TargetOption,
    driver_of,
    pins_of,
    shapes_of,
)

if TYPE_CHECKING:
    from weft.api.decisions import DecisionReport
    from weft.api.verification import VerifyReport

__all__ = ["verify_command"]


def verify_command(
    model: ModelArgument,
    device: DeviceOption = "sim",
    target: TargetOption = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", "-k", min=1, help="How many samples. Default: all given, or 1 random."),
    ] = None,
    inputs: InputOption = None,
    calibration: CalibrationOption = None,
    shape: ShapeOption = None,
    pin: PinOption = None,
    host: HostOption = None,
    driver: DriverOption = "auto",
    float_model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.onnx", help="What a quantized MODEL was made from: compares the paths, with margins."
        ),
    ] = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Run a model on a device and compare every output with ONNX Runtime on the same quantized graph.

    Exit status 1 if an element differs that no operator with a documented bound explains.
    Example: weft verify resnet8.onnx --samples 10 --input images.npz
    """
    from weft.api.arrays import load_arrays
    from weft.api.verification import verify
    from weft.backends import DEFAULT_TARGET

    given = None if inputs is None else load_arrays(inputs)
    calibrating = None if calibration is None else load_arrays(calibration)
    with Stages() as stages:
        report = verify(
            model,
            given,
            device=device,
            target=target or DEFAULT_TARGET,
            samples=samples,
            calibration=calibrating,
            shapes=shapes_of(shape),
            host=host,
            pins=pins_of(pin),
            driver=driver_of(driver),
            seed=seed,
            float_model=float_model,
            progress=stages,
        )
    answer(report.to_dict(), json, lambda console: _render(console, report))
    if not report.verified:
        names = [each.name for each in report.outputs if each.mismatches]
        where = f", first in output {names[0]!r}" if names else ""
        note(
            f"weft: {report.mismatches} of {report.elements} elements differ from ONNX Runtime, "
            f"{report.unexplained} of them unexplained{where}"
        )
        raise typer.Exit(1)


def _render(console: Console, report: VerifyReport) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("output", overflow="fold")
    for column in ("elements", "mismatches", "largest (steps)", "ORT default differs in"):
        table.add_column(column, justify="right")
    for each in report.outputs:
        largest = "not finite" if each.max_abs_diff_lsb is None else f"{each.max_abs_diff_lsb:g}"
        table.add_row(
            escape(each.name),
            f"{each.elements:,}",
            f"{each.mismatches:,}",
            largest,
            "failed" if each.ort_default_mismatches is None else f"{each.ort_default_mismatches:,}",
        )
    console.print(table)
    if report.ort_default_failure:
        console.print(report.ort_default_failure, markup=False)
    for operator in report.inexact:
        console.print(
            f"inexact: {operator.name}: {operator.mismatches:,} of {operator.elements:,} elements off by at most "
            f"{operator.max_abs_diff_lsb} step on the same inputs",
            markup=False,
        )
    if report.decisions:
        console.print()
        console.print(_decisions(report.decisions))
    verdict = f"{report.unexplained:,} UNEXPLAINED MISMATCHES"
    if report.verified:
        explained = f"{report.mismatches:,} elements differ, all explained by the inexact operators"
        verdict = "every element agrees" if report.exact else explained
    console.print(
        f"{report.device} · {report.target} · {report.samples} {report.inputs} samples · calibration "
        f"{report.calibration} · {report.seconds:.1f} s: {verdict}",
        markup=False,
    )


def _decisions(reports: Sequence[DecisionReport]) -> Table:
    table = Table(title="decisions of the float model", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("decision", overflow="fold")
    for column in ("taken", "samples that part here", "largest margin of these", "median of all"):
        table.add_column(column, justify="right")
    for each in reports:
        margins = ("–" if margin is None else f"{margin:.3g}" for margin in (each.largest_flipped, each.median_margin))
        table.add_row(escape(each.name), f"{each.taken:,}", f"{each.flips:,}", *margins)
    return table
