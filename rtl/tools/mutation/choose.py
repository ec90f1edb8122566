"""Which faults a campaign plants: some of every module, all kinds, at most one kind per place; the seed decides."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from mutation.faults import KINDS, Fault, faults
from mutation.schemata import Mutant, rejected, write
from mutation.source import Source, read

LEAST = 4
"""Faults of a module, as long as it has as many."""


def sources_of(project: Path) -> dict[str, Source]:
    """Every file of rtl/src, understood."""
    return {path.name: read(path) for path in sorted((project / "rtl" / "src").glob("*.sv"))}


def queue_of(source: Source, seed: int) -> list[Fault]:
    """A module's faults in the order in which they are planted: the kinds in turn, no two of a kind in one place."""
    rng = random.Random(f"{seed}:{source.path.name}")
    by_kind: dict[str, list[Fault]] = {kind: [] for kind in KINDS}
    for fault in faults(source):
        by_kind[fault.kind].append(fault)
    for kind, found in by_kind.items():
        rng.shuffle(found)
        places: dict[tuple[int, int], Fault] = {}
        for fault in found:
            places.setdefault((fault.region_start, fault.start), fault)
        by_kind[kind] = list(places.values())
    order = list(KINDS)
    rng.shuffle(order)
    queue = []
    while any(by_kind.values()):
        queue += [by_kind[kind].pop() for kind in order if by_kind[kind]]
    return queue


def shares(lengths: Mapping[str, int], count: int) -> dict[str, int]:
    """How many of `count` faults each file gets: LEAST each, the others by the files' lengths (lines with faults)."""
    total = sum(lengths.values())
    spare = max(0, count - LEAST * len(lengths))
    return {name: LEAST + round(spare * length / total) for name, length in lengths.items()}


def choose(
    project: Path, root: Path, sources: Mapping[str, Source], count: int, seed: int, modules: list[str]
) -> list[Mutant]:
    """Chooses `count` faults that are SystemVerilog and leaves the planted copy below `root`."""
    from weft_sim.rtl_build import Sources

    wanted = {name: s for name, s in sources.items() if not modules or Path(name).stem in modules}
    queues = {name: queue_of(source, seed) for name, source in wanted.items()}
    number = shares({name: len({f.line for f in queue}) for name, queue in queues.items()}, count)
    while True:
        chosen = [fault for name, queue in queues.items() for fault in queue[: number[name]]]
        mutants = [Mutant(index, fault) for index, fault in enumerate(chosen, start=1)]
        write(root, project, sources, mutants)
        found = Sources.under(root)
        wrong = rejected(root, (found.waivers, *found.generated, *found.verilog))
        if not wrong:
            return mutants
        before = sum(map(len, queues.values()))
        for name, queue in queues.items():
            head = [f for f in queue[: number[name]] if (name, _first_line(sources[name], f)) not in wrong]
            queues[name] = head + queue[number[name] :]
        if sum(map(len, queues.values())) == before:
            raise SystemExit(f"Verilator rejects what was not planted: {sorted(wrong)}")


def _first_line(source: Source, fault: Fault) -> int:
    return source.text.count("\n", 0, fault.region_start) + 1
