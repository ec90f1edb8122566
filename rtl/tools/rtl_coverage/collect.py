"""The runs that are measured: every bench, and random programs on several configurations; two at a time."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtl_coverage.data import CoverageError

__all__ = ["FUZZ", "Fuzz", "Job", "bench_jobs", "fuzz_job", "run_fuzz", "run_jobs"]

_LAST_WORDS = 12


@dataclass(frozen=True)
class Fuzz:
    """Random programs `seed`, `seed` + 1, … on a preset."""

    preset: str
    programs: int
    seed: int


FUZZ = (Fuzz("weft-8", 250, 1), Fuzz("vta-16", 40, 1_000_001))
"""weft-8 is what the benches are built for; vta-16 differs most from it in widths, banks and depths."""


@dataclass(frozen=True)
class Job:
    """A command that leaves a coverage file."""

    name: str
    command: tuple[str, ...]
    result: Path


def bench_jobs(names: Sequence[str], folder: Path) -> list[Job]:
    """One process per bench: cocotb's simulation takes its process over."""
    return [_job(f"bench {name}", ("bench", name), folder / f"bench-{name}.dat") for name in names]


def fuzz_job(fuzz: Fuzz, folder: Path) -> Job:
    """One process for all programs of a configuration."""
    words = ("fuzz", fuzz.preset, str(fuzz.programs), str(fuzz.seed))
    return _job(
        f"{fuzz.programs} random programs on {fuzz.preset}",
        words,
        folder / f"fuzz-{fuzz.preset}-{fuzz.programs}-programs.dat",
    )


def run_fuzz(fuzz: Fuzz, result: Path) -> None:
    """Runs the programs in lockstep with the simulator. Raises CoverageError when they differ."""
    from weft_sim import cosim_fuzz, rtl
    from weft_sim.machine import machine

    config = machine(fuzz.preset)
    report = cosim_fuzz.fuzz(config, fuzz.programs, fuzz.seed, rtl.run_covered)
    if report.failures:
        failure = report.failures[0]
        raise CoverageError(f"{fuzz.preset}, seed {failure.case.seed}: {failure.difference}")
    rtl.write_coverage(config, result)


def run_jobs(jobs: Sequence[Job], say: Callable[[str], None]) -> None:
    """Runs them on the computer's cores, at most two at once. Raises CoverageError with the last words of one that
    failed."""
    with concurrent.futures.ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        started = [pool.submit(_run, job, say) for job in jobs]
        try:
            for future in concurrent.futures.as_completed(started):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _job(name: str, words: tuple[str, ...], result: Path) -> Job:
    return Job(name, (sys.executable, "-m", "rtl_coverage", *words, str(result)), result)


def _run(job: Job, say: Callable[[str], None]) -> None:
    start = time.monotonic()
    job.result.unlink(missing_ok=True)
    log = job.result.with_suffix(".log")
    with log.open("wb") as output:
        code = subprocess.run(job.command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    if code or not job.result.is_file():
        words = log.read_text(errors="replace").splitlines()[-_LAST_WORDS:]
        raise CoverageError(f"{job.name} failed with exit status {code}; {log} ends with\n  " + "\n  ".join(words))
    say(f"{job.name}: {time.monotonic() - start:.0f} s")
