"""`weft targets`: the machines that can be compiled for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from weft.cli.console import answer
from weft.cli.options import JsonOption

__all__ = ["targets_command"]


def targets_command(
    calibrate_host: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", help="Measure this machine's CPU instead and write a profile for --host."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the accelerators that `--target` knows: Weft's own, and those of installed backends.

    Example: weft targets --json
    """
    from weft.api.host_calibration import calibrate_host as calibrate
    from weft.api.targets import list_targets

    if calibrate_host is not None:
        profile = dataclasses.asdict(calibrate(calibrate_host))
        answer({"host": profile, "output": str(calibrate_host)}, json, lambda console: _render_host(console, profile))
        return

    found = list_targets()
    answer({"targets": found}, json, lambda console: _render(console, found))


def _render_host(console: Console, profile: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for key, value in profile.items():
        table.add_row(key.replace("_", " "), f"{value:,.4g}" if isinstance(value, float) else str(value))
    console.print(table)


def _render(console: Console, found: list[dict[str, Any]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("target")
    table.add_column("backend")
    for column in (
        "MAC/cycle",
        "MHz",
        "lanes",
        "scratchpad KiB",
        "accumulator rows",
        "DRAM B/cycle",
        "latency",
    ):
        table.add_column(column, justify="right")
    for each in found:
        own = "lanes" in each
        table.add_row(
            each["name"],
            each["backend"],
            str(each["macs_per_cycle"]),
            str(each["clock_mhz"]),
            str(each["lanes"]) if own else "",
            f"{each['scratchpad_bytes'] / 1024:g}" if own else "",
            str(each["accumulator_rows"]) if own else "",
            f"{each['dram_bytes_per_cycle']:g}" if own else "",
            str(each["dram_latency"]) if own else "",
        )
    console.print(table)
