"""A model without control flow for accelerators: partition, regions, host graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from weft.backends import Accelerator, EmittedRegion, RegionRequest, backend
from weft.frontend import Model, integerize
from weft.ir import Graph, Recognition, recognize
from weft.partition import HOST, Annotate, Borders, Group, Partition, Pins, choose, extract, resolve_pins
from weft.partition.borders import ALL_ON_HOST
from weft.partition.costs import CostModel, HostProfile
from weft.partition.reports import node_reports, partition_report
from weft_runtime.executable import Executable, HostGraph, Region, Step

__all__ = ["Driver", "Prepared", "Progress", "Request", "emit", "lower", "prepare"]

Progress = Callable[[str, float], None]
Driver = Literal["auto", "device", "host"]
"""Who takes the decisions of a model whose path depends on its input: the accelerator where it can, the host, or what
is cheapest for each ("auto"), also nobody where both branches may run."""


@dataclass(frozen=True)
class Request:
    """What to compile for, and the user's wishes: see `weft.compiler.compile`. `neighbours`: who
    gives the inputs and takes the outputs, the host alone or other accelerator programs, too."""

    accelerators: tuple[Accelerator, ...]
    profile: HostProfile
    pins: Mapping[str, str]
    annotate: Annotate | None
    calibration: str
    driver: Driver = "auto"
    neighbours: Literal["host", "programs"] = "host"
    batch: int = 1


@dataclass(frozen=True)
class _Part:
    """A group with what became of it: a host graph, or a region's program under its name."""

    group: Group
    name: str
    host: HostGraph | None
    region: EmittedRegion | None


@dataclass(frozen=True)
class Prepared:
    """A model without control flow, recognized, before anything is decided: what partitions are chosen from."""

    normalized: Model
    graph: Graph
    recognition: Recognition
    wishes: Pins
    costs: CostModel

    def partition(self, borders: Borders = ALL_ON_HOST) -> Partition:
        """The cheapest one. Raises CompileError for a pin that cannot be kept."""
        return choose(self.graph, self.recognition, self.costs, self.wishes, borders)


def lower(normalized: Model, original: Model, request: Request, progress: Progress) -> Executable:
    """The executable of a normalized model, with that model's own inputs and outputs; `original` is the user's model,
    whose nodes may be pinned. Raises CompileError."""
    prepared = prepare(normalized, original, request, progress)
    progress("partition", 0.2)
    return emit(prepared, prepared.partition(), request, progress)


def prepare(normalized: Model, original: Model, request: Request, progress: Progress) -> Prepared:
    """The model's operators and costs. Raises CompileError for pins that name nothing."""
    accelerators = request.accelerators
    progress("integerize", 0.1)
    proto = integerize(normalized).proto
    border = [value.name for value in (*proto.graph.input, *proto.graph.output)]
    graph = Graph(proto, border if request.neighbours == "programs" else ())
    progress("recognize", 0.15)
    names = dict.fromkeys(each.processor.backend for each in accelerators)
    recognition = recognize(graph, [backend(name).patterns for name in names])
    names_of_targets = [each.processor.name for each in accelerators]
    wishes = resolve_pins(
        graph, recognition, original.proto.graph, request.pins, request.annotate, names_of_targets
    )  # fmt: skip
    return Prepared(normalized, graph, recognition, wishes, CostModel(graph, request.profile, accelerators))


def emit(prepared: Prepared, partition: Partition, request: Request, progress: Progress) -> Executable:
    """The executable with this partition. Raises CompileError."""
    groups = partition.chosen.groups
    progress("emit", 0.3)
    parts: list[_Part] = []
    for index, each in enumerate(groups):
        parts.append(_emit(prepared.graph, each, index, request.accelerators))
        progress("emit", 0.3 + 0.7 * (index + 1) / len(groups))
    progress("package", 1.0)
    return _package(prepared.normalized, partition, parts, prepared.costs, request.calibration)


def _emit(graph: Graph, each: Group, index: int, accelerators: Sequence[Accelerator]) -> _Part:
    if each.processor == HOST:
        name = f"host_{index}"
        return _Part(each, name, extract(graph, each, name), None)
    name = f"region_{index}"
    request = RegionRequest(name, each.operators, frozenset(each.outputs))
    return _Part(each, name, None, accelerators[each.processor].emit(request))


def _package(
    normalized: Model, partition: Partition, parts: Sequence[_Part], costs: CostModel, calibration: str
) -> Executable:  # fmt: skip
    regions: list[Region] = []
    hosts: list[HostGraph] = []
    steps: list[Step] = []
    for part in parts:
        if part.host is not None:
            steps.append(Step("host", len(hosts)))
            hosts.append(part.host)
        elif part.region is not None:
            steps.append(Step("device", len(regions)))
            regions.append(_region(part, part.region, f"region_{len(regions)}"))
    lowered = [(part.group, None if part.region is None else part.region.cycles_by_node) for part in parts]
    nodes = node_reports(partition, lowered, costs)
    return Executable(
        processors=tuple(each.processor for each in costs.accelerators), regions=tuple(regions),
        host_graphs=tuple(hosts), steps=tuple(steps), inputs=normalized.inputs, outputs=normalized.outputs,
        batch=1, nodes=nodes, macs=sum(node.macs for node in nodes),
        offloaded_macs=sum(node.macs for node in nodes if node.device != "host"),
        inexact=_inexact(parts), calibration=calibration, partition=partition_report(partition, costs),
    )  # fmt: skip


def _inexact(parts: Sequence[_Part]) -> tuple[str, ...]:
    """A line for each operator that runs on an accelerator and may differ from the reference."""
    operators = (operator for part in parts for operator in part.group.operators)
    return tuple(f"{operator.name}: {operator.inexact}" for operator in operators if operator.inexact)


def _region(part: _Part, region: EmittedRegion, name: str) -> Region:
    return Region(
        name=name, instructions=region.instructions, sources=region.sources,
        constants=region.constants, workspace_bytes=region.workspace_bytes, io_bytes=region.io_bytes,
        inputs=region.inputs, outputs=region.outputs,
        macs=sum(operator.macs for operator in part.group.operators), estimated_cycles=region.cycles,
        processor=part.group.processor,
    )  # fmt: skip
