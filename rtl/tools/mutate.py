"""How good are the RTL's tests? Plants single faults in the SystemVerilog and counts how many the tests catch.

    python rtl/tools/mutate.py [--count 320] [--seed 1] [--limit N] [--modules NAME ...] [--programs 200]

All faults go into one set of sources, and a number chooses one when a model starts: one build stands for all mutants.
Each mutant meets lockstep programs on weft-8, then the cocotb benches of its module, then lockstep programs on a
machine of odd sizes, until something catches it. Results are kept as they come in build/mutation; the same campaign
goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import hashlib
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from mutation import benches, report, suite
from mutation.choose import choose, sources_of
from mutation.schemata import Mutant
from mutation.suite import Verdict
from weft_sim import rtl
from weft_sim.machine import MachineConfig, machine
from weft_sim.rtl_build import BuildKind, Sources, library

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / "build" / "mutation"
REASONS = PROJECT / "rtl" / "mutation_equivalents.toml"
REMARKS = PROJECT / "rtl" / "mutation_survivors.toml"
LEAST = 95.0
FIRST_SEED = 50_000


def odd() -> MachineConfig:
    """One bank, one burst in flight, the smallest queues, the narrowest bus: what weft-8 is not."""
    return dataclasses.replace(
        machine("weft-8"), name="odd", lanes=4, scratchpad_bytes=20480, scratchpad_banks=1, accumulator_rows=88,
        accumulator_banks=1, dram_beat_bytes=4, burst_beats=2, outstanding_bursts=1, queue_depth=2, fetch_depth=2,
        line_depth=16,
    )  # fmt: skip


class Log:
    """Verdicts as they come: one JSON line each. One that ends in a stage stands for that stage alone."""

    def __init__(self, path: Path, campaign: str) -> None:
        self.path = path
        self.found: dict[tuple[int, str], Verdict] = {}
        lines = path.read_text().splitlines() if path.is_file() else []
        if lines and json.loads(lines[0]) == {"campaign": campaign}:
            for line in lines[1:]:
                entry = json.loads(line)
                self.found[entry["number"], entry["stage"]] = Verdict(**entry["verdict"])
        else:
            path.write_text(json.dumps({"campaign": campaign}) + "\n")

    def add(self, number: int, stage: str, verdict: Verdict) -> None:
        """Keeps a verdict."""
        self.found[number, stage] = verdict
        entry = {"number": number, "stage": stage, "verdict": dataclasses.asdict(verdict)}
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def of(self, number: int) -> Verdict:
        """The verdict of the stage that caught the mutant, or an empty one."""
        return next((v for (n, _), v in self.found.items() if n == number and v.by), Verdict())


def run_stage(stage: str, mutants: list[Mutant], log: Log, judge: Callable[[int], Verdict]) -> None:
    """Judges the mutants that are alive and have not met this stage, two at a time: in processes without threads,
    because a copy of a process with threads may hang for reasons of its own."""
    waiting = [m for m in mutants if not log.of(m.number).by and (m.number, stage) not in log.found]
    start, done, errors = time.monotonic(), 0, []
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
        jobs = {pool.submit(judge, m.number): m.number for m in waiting}
        for job in concurrent.futures.as_completed(jobs):
            try:
                log.add(jobs[job], stage, job.result())
            except RuntimeError as error:
                errors.append(str(error))
                say(f"no verdict: {error}")
            done += 1
            if done % 25 == 0 or done == len(waiting):
                alive = sum(not log.of(m.number).by for m in mutants)
                say(f"{stage}: {done} of {len(waiting)} mutants, {time.monotonic() - start:.0f} s; {alive} alive")
    if errors:
        raise SystemExit(
            f"{len(errors)} mutants have no verdict, which says nothing about them; the first: {errors[0]}"
        )


def say(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr, flush=True)


def lockstep(config: MachineConfig, programs: int, root: Path, mutants: list[Mutant], log: Log) -> None:
    """The lockstep programs on one machine; first without a fault, which must show no difference."""
    stage = f"lockstep {config.name}"
    if all(log.of(m.number).by or (m.number, stage) in log.found for m in mutants):
        return
    found = Sources.under(root)
    found = dataclasses.replace(found, cplusplus=(*found.cplusplus, root / "rtl" / "tb" / "choice.cpp"))
    library(config, BuildKind.checked(), sources=found)
    programs_of_stage = suite.cases(config, programs, FIRST_SEED)
    say(f"{stage}: {len(programs_of_stage)} programs without a fault")
    suite.enter(programs_of_stage, lambda before: rtl.device(BuildKind.checked(), found, before))
    unchanged = suite.run_mutant(0)
    if unchanged.by:
        raise SystemExit(f"the RTL without a fault fails: {unchanged.by}: {unchanged.how} {unchanged.detail}")
    run_stage(stage, mutants, log, suite.run_mutant)


def bench_stages(root: Path, mutants: list[Mutant], log: Log) -> None:
    """The benches of the modules whose mutants are alive; next is always the one that most of them have as their
    smallest one left."""
    reaching = benches.reaching(PROJECT, benches.runner_of(PROJECT).BENCHES)
    while True:
        waiting: dict[str, list[Mutant]] = {}
        votes: Counter[str] = Counter()
        for mutant in (m for m in mutants if not log.of(m.number).by):
            names = [
                n for n in reaching[Path(mutant.fault.file).stem] if (mutant.number, f"bench {n}") not in log.found
            ]
            votes.update(names[:1])
            for name in names:
                waiting.setdefault(name, []).append(mutant)
        if not votes:
            return
        name = max(sorted(votes), key=lambda each: votes[each])
        bench_stage(name, root, waiting[name], log)


def bench_stage(name: str, root: Path, mutants: list[Mutant], log: Log) -> None:
    """One bench; its mutants one at a time, because it has one folder."""
    stage = f"bench {name}"
    say(f"{stage}: building, for {len(mutants)} mutants")
    bench = benches.Bench(name, root, FOLDER / "benches" / name, PROJECT)
    bench.prepare()
    say(f"{stage}: takes {bench.seconds:.0f} s without a fault")
    for mutant in mutants:
        log.add(mutant.number, stage, bench.judge(mutant.number))
    say(f"{stage}: {sum(bool(log.of(m.number).by) for m in mutants)} caught")


def main() -> int:
    """Command line; the exit status is 1 when less than LEAST percent are caught."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=320, help="faults to plant over all modules")
    parser.add_argument("--seed", type=int, default=1, help="which faults")
    parser.add_argument("--limit", type=int, help="judge only the first N of them")
    parser.add_argument("--modules", nargs="*", default=[], help="only these modules")
    parser.add_argument(
        "--programs", type=int, default=200, help="random programs on weft-8; a tenth on the odd machine"
    )
    given = parser.parse_args()
    start = time.monotonic()
    FOLDER.mkdir(parents=True, exist_ok=True)
    os.environ["WEFT_CACHE"] = str(FOLDER / "cache")
    root = FOLDER / "planted"
    sources = sources_of(PROJECT)
    mutants = choose(PROJECT, root, sources, given.count, given.seed, given.modules)
    campaign = hashlib.sha256(f"{Sources.under(root).digest()} {given.programs}".encode()).hexdigest()[:16]
    mutants = mutants[: given.limit]
    log = Log(FOLDER / "results.jsonl", campaign)
    say(f"{len(mutants)} mutants in {len({m.fault.file for m in mutants})} files")
    lockstep(machine("weft-8"), given.programs, root, mutants, log)
    bench_stages(root, mutants, log)
    lockstep(odd(), given.programs // 10, root, mutants, log)
    texts = {name: source.text for name, source in sources.items()}
    equivalents, remarks = report.reasons(REASONS), report.reasons(REMARKS)
    findings = [
        report.Finding(
            m.number, m.fault, log.of(m.number), equivalents.get(report.key(m.fault, texts[m.fault.file]), ""),
            remarks.get(report.key(m.fault, texts[m.fault.file]), ""),
        )
        for m in mutants
    ]  # fmt: skip
    setting = (
        f"Seed {given.seed}, {given.programs} random programs on weft-8, {given.programs // 10} on the odd machine."
    )
    report.write(FOLDER, findings, setting, texts)
    counted = sum(f.counts for f in findings)
    caught = sum(bool(f.verdict.by) for f in findings)
    score = report.score(findings)
    seconds = time.monotonic() - start
    print(f"{caught} of {counted} mutants caught: {score:.1f} % ({seconds:.0f} s); {FOLDER / 'report.md'}")
    return 0 if score >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
