"""`weft run`: execute a model or an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from weft.cli.console import Stages, answer, note
from weft.cli.deployment import (
    ArrivalOption,
    DevicesOption,
    NoOverlapOption,
    QueueOption,
    RequestsOption,
    deployment_options,
    render_deployment,
)
from weft.cli.options import (
    CalibrationOption,
    DeviceOption,
    DriverOption,
    HostOption,
    InputOption,
    JsonOption,
    PinOption,
    SeedOption,
    ShapeOption,
    TargetOption,
    driver_of,
    pins_of,
    shapes_of,
)

__all__ = ["run_command"]

NO_MARGINS = "an artifact holds no text of its conditions: run the ONNX model to see how close decisions were"


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
        bool,
        typer.Option(
            "--profile", help="Show each sample's path where it depends on the input, and how close decisions were."
        ),
    ] = False,
    shape: ShapeOption = None,
    requests: RequestsOption = None,
    arrival: ArrivalOption = None,
    pin: PinOption = None,
    host: HostOption = None,
    driver: DriverOption = "auto",
    no_overlap: NoOverlapOption = False,
    devices: DevicesOption = None,
    queue: QueueOption = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Run a model or artifact and say what it cost; with --requests, play out a whole deployment in simulated time.

    Example: weft run resnet8.weft --input images.npz --output answers.npz --trace resnet8.json
    """
    from weft.api.arrays import load_arrays, save_arrays
    from weft.api.deployment import deploy
    from weft.api.execution import rtl_with_waves, run, run_with_margins
    from weft.api.preparation import PrepareOptions
    from weft.report import render_timeline, write_html, write_trace
    from weft.report.paths import MARGIN_LEGEND, margin_notes
    from weft_runtime.artifact import is_artifact
    from weft_runtime.profile_text import render_paths

    wanted = deployment_options(requests, arrival, host, no_overlap, devices, queue)
    if waves is not None and wanted is not None:
        raise typer.BadParameter("--waves shows one launch: it does not go with --requests")
    if waves is not None and device != "rtl":
        raise typer.BadParameter("--waves needs --device rtl")
    first, last = waves_cycles.split(":")
    opened = device if waves is None else rtl_with_waves(waves, int(first or 0), int(last) if last else None)
    given = None if inputs is None else load_arrays(inputs)
    samples = None if calibration is None else load_arrays(calibration)
    played = None
    with Stages() as stages:
        if wanted is None and profile and not is_artifact(program):
            options = PrepareOptions(
                samples, given, seed, shapes_of(shape), host, pins_of(pin), driver=driver_of(driver)
            )
            result = run_with_margins(program, given, device=opened, target=target, options=options, progress=stages)
        elif wanted is None:
            result = run(
                program, given, device=opened, target=target, calibration=samples,
                shapes=shapes_of(shape), host=host, pins=pins_of(pin), driver=driver_of(driver), seed=seed,
                progress=stages,
            )  # fmt: skip
        else:
            prepare = PrepareOptions(
                samples, seed=seed, shapes=shapes_of(shape), pins=pins_of(pin), driver=driver_of(driver)
            )
            played = deploy(program, wanted, given, device=device, target=target, prepare=prepare, progress=stages)
            result = played.run
        view = None if played is None else played.view
        if output is not None:
            save_arrays(output, result.outputs)
        if trace is not None:
            write_trace(result.profile, trace, view)
        if report is not None:
            write_html(
                result.profile, report, f"{program.name} on {device}",
                executable=result.executable, deployment=view,
            )  # fmt: skip
    if given is None and not json:
        note(f"no --input: ran on random inputs (seed {seed})")

    def render(console: Console) -> None:
        if result.profile.cycles:
            console.print(render_timeline(result.profile), markup=False)
            console.print()
        console.print(str(result.profile), markup=False)
        if profile:
            console.print()
            console.print(render_paths(result.profile, margin_notes(result.margins)), markup=False, soft_wrap=True)
            if result.profile.paths:
                console.print(MARGIN_LEGEND if result.margins else NO_MARGINS, markup=False, soft_wrap=True)
        if played is not None:
            render_deployment(console, played)

    answer((played or result).to_dict(), json, render)
