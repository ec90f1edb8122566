"""Host profiles: how fast a CPU runs operators and feeds an accelerator, as data."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from weft.errors import CompileError

__all__ = ["DEFAULT_HOST", "HostProfile", "host_profile", "profile_names", "profile_text"]

DEFAULT_HOST = "cortex-a53"
MAX_FILE_BYTES = 1 << 16
FOLDER = "profiles"


@dataclass(frozen=True)
class HostProfile:
    """A host as the cost model sees it. Rates are in 10^9 per second: multiply-accumulates of integer and of float
    operators, bytes read and written element by element, elements of functions such as Exp. The last four are about
    the accelerator: bytes over its bus, bytes packed into its layout, and fixed times per tensor and per launch."""

    name: str
    description: str
    int8_gmacs: float
    float_gmacs: float
    elementwise_gbytes: float
    function_gelements: float
    node_microseconds: float
    bus_gbytes: float
    packing_gbytes: float
    transfer_microseconds: float
    launch_microseconds: float

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self)[2:]:
            value = getattr(self, field.name)
            fixed = field.name.endswith("microseconds")
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not number or not (0 <= value <= 1e6 if fixed else 1e-6 <= value <= 1e6):
                least = 0 if fixed else 1e-6
                raise CompileError(
                    f"host profile {self.name!r}: {field.name} = {value!r} must be a number, {least:g} to 1e6"
                )


def profile_names() -> tuple[str, ...]:
    """The profiles that come with Weft."""
    files = resources.files("weft.partition").joinpath(FOLDER).iterdir()
    return tuple(sorted(Path(file.name).stem for file in files if file.name.endswith(".toml")))


def host_profile(name: str) -> HostProfile:
    """A profile by its name, or from a `.toml` file. Raises CompileError if there is none or it is malformed."""
    if name.endswith(".toml"):
        return _parse(Path(name).stem, _read(Path(name)), name)
    if name not in profile_names():
        raise CompileError(f"unknown host profile {name!r}; known: {', '.join(profile_names())}, or a FILE.toml")
    file = resources.files("weft.partition").joinpath(FOLDER, f"{name}.toml")
    return _parse(name, file.read_bytes(), name)


def profile_text(profile: HostProfile) -> str:
    """The profile as the text of a file that `host_profile` reads back."""
    text = "".join(char if char.isprintable() and char not in '"\\' else " " for char in profile.description)
    lines = [f'description = "{text}"']
    lines += [f"{each.name} = {float(getattr(profile, each.name))!r}" for each in dataclasses.fields(profile)[2:]]
    return "\n".join(lines) + "\n"


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise CompileError(f"{path}: too large for a host profile")
        return path.read_bytes()
    except OSError as error:
        raise CompileError(f"{path}: cannot read the host profile: {error.strerror or error}") from error


def _parse(name: str, data: bytes, where: str) -> HostProfile:
    try:
        values: Mapping[str, Any] = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise CompileError(f"{where}: cannot read the host profile: {error}") from error
    wanted = {field.name for field in dataclasses.fields(HostProfile)} - {"name"}
    if values.keys() != wanted:
        missing, unknown = sorted(wanted - values.keys()), sorted(values.keys() - wanted)
        problem = f"lacks {missing[0]!r}" if missing else f"has the unknown member {unknown[0]!r}"
        raise CompileError(f"{where}: the host profile {problem}")
    if not isinstance(values["description"], str):
        raise CompileError(f"{where}: the host profile's description must be a string")
    return HostProfile(name=name, **values)
