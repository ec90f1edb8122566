"""`weft disasm`: a program as text."""

from __future__ import annotations

from rich.console import Console

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

__all__ = ["disasm_command"]


def disasm_command(
    program: ProgramArgument,
    target: TargetOption = None,
    calibration: CalibrationOption = None,
    shape: ShapeOption = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Print the instructions of an artifact (or of a model, compiled first), with their ONNX nodes.

    Example: weft disasm resnet8.weft
    """
    from weft.api.arrays import load_arrays
    from weft.api.describe import disassembly
    from weft.api.preparation import PrepareOptions, open_program

    samples = None if calibration is None else load_arrays(calibration)
    with Stages() as stages:
        executable = open_program(program, target, PrepareOptions(samples, seed=seed, shapes=shapes_of(shape)), stages)
        listings = disassembly(executable)

    def render(console: Console) -> None:
        for listing in listings:
            console.print(f"{listing['region']}:", markup=False)
            console.print("\n".join(listing["lines"]), markup=False)

    answer({"target": executable.target, "regions": listings}, json, render)
