"""`weft cosim`: simulator and RTL in lockstep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from weft.cli.console import Stages, answer, note
from weft.cli.options import (
    CalibrationOption,
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

__all__ = ["cosim_command"]


def cosim_command(
    program: Annotated[
        Path | None, typer.Argument(metavar="[MODEL_OR_ARTIFACT]", help="ONNX model or artifact (.weft).")
    ] = None,
    fuzz: Annotated[int | None, typer.Option(min=1, metavar="N", help="Run N random programs instead.")] = None,
    target: TargetOption = None,
    inputs: InputOption = None,
    calibration: CalibrationOption = None,
    shape: ShapeOption = None,
    pin: PinOption = None,
    host: HostOption = None,
    driver: DriverOption = "auto",
    seed: SeedOption = 0,
    stalls: Annotated[int, typer.Option(min=0, metavar="SEED", help="Random DRAM stalls, the same on both.")] = 0,
    waves: Annotated[
        Path, typer.Option(metavar="FILE.fst", help="Waveform of the surroundings of the first difference.")
    ] = Path("cosim.fst"),
    json: JsonOption = False,
) -> None:
    """Run on simulator and RTL and compare every instruction's cycles, all counters and all memory.

    Exit status 1 at the first difference. Example: weft cosim resnet8.onnx; weft cosim --fuzz 200 --seed 1
    """
    from weft.api.arrays import load_arrays
    from weft.api.cosimulation import cosim_model, cosim_random

    if (program is None) == (fuzz is None):
        raise typer.BadParameter("give either a model or artifact, or --fuzz N")
    if fuzz is not None and (pin or host is not None or driver != "auto"):
        raise typer.BadParameter("random programs have no nodes and no host; leave out --pin, --host and --driver")
    given = None if inputs is None else load_arrays(inputs)
    samples = None if calibration is None else load_arrays(calibration)
    with Stages() as stages:
        if program is None:
            report = cosim_random(fuzz or 1, seed, target, stages)
        else:
            report = cosim_model(
                program,
                given,
                target=target,
                calibration=samples,
                shapes=shapes_of(shape),
                host=host,
                pins=pins_of(pin),
                driver=driver_of(driver),
                seed=seed,
                stall_seed=stalls,
                waves=waves,
                progress=stages,
            )

    def render(console: Console) -> None:
        console.print(
            f"{report.target}: {report.programs:,} programs, {report.instructions:,} instructions, "
            f"{report.cycles_sim:,} cycles on the simulator, {report.cycles_rtl:,} on the RTL, "
            f"{report.mismatches} with differences"
        )

    answer(report.to_dict(), json, render)
    if report.mismatches:
        where = f"; waveform in {report.waves}" if report.waves else ""
        note(f"weft: simulator and RTL differ: {report.first_mismatch}{where}")
        raise typer.Exit(1)
