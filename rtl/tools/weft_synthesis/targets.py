"""What is synthesized for: the commands, and which kind of cell counts as what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from weft_synthesis.checks import ELABORATED
from weft_synthesis.yosys import SynthesisError

EVEN_BANKS = "scratchpad_bank_memory*[02468]?.u_memory"
"""Modules that a stage may take apart from all others."""

STATISTICS, PATHS, FLATTENED = "mapped.json", "paths.txt", "flattened.json"


@dataclass(frozen=True)
class Rule:
    """Cells whose kind matches `pattern` add `weight` each to `column`."""

    pattern: str
    column: str
    weight: int = 1


@dataclass(frozen=True)
class Stage:
    """Commands of one process. `apart`: modules that the same commands take in a process of their own."""

    commands: tuple[str, ...]
    apart: str = ""

    def scripts(self, designs: tuple[str, ...], result: str) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
        """From files with modules of the design to others: the scripts, and the files that they write."""
        reading = tuple(f"read_rtlil {'-nooverwrite ' if number else ''}{each}" for number, each in enumerate(designs))
        if not self.apart:
            return ((*reading, *self.commands, f"write_rtlil {result}.il"),), (f"{result}.il",)
        parts = {f"{result}_a.il": f"delete {self.apart}", f"{result}_b.il": f"delete * {self.apart} %d"}
        scripts = tuple((*reading, drop, *self.commands, f"write_rtlil {file}") for file, drop in parts.items())
        return scripts, tuple(parts)


@dataclass(frozen=True)
class Target:
    """A technology. The first rule that matches a kind of cell counts; a kind that none matches is an error.

    `leaves`: modules without instances of others that stay modules when all else is flattened.
    """

    name: str
    title: str
    stages: tuple[Stage, ...]
    path_cells: tuple[str, ...]
    rules: tuple[Rule, ...]
    columns: tuple[str, ...]
    leaves: str = ""

    def scripts(self, top: str) -> tuple[tuple[str, ...], ...]:
        """From the elaborated design to the counts: per module, its longest path, and flattened after the mapping.

        One script after the other: in WebAssembly Yosys has 4 GiB, and only a new process has all of them again.
        """
        selection = " ".join(f"t:{kind}" for kind in self.path_cells)
        counts = (
            f"tee -q -o {STATISTICS} stat -json",
            f"tee -q -o {PATHS} ltp w:* {selection}",
            *((f"delete {self.leaves}",) if self.leaves else ()),
            "flatten",
            f"tee -q -o {FLATTENED} stat -json",
        )
        designs: tuple[str, ...] = (ELABORATED,)
        result: list[tuple[str, ...]] = []
        for number, stage in enumerate((*self.stages, Stage(counts))):
            scripts, designs = stage.scripts(designs, f"{self.name}_{number}")
            result += [tuple(command.replace("{top}", top) for command in script) for script in scripts]
        return (*result[:-1], result[-1][:-1])  # nobody reads the flattened design

    def count(self, cells: Mapping[str, int]) -> dict[str, int]:
        """Sums by column. Raises SynthesisError at a kind of cell that has no rule: no cell is left out silently."""
        result = dict.fromkeys(self.columns, 0)
        for kind, number in cells.items():
            rule = next((rule for rule in self.rules if re.fullmatch(rule.pattern, kind)), None)
            if rule is None:
                raise SynthesisError(
                    f"cells of kind {kind} ({number}) have no rule for {self.name}: targets.py needs one"
                )
            if rule.column:
                result[rule.column] += number * rule.weight
        return result


_XILINX = "synth_xilinx -family xcup -noiopad -noclkbuf -top {top} -run"

FPGA = Target(
    name="fpga",
    title="FPGA (AMD UltraScale+)",
    # synth_xilinx without `share`, which proves by SAT which operators never work at once, for many minutes, and with
    # `abc` instead of `abc9`, which takes as long for timing that nobody reads here.
    stages=(
        Stage(
            (
                f"{_XILINX} begin:coarse",
                "techmap -map +/cmp2lut.v -map +/cmp2lcu.v -D LUT_WIDTH=6",
                "alumacc",
                "opt",
                "memory -nomap",
                "opt_clean",
            )
        ),
        # About 700 bytes for each bit of memory that becomes block RAM: too much for all of weft-16's at once.
        Stage((f"{_XILINX} map_memory:fine",), apart=EVEN_BANKS),
        Stage((f"{_XILINX} fine:map_luts",)),
        Stage(("opt_expr -mux_undef -noclkinv", "abc -luts 2:2,3,6:5,10,20", "clean")),
        Stage(
            (
                "techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6",
                "opt_lut_ins -tech xilinx",
                f"{_XILINX} finalize:check",
            )
        ),
    ),
    path_cells=("LUT*", "CARRY*", "MUXF*", "INV"),
    columns=("luts", "carries", "wide_muxes", "flip_flops", "dsps", "ramb36", "ramb18", "urams", "memory_luts"),
    rules=(
        Rule(r"LUT[1-6]|INV", "luts"),
        Rule(r"CARRY[48]", "carries"),
        Rule(r"MUXF[789]", "wide_muxes"),
        Rule(r"FD[RSCP]E(_1)?", "flip_flops"),
        Rule(r"DSP48E2|DSP48E1", "dsps"),
        Rule(r"RAMB36E2", "ramb36"),
        Rule(r"RAMB18E2", "ramb18"),
        Rule(r"URAM288(_BASE)?", "urams"),
        # How many LUTs a memory in LUTs takes, by the family's configurable logic block.
        Rule(r"RAM32M16|RAM64M8|RAM256X1D|RAM512X1S", "memory_luts", 8),
        Rule(r"RAM32M|RAM64M|RAM128X1D|RAM256X1S", "memory_luts", 4),
        Rule(r"RAM32X1D|RAM64X1D|RAM128X1S", "memory_luts", 2),
        Rule(r"RAM32X1S|RAM64X1S|SRL16E|SRLC16E|SRLC32E", "memory_luts"),
        Rule(r"GND|VCC|\$scopeinfo", ""),
    ),
)

GATES = Target(
    name="gates",
    title="generic gates",
    # Memories stay memories: nobody builds them of gates.
    stages=(
        Stage(("synth -top {top} -noshare -run begin:fine",)),
        Stage(("opt -fast -full", "techmap", "opt -fast")),
        Stage(("abc -g cmos2 -script +strash;dc2;map", "opt_clean")),
    ),
    path_cells=("$_NAND_", "$_NOR_", "$_NOT_"),
    columns=("nand", "nor", "inverters", "flip_flops", "memories"),
    rules=(
        Rule(r"\$_NAND_", "nand"),
        Rule(r"\$_NOR_", "nor"),
        Rule(r"\$_(NOT|BUF)_", "inverters"),
        Rule(r"\$_(S|AL|A)?DFF(SR|CE|E)?_.*_", "flip_flops"),
        Rule(r"\$mem(_v2)?", "memories"),
        Rule(r"\$scopeinfo", ""),
    ),
    # More than half of weft-16's two million gates: with them flattened, the design takes more than 4 GiB.
    leaves="float_multiply* mxu_array*",
)

TARGETS = {target.name: target for target in (FPGA, GATES)}
