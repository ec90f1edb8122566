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


def _window(value: str) -> str:
    first, separator, last = value.partition(":")
    if not separator or any(part and not (part.isascii() and part.isdigit()) for part in (first, last)):
        raise typer.BadParameter(f"{value!r} is not FIRST:LAST (cycles; either may be left out)")
    return value


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
    waves: Annotated[
        Path | None, typer.Option(metavar="FILE.fst", help="Waveforms of the last launch (device rtl only).")
    ] = None,
    waves_cycles: Annotated[
        str, typer.Option(metavar="FIRST:LAST", callback=_window, help="Cycles that go into the waveforms.")
    ] = "0:",
    profile: Annotated[
        bool, typer.Option("--profile", help="Show the path of each sample, where it depends on the input.")
    ] = False,
    shape: ShapeOption = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Run a model or artifact and say what it cost.

    Example: weft run resnet8.weft --input images.npz --output answers.npz --trace resnet8.json
    """
    from weft.api.arrays import load_arrays, save_arrays
    from weft.api.execution import rtl_with_waves, run
    from weft.report import render_timeline, write_html, write_trace
    from weft_runtime.profile_text import render_paths

    if waves is not None and device != "rtl":
        raise typer.BadParameter("--waves needs --device rtl")
    first, last = waves_cycles.split(":")
    opened = device if waves is None else rtl_with_waves(waves, int(first or 0), int(last) if last else None)
    given = None if inputs is None else load_arrays(inputs)
    samples = None if calibration is None else load_arrays(calibration)
    with Stages() as stages:
        result = run(
            program,
            given,
            device=opened,
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
        if profile:
            console.print()
            console.print(render_paths(result.profile), markup=False, soft_wrap=True)

    answer(result.to_dict(), json, render)
