"""docs/synthesis.md from the numbers of docs/synthesis.json."""

from __future__ import annotations

from typing import Any

from weft_synthesis.targets import TARGETS

HEADINGS = {
    "luts": "LUTs",
    "carries": "carry blocks",
    "wide_muxes": "wide multiplexers",
    "flip_flops": "flip-flops",
    "dsps": "DSPs",
    "ramb36": "RAMB36",
    "ramb18": "RAMB18",
    "urams": "URAMs",
    "memory_luts": "LUTs as memory",
    "nand": "NAND2",
    "nor": "NOR2",
    "inverters": "inverters",
    "memories": "memories",
    "memory_bits": "memory bits",
    "longest_path": "longest path",
}

INTRODUCTION = """\
# Synthesis

Written by `make synth` ({version}; the package is in the extra `weft[synth]`): change the RTL or
`rtl/tools/weft_synthesis`, not this page. The same numbers as data: [synthesis.json](synthesis.json).

## Checked

The command fails, and writes no numbers of the configuration, unless all of this holds:

- **No latches.** The elaborated design and each mapped one have no latch cell, and the reader reports no inferred
  latch.
- **No combinational loops, no net with several drivers.** `check -assert` passes on the elaborated design, flattened,
  so also for loops through several modules. An `always_comb` that leaves a signal unassigned in some branch reaches
  Yosys as such a loop, and fails here too.
- **Sums.** For every kind of resource, the modules of a table add up to what the design holds once it is flattened
  after the mapping (among gates, `float_multiply` and `mxu_array` stay modules there and count once per instance).
  Modules are optimized one by one and keep their boundaries: a flow that flattens first finds more to remove, so its
  total will be lower.

## How to read the numbers

- A row has all instances of a module together, without what is inside of the modules that it instantiates. Each
  instance is optimized on its own: two instances of one module need not have the same size.
- *Memory bits* are those of arrays in the source, which includes constant tables and small queues.
- FPGA: `synth_xilinx -family xcup` without the step `share`. *LUTs as memory* counts LUTs that serve as RAM or as
  shift register; LUTs as logic have their own column. *Carry blocks* are CARRY4: the flow does not use the family's
  CARRY8. Pads and clock buffers are left out. Large memories become block RAM; the family's UltraRAM is not used.
- Generic gates: two-input NAND and NOR gates and inverters (`abc -g cmos2`); XOR gates, multiplexers and multipliers
  are made of these. Flip-flops are counted by bit. Memories stay memories: *memories* counts arrays and *memory bits*
  their size; none of them is in the gates.
- *Longest path* counts cells in a row between registers, memories, ports and instances within one module (`ltp`):
  FPGA look-up tables, carry blocks, wide multiplexers and inverters; gates for the other target. The path of the
  whole design may run through several modules. **This is no timing analysis**: it knows neither the delay of a cell
  nor a wire, nor paths through DSPs. It only shows where to look first when a clock is not met.

"""


def render(numbers: dict[str, dict[str, Any]]) -> str:
    """The page: totals of all configurations, then every module, then the commands."""
    first = next(iter(next(iter(numbers.values())).values()))
    lines = [INTRODUCTION.format(version=first["yosys"])]
    for name, target in TARGETS.items():
        chosen = {configuration: results[name] for configuration, results in numbers.items() if name in results}
        if not chosen:
            continue
        lines += [f"## {target.title[0].upper()}{target.title[1:]}", "", *_totals(chosen), ""]
        for configuration, result in chosen.items():
            lines += [f"### {configuration}", "", *_modules(result), ""]
    return "\n".join([*lines, *_commands(numbers)]) + "\n"


def _totals(results: dict[str, Any]) -> list[str]:
    columns = list(next(iter(results.values()))["total"])
    rows = [[name, *(f"{result['total'][column]:,}" for column in columns)] for name, result in results.items()]
    return _table(["total", *(HEADINGS[column] for column in columns)], rows)


def _modules(result: dict[str, Any]) -> list[str]:
    """Largest first; a column without any cell is left out."""
    columns = [column for column in next(iter(result["modules"].values()))["own"] if result["total"][column]]
    largest = sorted(result["modules"].items(), key=lambda item: (-sum(item[1]["own"].values()), item[0]))
    rows = [
        [
            f"`{name}`",
            f"{module['instances']:,}",
            *(f"{module['own'][column]:,}" for column in columns),
            f"{module['memory_bits']:,}",
            f"{module['longest_path']:,}",
        ]
        for name, module in largest
    ]
    headings = [HEADINGS[column] for column in (*columns, "memory_bits", "longest_path")]
    return _table(["module", "instances", *headings], rows)


def _table(headings: list[str], rows: list[list[str]]) -> list[str]:
    marks = ["---", *("---:" for _ in headings[1:])]
    return [f"| {' | '.join(row)} |" for row in (headings, marks, *rows)]


def _commands(numbers: dict[str, dict[str, Any]]) -> list[str]:
    configuration, results = next(iter(numbers.items()))
    lines = ["## Commands", "", f"As run for {configuration}, in a folder with copies of the sources:", ""]
    for name, result in results.items():
        lines += [f"{TARGETS[name].title}:", "", "```text", *result["commands"], "```", ""]
    return lines[:-1]
