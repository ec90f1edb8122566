"""Who takes each decision, host or accelerator: by cost where that is asked for, and said for every one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import onnx

from weft.ir.device_control import Unjoinable
from weft.lowering import Driver
from weft.partition.costs import HostProfile
from weft.partition.costs.graphs import graph_nanoseconds, model_nanoseconds
from weft_runtime.control import Branch, Launch, Loop, Network, ReadScalar, Statement, statements_within
from weft_runtime.executable import Executable, HostGraph, NodeReport, RegionCount, RegionDecision

__all__ = ["Drivers"]

ELEMENT_CYCLES = 170
"""An If on the accelerator, on one stored element that is loaded, measured on weft-16."""
DECISION_CYCLES = 500
"""At most, on several elements (argmax, confidence)."""
ITERATION_CYCLES = 300
"""Counter and condition of one iteration."""
TRIED = "not computed anywhere: its outcomes were tried for all values that it can be given, and are compared with"


@dataclass
class Drivers:
    """Weighs decisions of one program, and remembers for each why it is taken where. `driver` is what the user asks
    for."""

    executable: Executable
    driver: Driver
    profile: HostProfile
    _notes: dict[str, str] = field(default_factory=dict)
    _launches: dict[int, float] = field(default_factory=dict)
    _networks: Sequence[Network] = ()
    _hosts: Sequence[HostGraph] = ()

    def follow(self, networks: Sequence[Network], hosts: Sequence[HostGraph]) -> None:
        """Says what the numbers in launches, and in steps, refer to, also later, when there are more."""
        self._networks, self._hosts = networks, hosts

    def check(self, decision: Branch | Loop, *, is_element: bool, condition: onnx.ModelProto | None) -> None:
        """Takes note of what a decision costs that the accelerator can take, from one stored element or several;
        `condition` is what the host would compute for it, beside what is in the decision's own blocks. Raises
        Unjoinable where the host is to take it, because that is cheaper."""
        cycles = ELEMENT_CYCLES if is_element else DECISION_CYCLES
        device = self._on_device((decision,), self._clock(), cycles) + 1000 * self.profile.launch_microseconds
        host = self._by_host((decision,)) + 1000 * self.profile.launch_microseconds
        if condition is not None:
            host += 1000 * self.profile.transfer_microseconds
            host += model_nanoseconds(condition, decision.name, self.profile)
        compared = f"{device / 1000:,.1f} µs on the accelerator, {host / 1000:,.1f} µs by the host"
        if isinstance(decision, Loop):
            compared = f"an iteration takes {compared}"
        if self.driver == "auto" and host < device:
            self._notes[decision.name] = f"decided by the host, which is cheaper: {compared}"
            raise Unjoinable("the host takes it for less")
        self._notes[decision.name] = f"decided on the accelerator: {compared}"

    def refuse(self, name: str, why: str) -> None:
        """Takes note of why the accelerator cannot take a decision: the first reason, of the longest run around it."""
        if not self._notes.get(name, "").startswith("decided by the host"):
            self._notes[name] = f"decided by the host: {why}"

    def reported(self, executable: Executable) -> Executable:
        """The program as it came to be, with a report for each decision among those of its nodes."""
        assert self.executable.control is not None
        homes = {
            name: (region.name, executable.processors[region.processor].name)
            for region in executable.regions
            for name in _names(region.decisions)
        }
        reports = []
        for statement in statements_within(self.executable.control.body):
            if isinstance(statement, Branch | Loop):
                region, device = homes.get(statement.name, ("", "host"))
                note = self._notes.get(statement.name, "decided by the host: a part of it does not run there alone")
                if not region and not note.startswith("decided by the host"):
                    note = "decided by the host: what is around it is divided"
                if self.driver == "host":
                    note = "decided by the host, as asked"
                op = "If" if isinstance(statement, Branch) else "Loop"
                reports.append(NodeReport(statement.name, op, device, note, region, 0, 0))
        nodes = self._without_tried(executable, dict.fromkeys(device for _, device in homes.values()))
        return replace(executable, nodes=(*nodes, *reports))

    def _without_tried(self, executable: Executable, devices: Collection[str]) -> tuple[NodeReport, ...]:
        """Reports that do not give the host what only conditions need that an accelerator decides by their outcomes."""
        if len(devices) != 1:
            return executable.nodes
        (device,) = devices
        gone = _host_nodes(self.executable) - _host_nodes(executable)
        return tuple(
            replace(node, device=device, reason=TRIED) if node.device == "host" and node.name in gone else node
            for node in executable.nodes
        )

    def _clock(self) -> float:
        """Nanoseconds of a cycle on the slowest accelerator."""
        return 1000 / min(each.clock_mhz for each in self.executable.processors)

    def _on_device(self, statements: Sequence[Statement], cycle: float, decision: int = ELEMENT_CYCLES) -> float:
        """Nanoseconds of deciding, without what the branches themselves compute."""
        total = 0.0
        for statement in statements:
            match statement:
                case Branch():
                    inner = (statement.then.statements, statement.otherwise.statements)
                    total += decision * cycle + sum(self._on_device(each, cycle) for each in inner) / 2
                case Loop():
                    total += ITERATION_CYCLES * cycle + self._on_device(statement.body.statements, cycle)
        return total

    def _by_host(self, statements: Sequence[Statement]) -> float:
        """Nanoseconds of launches, scalars that are read, and host graphs; of branches the mean, of loops an
        iteration."""
        total = 0.0
        for statement in statements:
            match statement:
                case Launch():
                    total += self._launch(statement.network)
                case ReadScalar():
                    total += 1000 * self.profile.transfer_microseconds
                case Branch():
                    inner = (statement.then.statements, statement.otherwise.statements)
                    total += sum(map(self._by_host, inner)) / 2
                case Loop():
                    total += self._by_host(statement.body.statements)
        return total

    def _launch(self, number: int) -> float:
        if number not in self._launches:
            total = 0.0
            for step in self._networks[number].steps:
                if step.kind == "device":
                    total += 1000 * self.profile.launch_microseconds
                else:
                    total += graph_nanoseconds(self._hosts[step.index], self.profile)
            self._launches[number] = total
        return self._launches[number]


def _host_nodes(executable: Executable) -> set[str]:
    models = (onnx.load_model_from_string(graph.model) for graph in executable.host_graphs)
    return {node.name for model in models for node in model.graph.node}


def _names(decisions: Sequence[RegionDecision | RegionCount]) -> list[str]:
    found = []
    for each in decisions:
        inner = each.decisions if isinstance(each, RegionCount) else (*each.when_below, *each.when_above)
        found += [each.name, *_names(inner)]
    return found
