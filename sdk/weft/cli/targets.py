"""`weft targets`: the machines that can be compiled for."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from weft.cli.console import answer
from weft.cli.options import JsonOption

__all__ = ["targets_command"]


def targets_command(json: JsonOption = False) -> None:
    """List the machines that `--target` knows.

    Example: weft targets --json
    """
    from weft.api.targets import list_targets

    found = list_targets()
    answer({"targets": found}, json, lambda console: _render(console, found))


def _render(console: Console, found: list[dict[str, Any]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("target")
    for column in (
        "lanes",
        "MAC/cycle",
        "scratchpad KiB",
        "accumulator rows",
        "DRAM B/cycle",
        "latency",
        "MHz",
    ):
        table.add_column(column, justify="right")
    for each in found:
        table.add_row(
            each["name"],
            str(each["lanes"]),
            str(each["macs_per_cycle"]),
            f"{each['scratchpad_bytes'] / 1024:g}",
            str(each["accumulator_rows"]),
            f"{each['dram_bytes_per_cycle']:g}",
            str(each["dram_latency"]),
            str(each["clock_mhz"]),
        )
    console.print(table)
