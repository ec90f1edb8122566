"""The compiler: one visible list of passes from a quantized model to an executable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from weft.backends import DEFAULT_TARGET, Accelerator, EmittedRegion, RegionRequest, Target, backend, resolve_target
from weft.frontend import Model, integerize, normalize, rebind
from weft.ir import Graph, recognize
from weft.partition import HOST, Annotate, Group, Partition, choose, extract, resolve_pins
from weft.partition.costs import DEFAULT_HOST, CostModel, HostProfile, host_profile
from weft.partition.reports import node_reports, partition_report
from weft_runtime.executable import Executable, HostGraph, Region, Step, TensorSignature

__all__ = ["compile"]

Progress = Callable[[str, float], None]
NO_SHAPES: Mapping[str, int] = {}
NO_PINS: Mapping[str, str] = {}


@dataclass(frozen=True)
class _Part:
    """A group with what became of it: a host graph, or a region's program under its name."""

    group: Group
    name: str
    host: HostGraph | None
    region: EmittedRegion | None


def compile(
    model: Model,
    target: Target = DEFAULT_TARGET,
    *,
    shapes: Mapping[str, int] = NO_SHAPES,
    calibration: str = "none",
    host: str | HostProfile = DEFAULT_HOST,
    pins: Mapping[str, str] = NO_PINS,
    annotate: Annotate | None = None,
    progress: Progress = lambda stage, fraction: None,
) -> Executable:
    """Compiles a quantized (QDQ or integer-operator) model for accelerators; unquantized parts run on the host.

    `shapes` binds symbolic extents (the batch is 1 otherwise), also anew for a model that was quantized with others;
    `calibration` is recorded in the executable; `progress(stage, fraction done)` is called from time to time. What
    runs where is the cheapest partition for the profile `host` (docs/partitioning.md). `pins` maps node names to
    "cpu", "accelerator" or a target's name; `annotate(node)` may answer the same for any node of the integer graph;
    nodes of the model may carry it as metadata "weft.pin".
    Raises MachineError for an unknown target, ModelError for a broken model and CompileError for one that cannot be
    compiled as asked.
    """
    accelerators = resolve_target(target)
    progress("normalize", 0.0)
    normalized = normalize(model, shapes) if model.unbound is None else normalize(rebind(model, shapes))
    progress("integerize", 0.1)
    integer = integerize(normalized)
    graph = Graph(integer.proto)
    progress("recognize", 0.15)
    names = dict.fromkeys(each.processor.backend for each in accelerators)
    recognition = recognize(graph, [backend(name).patterns for name in names])
    names_of_targets = [each.processor.name for each in accelerators]
    wishes = resolve_pins(graph, recognition, model.proto.graph, pins, annotate, names_of_targets)
    profile = host if isinstance(host, HostProfile) else host_profile(host)
    costs = CostModel(graph, profile, accelerators)
    progress("partition", 0.2)
    partition = choose(graph, recognition, costs, wishes)
    groups = partition.chosen.groups
    progress("emit", 0.3)
    parts: list[_Part] = []
    for index, each in enumerate(groups):
        parts.append(_emit(graph, each, index, accelerators))
        progress("emit", 0.3 + 0.7 * (index + 1) / len(groups))
    progress("package", 1.0)
    return _package(model, normalized, partition, parts, costs, calibration)


def _emit(graph: Graph, each: Group, index: int, accelerators: Sequence[Accelerator]) -> _Part:
    if each.processor == HOST:
        name = f"host_{index}"
        return _Part(each, name, extract(graph, each, name), None)
    name = f"region_{index}"
    request = RegionRequest(name, each.operators, frozenset(each.outputs))
    return _Part(each, name, None, accelerators[each.processor].emit(request))


def _package(
    model: Model, normalized: Model, partition: Partition, parts: Sequence[_Part], costs: CostModel, calibration: str
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
        host_graphs=tuple(hosts), steps=tuple(steps), inputs=model.signature, outputs=(model.unbound or model).outputs,
        batch=_batch(model.signature, normalized.inputs), extents=tuple(sorted(normalized.extents.items())),
        nodes=nodes, macs=sum(node.macs for node in nodes),
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


def _batch(given: tuple[TensorSignature, ...], bound: tuple[TensorSignature, ...]) -> int:
    """The leading extent that a symbolic batch was bound to, or else the first leading extent as it is."""
    leading = [
        (isinstance(symbolic.shape[0], str), signature.shape[0])
        for symbolic, signature in zip(given, bound, strict=True)
        if signature.shape and isinstance(signature.shape[0], int)
    ]
    found = [extent for was_bound, extent in leading if was_bound] or [extent for _, extent in leading]
    return max(0, found[0]) if found else 1
