"""`python -m rtl_coverage`: runs everything, merges, reports; or one part of it.

Exit status 1: less than 95 % of lines or branches, or an exclusion that is not true, or a part failed.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from rtl_coverage.collect import FUZZ, Fuzz, bench_jobs, fuzz_job, run_fuzz, run_jobs
from rtl_coverage.data import CoverageError, credit_returns, merge, parse
from rtl_coverage.exclusions import excluded_points, read_exclusions
from rtl_coverage.page import write_page
from rtl_coverage.report import Report, write_json, write_markdown
from rtl_coverage.summary import summarize
from weft_sim.rtl_coverage import SOURCE_FOLDER

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ROOT / SOURCE_FOLDER
EXCLUSIONS = ROOT / "rtl" / "coverage_exclusions.toml"
TARGET = 95.0


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    given = _parser().parse_args(arguments)
    try:
        if given.part == "bench":
            shutil.copyfile(_runner().run(given.name, coverage=True) / "coverage.dat", given.result)
            return 0
        if given.part == "fuzz":
            run_fuzz(Fuzz(given.preset, given.programs, given.seed), given.result)
            return 0
        if given.part is None:
            _collect(given.folder)
        return _report(given.folder)
    except CoverageError as error:
        print(f"coverage: {error}", file=sys.stderr)
        return 1


def _collect(folder: Path) -> None:
    runner = _runner()
    lacking = runner.missing()
    if lacking:
        raise CoverageError(f"needs {lacking}")
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.dat"), *folder.glob("*.log")):
        old.unlink()
    jobs = [*(fuzz_job(fuzz, folder) for fuzz in FUZZ), *bench_jobs(runner.BENCHES, folder)]
    run_jobs(jobs, lambda line: print(line, flush=True))


def _report(folder: Path) -> int:
    files = sorted(folder.glob("*.dat"))
    if not files:
        raise CoverageError(f"{folder}: no measurements: run without arguments first")
    counts = credit_returns(merge(parse(path, SOURCE_FOLDER) for path in files))
    sources = {path.name: path.read_text(encoding="utf-8").splitlines() for path in SOURCES.glob("*.sv")}
    excluded = excluded_points(read_exclusions(EXCLUSIONS), counts, sources)
    runs = tuple(path.stem.replace("-", " ", 1) for path in files)
    report = Report(tuple(summarize(counts, excluded)), runs, sources, excluded)
    write_markdown(report, folder / "report.md")
    write_json(report, folder / "report.json")
    write_page(report, folder / "report.html")
    for name, ratio in (("lines", report.lines), ("branches", report.branches), ("toggles", report.toggles)):
        print(f"{name:9}{ratio} ({ratio.percent:.2f} %)")
    print(f"excluded {len(excluded)} points; see {folder}/report.md")
    if min(report.lines.percent, report.branches.percent) < TARGET:
        raise CoverageError(f"less than {TARGET:g} % of lines or branches")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rtl_coverage", description="Coverage of the RTL by benches and fuzzing.")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "coverage", help="where the results go")
    parts = parser.add_subparsers(dest="part", help="only this part (default: everything)")
    parts.add_parser("report", help="merge and report what was measured before")
    bench = parts.add_parser("bench", help="one bench")
    bench.add_argument("name")
    fuzz = parts.add_parser("fuzz", help="random programs on one preset")
    fuzz.add_argument("preset")
    fuzz.add_argument("programs", type=int)
    fuzz.add_argument("seed", type=int)
    for part in (bench, fuzz):
        part.add_argument("result", type=Path)
    return parser


def _runner() -> ModuleType:
    path = ROOT / "rtl" / "tb" / "runner.py"
    spec = importlib.util.spec_from_file_location("weft_rtl_runner", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
