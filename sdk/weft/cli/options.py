"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from weft_runtime.control import MAX_BATCH
from weft_sim.machine import PRESETS

__all__ = [
    "BatchOption",
    "CalibrationOption",
    "DeviceOption",
    "DriverOption",
    "HostOption",
    "InputOption",
    "JsonOption",
    "ModelArgument",
    "PinOption",
    "ProgramArgument",
    "SeedOption",
    "ShapeOption",
    "TargetOption",
    "driver_of",
    "pins_of",
    "shape_choices_of",
    "shapes_of",
]


def _known_target(value: str | None) -> str | None:
    unknown = [part for part in (value or "").split(",") if part not in PRESETS and not part.endswith(".json")]
    if value is None or not unknown:
        return value
    from weft.backends import known_targets  # its imports take half a second, which --help need not wait for

    known = known_targets()
    for part in unknown:
        if part.strip() not in known:
            raise typer.BadParameter(f"unknown target {part!r}; known: {', '.join(known)}, or a FILE.json")
    return value


def _known_device(value: str) -> str:
    from weft.backends import backends  # as above

    known = dict.fromkeys(name for backend in backends() for name in backend.device_names)
    if value not in known:
        raise typer.BadParameter(f"unknown device {value!r}; known: {', '.join(known)}")
    return value


def _shapes(values: list[str] | None) -> list[str] | None:
    for value in values or []:
        name, separator, sizes = value.rpartition("=")
        for size in sizes.split(","):
            if not (name and separator and size.isascii() and size.isdigit() and int(size) > 0):
                raise typer.BadParameter(f"{value!r} is not NAME=SIZE[,SIZE...] with sizes of at least 1")
    return values


def _pins(values: list[str] | None) -> list[str] | None:
    for value in values or []:
        name, separator, processor = value.rpartition("=")
        if not (name and separator and processor):
            raise typer.BadParameter(f"{value!r} is not NODE=PROCESSOR, such as conv1=cpu")
    return values


def pins_of(values: list[str] | None) -> dict[str, str]:
    """The processors by node name that `PinOption` gave; the last one for a node counts."""
    pairs = (value.rpartition("=") for value in values or [])
    return {name: processor for name, _, processor in pairs}


def _known_driver(value: str) -> str:
    if value not in ("auto", "device", "host"):
        raise typer.BadParameter(f"{value!r} is neither auto nor device nor host")
    return value


def driver_of(value: str) -> Literal["auto", "device", "host"]:
    """What `DriverOption` gave."""
    if value == "host":
        return "host"
    return "device" if value == "device" else "auto"


def _known_host(value: str | None) -> str | None:
    if value is None or value.endswith(".toml"):
        return value
    from weft.partition.costs import profile_names  # its imports take half a second, which --help need not wait for

    if value not in profile_names():
        raise typer.BadParameter(f"unknown host {value!r}; known: {', '.join(profile_names())}, or a FILE.toml")
    return value


def shape_choices_of(values: list[str] | None) -> dict[str, tuple[int, ...]]:
    """The values of each extent by name that `ShapeOption` gave."""
    pairs = (value.rpartition("=") for value in values or [])
    return {name: tuple(int(size) for size in sizes.split(",")) for name, _, sizes in pairs}


def shapes_of(values: list[str] | None) -> dict[str, int]:
    """The extents by name, for a verb that compiles one program. Raises BadParameter for several values."""
    choices = shape_choices_of(values)
    for name, sizes in choices.items():
        if len(sizes) > 1:
            raise typer.BadParameter(f"--shape {name}: one size here; `weft compile` takes several, one variant each")
    return {name: sizes[0] for name, sizes in choices.items()}


ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="ONNX model, float or quantized.")]
ProgramArgument = Annotated[Path, typer.Argument(metavar="PROGRAM", help="Artifact (.weft) or ONNX model.")]
TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        "-t",
        callback=_known_target,
        help="A name from `weft targets` or a FILE.json; several with commas between. "
        "Default: weft-16, or what the artifact was compiled for.",
    ),
]
DeviceOption = Annotated[
    str, typer.Option("--device", "-d", callback=_known_device, help="Device: golden, sim or rtl.")
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE.npz", help="Samples to quantize a float model with, one array per input."),
]
InputOption = Annotated[
    Path | None,
    typer.Option("--input", "-i", metavar="FILE.npz", help="Inputs, one array per input; else random ones."),
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="NAME=SIZE[,SIZE]",
        callback=_shapes,
        help="Size of a symbolic extent of the inputs; repeatable. `compile` takes several: one variant for each.",
    ),
]
PinOption = Annotated[
    list[str] | None,
    typer.Option(
        "--pin",
        metavar="NODE=PROCESSOR",
        callback=_pins,
        help="Run a node on cpu, accelerator, or a target by name; repeatable.",
    ),
]
HostOption = Annotated[
    str | None,
    typer.Option(
        "--host",
        callback=_known_host,
        help="The CPU that the choice reckons with: cortex-a53 (default), cortex-a72, x86-server or a FILE.toml.",
    ),
]
DriverOption = Annotated[
    str,
    typer.Option(
        "--driver",
        metavar="auto|device|host",
        callback=_known_driver,
        help="Who takes decisions that depend on the input: the cheaper of both, the accelerator, or the host.",
    ),
]
BatchOption = Annotated[
    int,
    typer.Option(
        min=1,
        max=MAX_BATCH,
        help="Samples that run together where the path depends on the input, each on its own path.",
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of random inputs and random calibration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
