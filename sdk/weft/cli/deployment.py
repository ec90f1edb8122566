"""The options of `weft run` about deployments in simulated time, and their table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from weft.api.deployment import DeploymentOptions, DeploymentReport

__all__ = [
    "ArrivalOption",
    "DevicesOption",
    "NoOverlapOption",
    "QueueOption",
    "RequestsOption",
    "deployment_options",
    "render_deployment",
]

MOST_DEVICES = 256
MOST_PATHS = 12

RequestsOption = Annotated[
    int | None,
    typer.Option(min=1, max=100_000, help="Play out a deployment with so many requests in simulated time."),
]
ArrivalOption = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="When requests arrive: poisson:RATE, fixed:RATE (per second), closed:CLIENTS or saturating (default).",
    ),
]
NoOverlapOption = Annotated[
    bool, typer.Option("--no-overlap", help="Each request waits for the one before, for comparison.")
]
DevicesOption = Annotated[
    int | None, typer.Option(min=1, max=MOST_DEVICES, help="Devices of each processor. Default: 1.")
]
QueueOption = Annotated[
    int | None,
    typer.Option(min=1, max=1_000_000, help="Requests inside at once; more are turned away. Default: 16."),
]


def deployment_options(
    requests: int | None,
    arrival: str | None,
    host: str | None,
    no_overlap: bool,
    devices: int | None,
    queue: int | None,
) -> DeploymentOptions | None:
    """What the options ask for; None without --requests. Raises BadParameter where they do not fit together."""
    if requests is None:
        given = {"--arrival": arrival, "--devices": devices, "--queue": queue, "--no-overlap": no_overlap or None}
        for name, value in given.items():
            if value is not None:
                raise typer.BadParameter(f"{name} needs --requests", param_hint=name)
        return None
    from weft.api.deployment import DeploymentOptions
    from weft.deployment import parse_arrivals
    from weft.errors import WeftError

    try:
        arrivals = parse_arrivals(arrival or "saturating")
    except WeftError as error:
        raise typer.BadParameter(str(error), param_hint="--arrival") from error
    return DeploymentOptions(requests, arrivals, host, devices or 1, queue or 16, 1 if no_overlap else None)


def render_deployment(console: Console, report: DeploymentReport) -> None:
    """Two tables: the whole, and each part."""
    figures = report.figures
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    console.print(f"\ndeployment: {report.view.title}", markup=False)
    table.add_row("throughput", f"{figures.throughput:,.2f} requests per second")
    table.add_row("limit", f"{figures.limit:,.2f} by {figures.busiest} alone ({figures.efficiency:.1%} reached)")
    latencies = (figures.latency_p50, figures.latency_p90, figures.latency_p99, figures.latency_max)
    shown = " · ".join(f"{value * 1e3:,.3f}" for value in latencies)
    table.add_row(
        "latency", f"{shown} ms (p50 · p90 · p99 · max); a request alone {figures.serial_seconds * 1e3:,.3f} ms"
    )
    table.add_row("answered", f"{figures.completed} in {figures.seconds:,.3f} s, {figures.rejected} turned away")
    table.add_row("answers", f"{report.answers_checked} computed, overlapped equal to serial")
    console.print(table)
    parts = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("part", "busy s", "use", "alone allows /s"):
        parts.add_column(column, justify="left" if column == "part" else "right")
    for part in figures.parts:
        limit = f"{part.limit:,.2f}" if part.limit else "–"
        parts.add_row(part.name, f"{part.busy_seconds:,.3f}", f"{part.utilization:.1%}", limit)
    console.print(parts)
    if not figures.paths:
        return
    paths = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("path", "requests", "alone ms", "p50 ms", "p99 ms"):
        paths.add_column(column, justify="left" if column == "path" else "right")
    for path in figures.paths[:MOST_PATHS]:
        times = (path.serial_seconds, path.latency_p50, path.latency_p99)
        paths.add_row(path.path or "no decision", f"{path.requests:,}", *(f"{each * 1e3:,.3f}" for each in times))
    console.print(paths)
    if len(figures.paths) > MOST_PATHS:
        console.print(f"and {len(figures.paths) - MOST_PATHS} other paths (--json has all)", markup=False)
