"""The control-flow graph of a dynamic program as an outline: regions, decisions, and how often each way was taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from weft.report.errors import ReportError
from weft_runtime.control import Block, Branch, Launch, Loop, Network, ReadScalar, Statement
from weft_runtime.executable import Executable, RegionCount, RegionDecision
from weft_runtime.interpreter import Decision

__all__ = ["Paths", "control_flow_graph", "decisions_in", "outline", "rounds_text", "shares_text"]

CONVERTING = frozenset({"Cast", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Squeeze"})
Paths = Sequence[Sequence[Decision]]


@dataclass
class _Frequencies:
    """How often each decision had each outcome."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, decision: Decision) -> None:
        self.counts.setdefault(decision.name, Counter())[decision.outcome] += 1


def control_flow_graph(executable: Executable, paths: Paths = ()) -> list[dict[str, Any]]:
    """The program as nested plain JSON values, empty for a model without control flow. Decisions inside a launch are
    the device's. With the `paths` of a run, decisions have their `outcomes` (counts; for a Loop by the number of
    iterations), and everything says how often it ran (`runs`, else None)."""
    if executable.control is None:
        return []
    frequencies = _Frequencies()
    for path in paths:
        for decision in path:
            frequencies.add(decision)
    describer = _Describer(executable, executable.control.networks, frequencies)
    return describer.block(executable.control.body, len(paths) or None)


def outline(graph: Sequence[dict[str, Any]], indent: str = "") -> list[str]:
    """The graph as text, a line for each launch and decision."""
    lines: list[str] = []
    for each in graph:
        outcomes = each.get("outcomes", {})
        match each["kind"]:
            case "launch":
                lines.append(f"{indent}{each['network']}: {', '.join(each['parts']) or 'nothing to do'}")
                lines += outline(each["decisions"], f"{indent}┃ ")
            case "work":
                lines.append(f"{indent}{each['macs']:,} MACs")
            case "branch":
                lines.append(f"{indent}if {each['name']}{shares_text(outcomes)}")
                lines += outline(each["then"], f"{indent}│ ")
                lines.append(f"{indent}else")
                lines += outline(each["otherwise"], f"{indent}│ ")
            case "loop":
                limits = " and ".join(each["limits"]) or "without a limit"
                lines.append(f"{indent}loop {each['name']} ({limits}){rounds_text(outcomes)}")
                lines += outline(each["body"], f"{indent}│ ")
    return lines


def decisions_in(graph: Sequence[dict[str, Any]], by_device: bool = False) -> Iterator[tuple[dict[str, Any], bool]]:
    """All Ifs and Loops in order, and whether the device decides them."""
    for each in graph:
        if each["kind"] in ("branch", "loop"):
            yield each, by_device
        yield from decisions_in(each.get("decisions", ()), True)
        for key in ("then", "otherwise", "body"):
            yield from decisions_in(each.get(key, ()), by_device)


def shares_text(outcomes: dict[str, int]) -> str:
    """Of an If: the share of either way, behind a colon; nothing where it was never reached."""
    total = sum(outcomes.values())
    if not total:
        return ""
    return ": " + ", ".join(f"{name} {outcomes.get(name, 0) / total:.0%}" for name in ("then", "else"))


def rounds_text(outcomes: dict[str, int]) -> str:
    """Of a loop: how many iterations it made, behind a colon; nothing where it never ran."""
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

    def block(self, block: Block, runs: int | None) -> list[dict[str, Any]]:
        """The statements of a block that ran so often (None: nothing is known)."""
        return [self._statement(each, runs) for each in block.statements if not isinstance(each, ReadScalar)]

    def _statement(self, statement: Statement, runs: int | None) -> dict[str, Any]:
        match statement:
            case Launch():
                return self._launch(self._networks[statement.network], runs)
            case Branch():
                then, otherwise = (self._times(statement.name, way, runs) for way in ("then", "else"))
                ways = (self.block(statement.then, then), self.block(statement.otherwise, otherwise))
                return self._branch(statement.name, ways, runs)
            case Loop():
                limits = [*(["a count"] if statement.count else []), *(["a condition"] if statement.proceed else [])]
                return self._loop(
                    statement.name, limits, self.block(statement.body, self._rounds(statement, runs)), runs
                )
        return {"kind": "read", "value": statement.value}

    def _launch(self, network: Network, runs: int | None) -> dict[str, Any]:
        regions = [self._executable.regions[step.index] for step in network.steps if step.kind == "device"]
        decisions = [item for region in regions for item in self._device(region.decisions, runs)]
        return {
            "kind": "launch", "network": network.name, "parts": self._parts(network), "macs": network.macs,
            "on_device": bool(regions), "cycles": sum(region.estimated_cycles for region in regions), "runs": runs,
            "operators": self._operators(network), "decisions": decisions,
        }  # fmt: skip

    def _branch(
        self, name: str, ways: tuple[list[dict[str, Any]], list[dict[str, Any]]], runs: int | None
    ) -> dict[str, Any]:  # fmt: skip
        outcomes = dict(self._counts.get(name, {}))
        return {
            "kind": "branch", "name": name, "outcomes": outcomes, "then": ways[0], "otherwise": ways[1], "runs": runs,
        }  # fmt: skip

    def _loop(self, name: str, limits: list[str], body: list[dict[str, Any]], runs: int | None) -> dict[str, Any]:
        outcomes = dict(self._counts.get(name, {}))
        return {"kind": "loop", "name": name, "limits": limits, "outcomes": outcomes, "body": body, "runs": runs}

    def _operators(self, network: Network) -> list[str]:
        """The types of the operators inside, each once, without those that only convert or move."""
        found: dict[str, None] = {}
        for step in network.steps:
            if step.kind == "device":
                name = self._executable.regions[step.index].name
                found.update((node.op, None) for node in self._executable.nodes if node.region == name)
                continue
            graph = self._executable.host_graphs[step.index]
            try:
                found.update((node.op_type, None) for node in onnx.load_model_from_string(graph.model).graph.node)
            except DecodeError as error:
                raise ReportError(f"host graph {graph.name!r} cannot be read: {error}") from error
        return [name for name in found if name not in CONVERTING] or list(found)

    def _device(
        self, decisions: Sequence[RegionDecision | RegionCount], runs: int | None
    ) -> list[dict[str, Any]]:  # fmt: skip
        """What a region decides by itself. Of its work only the products on either way are known."""
        found = []
        for each in decisions:
            if isinstance(each, RegionCount):
                times = self._rounds(each, runs)
                body = [*_work(each.macs, times), *self._device(each.decisions, times)]
                found.append(self._loop(each.name, ["counted on the device"], body, runs))
                continue
            ways = {}
            for outcome, macs, inner in (
                (each.below, each.macs_below, each.when_below), (each.above, each.macs_above, each.when_above),
            ):  # fmt: skip
                times = self._times(each.name, outcome, runs)
                ways[outcome] = [*_work(macs, times), *self._device(inner, times)]
            found.append(self._branch(each.name, (ways.get("then", []), ways.get("else", [])), runs))
        return found

    def _times(self, name: str, outcome: str, runs: int | None) -> int | None:
        return None if runs is None else self._counts.get(name, Counter())[outcome]

    def _rounds(self, loop: Loop | RegionCount, runs: int | None) -> int | None:
        counts = self._counts.get(loop.name, Counter())
        return None if runs is None else sum(int(outcome) * count for outcome, count in counts.items())

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


def _work(macs: int, runs: int | None) -> list[dict[str, Any]]:
    return [{"kind": "work", "macs": macs, "runs": runs}] if macs else []
