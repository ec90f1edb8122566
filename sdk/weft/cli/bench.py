"""`weft bench NAME`: measurements that anyone can repeat."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from weft.cli.console import Stages, answer
from weft.cli.options import JsonOption

if TYPE_CHECKING:
    from weft.bench import Benchmark

__all__ = ["bench_command"]


def bench_command(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The benchmark; without it, list them.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the benchmark; repeatable."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run a benchmark, or list the benchmarks there are.

    Example: weft bench simulator --json
    """
    from weft.bench import BENCHMARKS

    if name is None:
        listed = [{"name": each.name, "summary": each.summary} for each in BENCHMARKS.values()]
        answer({"benchmarks": listed}, json, lambda console: _list(console, listed))
        return
    if name not in BENCHMARKS:
        known = ", ".join(BENCHMARKS) or "none in this build"
        raise typer.BadParameter(f"unknown benchmark {name!r}; known: {known}", param_hint="NAME")
    options = _options(BENCHMARKS[name], settings or [])
    with Stages() as stages:
        stages(f"bench {name}", 0, 0)
        shown = {"progress": stages} if _tells_progress(BENCHMARKS[name]) else {}
        try:
            figures = BENCHMARKS[name].run(**options, **shown)
        except ValueError as error:
            if not options:
                raise
            raise typer.BadParameter(f"benchmark {name!r}: {error}", param_hint="--set") from error
    answer({"benchmark": name, **figures}, json, lambda console: _render(console, figures))


def _tells_progress(benchmark: Benchmark) -> bool:
    return "progress" in inspect.signature(benchmark.run).parameters


def _options(benchmark: Benchmark, settings: list[str]) -> dict[str, str]:
    options = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator or not key.isidentifier() or key == "progress":
            raise typer.BadParameter(f"{setting!r} is not KEY=VALUE", param_hint="--set")
        options[key] = value
    try:
        inspect.signature(benchmark.run).bind(**options)
    except TypeError as error:
        raise typer.BadParameter(f"benchmark {benchmark.name!r}: {error}", param_hint="--set") from error
    return options


def _list(console: Console, listed: list[dict[str, str]]) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for each in listed:
        table.add_row(each["name"], each["summary"])
    console.print(table if listed else "no benchmarks in this build")


def _render(console: Console, figures: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for key, value in figures.items():
        if isinstance(value, list):
            _render_rows(console, value)
        else:
            table.add_row(key.replace("_", " "), _shown(value))
    console.print(table)


def _render_rows(console: Console, rows: list[dict[str, Any]]) -> None:
    """A list of equal records as a table of its own."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for key, value in rows[0].items() if rows else ():
        table.add_column(key.replace("_", " "), justify="left" if isinstance(value, str) else "right")
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    if rows:
        console.print(table)


def _shown(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if value is None:
        return "n/a"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
