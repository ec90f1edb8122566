"""Synthesizes configurations for targets and writes docs/synthesis.json and docs/synthesis.md (`make synth`).

    PYTHONPATH=rtl/tools python -m weft_synthesis [--configurations WEFT_8 WEFT_16] [--targets fpga gates]

Sources are copied to a build folder, where every run leaves its scripts and logs. A latch, a combinational loop, a net
with several drivers or a cell of unknown kind ends the program with exit status 1; only targets that are finished by
then are written.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from weft_synthesis import checks, page, result, yosys
from weft_synthesis.targets import TARGETS, Target
from weft_synthesis.usage import Statistics

ROOT = Path(__file__).resolve().parents[3]
TOP = "weft_machine"


def sources(folder: Path) -> list[str]:
    """Copies the RTL to `folder` and returns the files' names, packages before those who import them."""
    source, generated = ROOT / "rtl" / "src", ROOT / "rtl" / "generated"
    modules = sorted(
        source.glob("*.sv"), key=lambda path: (not path.stem.endswith("_pkg"), path.name != "weft_pkg.sv", path.name)
    )
    files = [generated / "weft_isa_pkg.sv", generated / "weft_config_pkg.sv", *modules]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in files:
        shutil.copy(path, folder / path.name)
    return [path.name for path in files]


def prepare(configuration: str, folder: Path) -> tuple[str, ...]:
    """Elaborates the machine and proves that it has neither latch nor loop; returns the commands.

    Raises SynthesisError when it has one.
    """
    files = sources(folder)
    commands = checks.elaborate(files, TOP, ("SYNTHESIS", f"WEFT_CONFIG={configuration}"), folder)
    checks.refuse_latches(Statistics.read(folder / "elaborated.json").cells)
    return commands + checks.refuse_loops(folder)


def synthesize(target: Target, folder: Path, before: tuple[str, ...]) -> dict[str, Any]:
    """The numbers of one target, with the version of Yosys and all commands since the sources."""
    scripts = target.scripts(TOP)
    for number, commands in enumerate(scripts):
        yosys.run(commands, folder, f"{target.name}_{number}")
    everything = [*before, *(command for script in scripts for command in script)]
    return {"yosys": yosys.version(), "commands": everything, **result.read(target, folder, TOP)}


def run(configurations: list[str], targets: list[str], build: Path, output: Path) -> None:
    """Writes the numbers of each finished target to `output` and the page beside it; others in `output` stay.

    The structure: {configuration: {target: {"yosys", "commands", "total", "modules"}}}.
    """
    for configuration in configurations:
        name = configuration.lower().replace("_", "-")
        folder = build / name
        began = time.monotonic()
        before = prepare(configuration, folder)
        print(f"{name}: no latch, no loop ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
        for target in targets:
            began = time.monotonic()
            write(name, target, synthesize(TARGETS[target], folder, before), output)
            print(f"{name}: {target} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)


def write(configuration: str, target: str, result_of_run: dict[str, Any], output: Path) -> None:
    """Puts one target's numbers among those that `output` already holds, and renders the page beside it."""
    numbers: dict[str, dict[str, Any]] = json.loads(output.read_text(encoding="utf-8")) if output.is_file() else {}
    numbers.setdefault(configuration, {})[target] = result_of_run
    output.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    output.with_suffix(".md").write_text(page.render(numbers), encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configurations", nargs="+", default=["WEFT_8", "WEFT_16"], metavar="NAME")
    parser.add_argument("--targets", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "synthesis.json", help="the page lies beside it")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "synthesis", help="folder of scripts and logs")
    given = parser.parse_args()
    lacking = yosys.missing()
    if lacking:
        raise SystemExit(f"synthesis needs {lacking}")
    try:
        run(given.configurations, given.targets, given.build, given.output)
    except yosys.SynthesisError as error:
        raise SystemExit(f"synthesis: {error}") from error


if __name__ == "__main__":
    main()
