"""The command line: its verbs, and what becomes of errors.

Verbs import the toolchain when they are called, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Annotated

import typer

from weft.cli.bench import bench_command
from weft.cli.check import check_command
from weft.cli.compile import compile_command
from weft.cli.cosim import cosim_command
from weft.cli.disasm import disasm_command
from weft.cli.explain import explain_command
from weft.cli.quantize import quantize_command
from weft.cli.run import run_command
from weft.cli.targets import targets_command
from weft.cli.tune import tune_command
from weft.cli.verify import verify_command
from weft_sim.errors import WeftError

__all__ = ["app", "main"]

VERBS: dict[str, Callable[..., None]] = {
    "compile": compile_command,
    "quantize": quantize_command,
    "run": run_command,
    "verify": verify_command,
    "cosim": cosim_command,
    "check": check_command,
    "disasm": disasm_command,
    "explain": explain_command,
    "tune": tune_command,
    "targets": targets_command,
    "bench": bench_command,
}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Weft: compile ONNX models for an accelerator, run them on its simulator, check the answers.",
)
for _name, _verb in VERBS.items():
    app.command(_name)(_verb)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"weft {_version()}")
        raise typer.Exit()


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (`sys.argv` if no arguments are given) and return the exit status.

    0 done; 1 the model, artifact or comparison is at fault, or something unforeseen happened, with one line
    on stderr (WEFT_DEBUG=1 adds a traceback); 2 wrong usage; 130 interrupted.
    """
    try:
        app(args=None if arguments is None else list(arguments), prog_name="weft")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception as error:  # the last line of defence: no traceback reaches a user unasked
        if os.environ.get("WEFT_DEBUG") == "1":
            traceback.print_exc()
        sys.stderr.write(f"weft: {_describe(error)}\n")
        return 1
    return 0


def _describe(error: Exception) -> str:
    text = " ".join(str(error).splitlines())
    if isinstance(error, WeftError):
        return text
    return (
        f"unexpected {type(error).__name__}: {text[:300]} (a defect of Weft: run again with WEFT_DEBUG=1 "
        "and report the traceback together with the model)"
    )


def _version() -> str:
    try:
        return metadata.version("weft")
    except metadata.PackageNotFoundError:
        return "(not installed)"
