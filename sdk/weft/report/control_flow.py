"""The control-flow graph of a dynamic program as an outline: regions, decisions, and how often each way was taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from weft_runtime.control import Block, Branch, Launch, Loop, Network, ReadScalar, Statement
from weft_runtime.executable import Executable
from weft_runtime.interpreter import Decision

__all__ = ["Paths", "control_flow_graph", "outline"]

Paths = Sequence[Sequence[Decision]]


@dataclass
class _Frequencies:
    """How often each decision had each outcome."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, decision: Decision) -> None:
        self.counts.setdefault(decision.name, Counter())[decision.outcome] += 1


def control_flow_graph(executable: Executable, paths: Paths = ()) -> list[dict[str, Any]]:
    """The program as nested plain JSON values, empty for a model without control flow. With the `paths` of a run,
    decisions have their `outcomes` (counts; for a Loop by the number of iterations)."""
    if executable.control is None:
        return []
    frequencies = _Frequencies()
    for path in paths:
        for decision in path:
            frequencies.add(decision)
    return _Describer(executable, executable.control.networks, frequencies).block(executable.control.body)


def outline(graph: Sequence[dict[str, Any]], indent: str = "") -> list[str]:
    """The graph as text, a line for each launch and decision."""
    lines: list[str] = []
    for each in graph:
        outcomes = each.get("outcomes", {})
        match each["kind"]:
            case "launch":
                lines.append(f"{indent}{each['network']}: {', '.join(each['parts']) or 'nothing to do'}")
            case "branch":
                lines.append(f"{indent}if {each['name']}{_shares(outcomes)}")
                lines += outline(each["then"], f"{indent}│ ")
                lines.append(f"{indent}else")
                lines += outline(each["otherwise"], f"{indent}│ ")
            case "loop":
                limits = " and ".join(each["limits"]) or "without a limit"
                lines.append(f"{indent}loop {each['name']} ({limits}){_rounds(outcomes)}")
                lines += outline(each["body"], f"{indent}│ ")
    return lines


def _shares(outcomes: dict[str, int]) -> str:
    total = sum(outcomes.values())
    if not total:
        return ""
    return ": " + ", ".join(f"{name} {outcomes.get(name, 0) / total:.0%}" for name in ("then", "else"))


def _rounds(outcomes: dict[str, int]) -> str:
    total = sum(outcomes.values())
    if not total:
        return ""
    rounds = [int(name) for name in outcomes]
    mean = sum(int(name) * count for name, count in outcomes.items()) / total
    return f": {min(rounds)} to {max(rounds)} iterations, {mean:.1f} on average"


class _Describer:
    def __init__(self, executable: Executable, networks: Sequence[Network], frequencies: _Frequencies) -> None:
        self._executable = executable
        self._networks = networks
        self._counts = frequencies.counts

    def block(self, block: Block) -> list[dict[str, Any]]:
        return [self._statement(each) for each in block.statements if not isinstance(each, ReadScalar)]

    def _statement(self, statement: Statement) -> dict[str, Any]:
        match statement:
            case Launch():
                network = self._networks[statement.network]
                return {"kind": "launch", "network": network.name, "parts": self._parts(network), "macs": network.macs}
            case Branch():
                return {
                    "kind": "branch",
                    "name": statement.name,
                    "outcomes": dict(self._counts.get(statement.name, {})),
                    "then": self.block(statement.then),
                    "otherwise": self.block(statement.otherwise),
                }
            case Loop():
                limits = [*(["a count"] if statement.count else []), *(["a condition"] if statement.proceed else [])]
                return {
                    "kind": "loop",
                    "name": statement.name,
                    "limits": limits,
                    "outcomes": dict(self._counts.get(statement.name, {})),
                    "body": self.block(statement.body),
                }
        return {"kind": "read", "value": statement.value}

    def _parts(self, network: Network) -> list[str]:
        """What runs, in order, with the cycles of regions."""
        parts = []
        for step in network.steps:
            if step.kind == "device":
                region = self._executable.regions[step.index]
                processor = self._executable.processors[region.processor].name
                parts.append(f"{region.name} on {processor} ({region.estimated_cycles:,} cycles)")
            else:
                parts.append(f"{self._executable.host_graphs[step.index].name} on the host")
        return parts
