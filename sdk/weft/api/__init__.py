"""What the verbs of the command line do, as functions: the command line only reads options and prints."""

from __future__ import annotations

from weft.api.arrays import load_arrays, random_arrays, save_arrays
from weft.api.describe import disassembly, explain, summarize
from weft.api.execution import RunReport, run
from weft.api.preparation import Prepared, PrepareOptions, build, open_program, prepare
from weft.api.race_check import CheckReport, check
from weft.api.targets import list_targets, resolve_machine
from weft.api.verification import OutputReport, VerifyReport, verify

__all__ = [
    "CheckReport",
    "OutputReport",
    "PrepareOptions",
    "Prepared",
    "RunReport",
    "VerifyReport",
    "build",
    "check",
    "disassembly",
    "explain",
    "list_targets",
    "load_arrays",
    "open_program",
    "prepare",
    "random_arrays",
    "resolve_machine",
    "run",
    "save_arrays",
    "summarize",
    "verify",
]
