"""`weft tune`: search for better tiles."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from weft.cli.console import Stages, answer
from weft.cli.options import (
    CalibrationOption,
    HostOption,
    JsonOption,
    ModelArgument,
    PinOption,
    SeedOption,
    ShapeOption,
    TargetOption,
    pins_of,
    shapes_of,
)

__all__ = ["SchedulerOption", "tune_command"]

SchedulerOption = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Measure on the workers of this Dask scheduler, such as tcp://host:8786."),
]


def _known_ranker(value: str) -> str:
    from weft.schedule.search import RANKERS  # its imports take half a second, which --help need not wait for

    if value not in RANKERS:
        raise typer.BadParameter(f"unknown ranker {value!r}; known: {', '.join(RANKERS)}")
    return value


def tune_command(
    model: ModelArgument,
    target: TargetOption = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.001, help="Stop searching after so long. Without it, --trials decides.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Candidates to measure for each operator's shape.")] = 64,
    ranker: Annotated[
        str,
        typer.Option(
            callback=_known_ranker,
            help="Who says what to measure next: learned (needs the extra 'tune'), simulator, analytic or random.",
        ),
    ] = "learned",
    scheduler: SchedulerOption = None,
    calibration: CalibrationOption = None,
    shape: ShapeOption = None,
    pin: PinOption = None,
    host: HostOption = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Search for better tiles of a model's operators; `weft compile` and `weft run` then take them.

    What is measured is kept in the cache folder at once: interrupt it, and the next call goes on from there.

    Example: weft tune resnet18.onnx --target weft-16 --seconds 60
    """
    from weft.api.arrays import load_arrays
    from weft.api.preparation import PrepareOptions
    from weft.api.tuning import TuneOptions, tune

    samples = None if calibration is None else load_arrays(calibration)
    prepared_with = PrepareOptions(samples, seed=seed, shapes=shapes_of(shape), host=host, pins=pins_of(pin))
    options = TuneOptions(trials, seconds, ranker, seed, scheduler)
    with Stages() as stages:
        report = tune(model, target or "weft-16", options, prepared_with=prepared_with, progress=stages)
    data = report.to_dict()
    answer(data, json, lambda console: _render(console, data))


def _render(console: Console, data: dict[str, Any]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("operator", "same", "candidates", "trials", "default", "tuned", "gain"):
        table.add_column(title, justify="left" if title == "operator" else "right")
    for each in data["operators"]:
        default, tuned = each["default_cycles"], each["tuned_cycles"]
        numbers = ("-", "-", "-")
        if default and tuned:
            numbers = (f"{default:,}", f"{tuned:,}", f"{1 - tuned / default:.2%}")
        name, same = escape(each["operators"][0]), str(len(each["operators"]))
        table.add_row(name, same, str(each["candidates"]), str(each["trials"]), *numbers)
    console.print(table)
    before, after = data["cycles_before"], data["cycles_after"]
    gain = f" ({1 - after / before:.2%} less)" if before else ""
    console.print(f"whole model on {data['target']}: {before:,} cycles before, {after:,} after{gain}")
    state = "" if data["complete"] else "; the time was up before all trials: call again to go on"
    console.print(f"{data['trials']} trials in {data['seconds']:.1f} s on {data['workers']} worker(s){state}")
