"""Two rules of synthesizable RTL, both checked on the elaborated design before any mapping: no latches, no loops."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from weft_synthesis.yosys import SynthesisError, run

LATCH = re.compile(r"\$_?(a?dlatch(sr)?|sr)_?$|\$_(DLATCH(SR)?|SR)_.*|LD[CP]E.*|LD(_1)?$", re.IGNORECASE)
"""Kinds of cells that hold a value without a clock: Yosys' own words, its gates, and the FPGA family's."""

ELABORATED = "elaborated.il"

NO_LOOPS = (
    f"read_rtlil {ELABORATED}",
    "flatten",
    "opt_clean",
    "check -assert",
)
"""Of the whole design as one module: a loop may run through several. Also fails on nets with several drivers."""


def elaborate(files: Iterable[str], top: str, defines: Iterable[str], folder: Path) -> tuple[str, ...]:
    """Reads the sources into ELABORATED and counts its cells into elaborated.json; returns the commands.

    Raises SynthesisError when the sources do not elaborate or an inferred latch is reported.
    """
    options = " ".join(f"-D {define}" for define in defines)
    commands = (
        f"read_slang -j 1 --keep-hierarchy --top {top} {options} {' '.join(files)}",
        f"hierarchy -check -top {top}",
        "proc",
        "opt_clean",
        "tee -q -o elaborated.json stat -json",
        f"write_rtlil {ELABORATED}",
    )
    log = run(commands, folder, "elaborate")
    inferred = [line.strip() for line in log.splitlines() if re.search(r"latch inferred", line, re.IGNORECASE)]
    real = [line for line in inferred if not line.lower().startswith("no latch inferred")]
    if real:
        raise SynthesisError(f"a latch in {top}: {real[0]}. Assign the signal in every branch")
    return commands


def refuse_latches(modules: dict[str, dict[str, int]]) -> None:
    """Raises SynthesisError that names the first module with a latch; `modules` maps names to cells by kind."""
    for name, kinds in modules.items():
        latches = [kind for kind in kinds if LATCH.match(kind)]
        if latches:
            raise SynthesisError(f"module {name} has a latch ({latches[0]}): assign the signal in every branch")


def refuse_loops(folder: Path) -> tuple[str, ...]:
    """Checks the elaborated design in `folder`, flattened; returns the commands.

    Raises SynthesisError with the loop that Yosys found. A branch of always_comb that leaves a signal as it was is such
    a loop too: that is how the reader of SystemVerilog expresses it.
    """
    run(NO_LOOPS, folder, "loops")
    return NO_LOOPS
