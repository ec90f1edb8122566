"""What the executable says about the partition: a report for each node, and the candidates with their costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from weft.frontend.origins import reason as given_reason
from weft.ir import Operator
from weft.ir.graph import captured_names
from weft.ir.macs import node_macs
from weft.partition.choose import Partition
from weft.partition.costs import CostModel
from weft.partition.regions import Group
from weft_runtime.executable import NodeReport, PartitionCandidate, PartitionReport, ProcessorCost

__all__ = ["node_reports", "partition_report"]

HOST = "host"


@dataclass(frozen=True)
class _Home:
    """Where an operator runs."""

    operator: Operator
    processor: str
    region: str


def partition_report(partition: Partition, costs: CostModel) -> PartitionReport:
    """The candidates and which one was taken."""
    candidates = tuple(
        PartitionCandidate(each.name, each.cost.host, each.cost.accelerator, each.cost.transfers, each.cost.launches)
        for each in partition.candidates
    )
    return PartitionReport(costs.profile.name, partition.chosen.name, candidates)


def node_reports(
    partition: Partition, parts: Sequence[tuple[Group, Mapping[str, int] | None]], costs: CostModel
) -> tuple[NodeReport, ...]:
    """One report per node of the integer graph, in graph order. `parts` are the groups in order of execution, those of
    accelerators with the cycles of each operator by name, those of the host with None."""
    reporter = _Reporter(partition, parts, costs)
    return tuple(reporter.report(node) for node in costs.graph.nodes)


class _Reporter:
    def __init__(
        self, partition: Partition, parts: Sequence[tuple[Group, Mapping[str, int] | None]], costs: CostModel
    ) -> None:
        self.partition, self.costs, self.graph = partition, costs, costs.graph
        self.names = [each.processor.name for each in costs.accelerators]
        self.homes: dict[str, _Home] = {}
        self.cycles: dict[str, int] = {}
        lowered = [(group, cycles) for group, cycles in parts if cycles is not None]
        for index, (group, cycles) in enumerate(lowered):
            for operator in group.operators:
                name = self.names[group.processor]
                home = _Home(operator, name, f"region_{index}")
                self.cycles[operator.name] = cycles.get(operator.name, 0)
                self.homes.update(dict.fromkeys(operator.nodes, home))
        self.named: dict[str, list[Operator]] = {}
        for group, _ in lowered:
            for operator in group.operators:
                self.named.setdefault(self._root(operator), []).append(operator)
        self.kept = {node.name for group, _ in parts for node in group.nodes}
        self.elsewhere = self._elsewhere()

    def report(self, node: onnx.NodeProto) -> NodeReport:
        device, region, cycles, reason = self._place(node)
        reads, writes = self._values(node)
        there = self.elsewhere.get(node.name, {})
        costs = (ProcessorCost(HOST, self.costs.on_host(node)), *(ProcessorCost(*each) for each in there.items()))
        return NodeReport(
            node.name, node.op_type, device, reason, region, cycles, node_macs(self.graph, node), costs,
            reads, writes,
        )  # fmt: skip

    def _values(self, node: onnx.NodeProto) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What the node, or the operators named after it, read and write."""
        operators = self.named.get(node.name, [])
        if operators:
            reads = dict.fromkeys(tensor.name for operator in operators for tensor in operator.inputs)
            return tuple(reads), tuple(operator.output.name for operator in operators)
        if node.name not in self.kept:
            return (), ()
        reads = dict.fromkeys(name for name in (*node.input, *captured_names(node)) if name)
        return tuple(name for name in reads if name not in self.graph.initializers), tuple(filter(None, node.output))

    def _root(self, operator: Operator) -> str:
        """The node that an operator is named after; of several operators at one node, the others have longer names."""
        return operator.name if operator.name in self.graph.by_name else operator.nodes[-1]

    def _elsewhere(self) -> dict[str, dict[str, int]]:
        """Nanoseconds on each accelerator, by node: the one that an operator is named after stands for all of it."""
        found: dict[str, dict[str, int]] = {}
        for offered in self.partition.offers.values():
            for index, operator in offered.items():
                for node in operator.nodes:
                    found.setdefault(node, {}).setdefault(self.names[index], 0)
                found[self._root(operator)][self.names[index]] += self.costs.on_accelerator(operator, index)
        return found

    def _place(self, node: onnx.NodeProto) -> tuple[str, str, int, str]:
        """Device, region, cycles and reason."""
        home = self.homes.get(node.name)
        if node.name in self.kept:
            reason = self.partition.chosen.reasons.get(node.name, "the host reads its result as well")
            return HOST, "", 0, given_reason(node) or reason
        if home is None:
            return self.names[0], "", 0, "absorbed by its readers on the accelerator"
        named = self.named.get(node.name, [])
        if named:
            cycles = sum(self.cycles[operator.name] for operator in named)
            return home.processor, home.region, cycles, f"{type(named[0]).__name__} pattern"
        reason = f"{type(home.operator).__name__} pattern of {home.operator.name}"
        return home.processor, home.region, 0, reason
