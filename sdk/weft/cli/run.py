"""`weft run`: execute a model or an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from weft.cli.console import Stages, answer, note
from weft.cli.options import (
    CalibrationOption,
    DeviceOption,
    InputOption,
    JsonOption,
    SeedOption,
    ShapeOption,
    TargetOption,
    shapes_of,
)

__all__ = ["run_command"]


def run_command(
    program: Annotated[Path, typer.Argument(metavar="MODEL_OR_ARTIFACT", help="ONNX model or artifact (.weft).")],
    device: DeviceOption = "sim",
    target: TargetOption = None,
    inputs: InputOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.npz", help="Write the outputs.")
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="Write a Chrome trace, to be opened in ui.perfetto.dev."),
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a self-contained page.")] = None,
    calibration: CalibrationOption = None,
    shape: ShapeOption = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Run a model or artifact and say what it cost.

    Example: weft run resnet8.weft --input images.npz --output answers.npz --trace resnet8.json
    """
    from weft.api.arrays import load_arrays, save_arrays
    from weft.api.execution import run
    from weft.report import render_timeline, write_html, write_trace

    given = None if inputs is None else load_arrays(inputs)
    samples = None if calibration is None else load_arrays(calibration)
    with Stages() as stages:
        result = run(
            program,
            given,
            device=device,
            target=target,
            calibration=samples,
            shapes=shapes_of(shape),
            seed=seed,
            progress=stages,
        )
        if output is not None:
            save_arrays(output, result.outputs)
        if trace is not None:
            write_trace(result.profile, trace)
        if report is not None:
            write_html(result.profile, report, f"{program.name} on {device}", result.executable.nodes)
    if given is None and not json:
        note(f"no --input: ran on random inputs (seed {seed})")

    def render(console: Console) -> None:
        if result.profile.cycles:
            console.print(render_timeline(result.profile), markup=False)
            console.print()
        console.print(str(result.profile), markup=False)

    answer(result.to_dict(), json, render)
