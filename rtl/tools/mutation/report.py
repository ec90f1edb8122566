"""What a campaign found, for people (Markdown) and for programs (JSON)."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mutation.faults import KINDS, Fault
from mutation.suite import Verdict


@dataclass(frozen=True)
class Finding:
    """A mutant's fate. `equivalent`: why nothing can catch it; `remark`: why it survives; both written by people."""

    number: int
    fault: Fault
    verdict: Verdict
    equivalent: str = ""
    remark: str = ""

    @property
    def counts(self) -> bool:
        """Whether it is part of the score."""
        return not self.equivalent or bool(self.verdict.by)


Key = tuple[str, str, int, int, str]
"""File, line as it reads, which of the lines that read so (from 1), place in it (from 1), and mutation in words."""


def reasons(path: Path) -> dict[Key, str]:
    """Why each mutant is what the file says, from its tables [[mutant]]."""
    if not path.is_file():
        return {}
    tables = tomllib.loads(path.read_text()).get("mutant", [])
    return {(t["file"], t["line"], t.get("which", 1), t["place"], t["mutation"]): t["reason"] for t in tables}


def key(fault: Fault, text: str) -> Key:
    """How a fault is named in a file of reasons: by what its line says, not by the line's number."""
    lines = text.splitlines()
    line = lines[fault.line - 1]
    start = len("".join(text.splitlines(keepends=True)[: fault.line - 1])) + len(line) - len(line.lstrip())
    which = sum(other.strip() == line.strip() for other in lines[: fault.line])
    return fault.file, line.strip(), which, fault.start - start + 1, mutation(fault)


def mutation(fault: Fault) -> str:
    """The fault in words."""
    if fault.is_statement:
        return f"without {fault.old}"
    if fault.kind == "dropped enable":
        return f"enable {fault.old} -> {fault.new}"
    return f"{fault.old} -> {fault.new or 'nothing'}"


def score(findings: Sequence[Finding]) -> float:
    """Share of the mutants that count that were caught, in percent."""
    counted = [finding for finding in findings if finding.counts]
    return 100 * sum(bool(f.verdict.by) for f in counted) / max(1, len(counted))


def markdown(findings: Sequence[Finding], setting: str) -> str:
    """The report."""
    counted = [f for f in findings if f.counts]
    caught = [f for f in counted if f.verdict.by]
    alive = [f for f in counted if not f.verdict.by]
    equivalent = [f for f in findings if not f.counts]
    lines = [
        "# Mutants of the RTL",
        "",
        setting,
        "",
        f"**{len(caught)} of {len(counted)} mutants caught: {score(findings):.1f} %**; {len(equivalent)} equivalent.",
        "",
        *_table("kind of fault", findings, lambda f: f.fault.kind, KINDS),
        "",
        *_table("file", findings, lambda f: f.fault.file, sorted({f.fault.file for f in findings})),
        "",
        *_ways(caught),
        "",
        "## Survivors",
        "",
        *(_line(f, f.remark or "not analysed") for f in alive),
        *([] if alive else ["None."]),
        "",
        "## Equivalent",
        "",
        *(_line(f, f.equivalent) for f in equivalent),
        *([] if equivalent else ["None."]),
        "",
    ]
    return "\n".join(lines)


def _table(head: str, findings: Sequence[Finding], group: Callable[[Finding], str], names: Sequence[str]) -> list[str]:
    lines = [f"| {head} | mutants | caught | survivors | equivalent |", "|---|---:|---:|---:|---:|"]
    for name in names:
        mine = [f for f in findings if group(f) == name]
        counted = [f for f in mine if f.counts]
        caught = sum(bool(f.verdict.by) for f in counted)
        lines.append(f"| {name} | {len(mine)} | {caught} | {len(counted) - caught} | {len(mine) - len(counted)} |")
    return lines


def _ways(caught: Sequence[Finding]) -> list[str]:
    ways: dict[tuple[str, str], int] = {}
    for finding in caught:
        place = "benches" if finding.verdict.by.startswith("bench") else "lockstep programs"
        ways[place, finding.verdict.how] = ways.get((place, finding.verdict.how), 0) + 1
    lines = ["| caught in | by | mutants |", "|---|---|---:|"]
    return lines + [f"| {place} | {how} | {number} |" for (place, how), number in sorted(ways.items())]


def _line(finding: Finding, why: str) -> str:
    fault = finding.fault
    return f"- `{fault.file}:{fault.line}` {fault.kind}: `{mutation(fault)}`. {why}"


def write(folder: Path, findings: Sequence[Finding], setting: str, texts: Mapping[str, str]) -> None:
    """report.md and report.json."""
    (folder / "report.md").write_text(markdown(findings, setting))
    table = [
        {
            "number": f.number,
            "file": f.fault.file,
            "line": f.fault.line,
            **dict(zip(("text", "which", "place", "mutation"), key(f.fault, texts[f.fault.file])[1:], strict=True)),
            "kind": f.fault.kind,
            "caught": bool(f.verdict.by),
            **dataclasses.asdict(f.verdict),
            "equivalent": f.equivalent,
            "remark": f.remark,
        }
        for f in findings
    ]
    found = {"setting": setting, "score": round(score(findings), 2), "mutants": table}
    (folder / "report.json").write_text(json.dumps(found, indent=1) + "\n")
