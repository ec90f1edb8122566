"""The compiler: one visible list of passes from a quantized model to an executable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from weft.backends import DEFAULT_TARGET, Accelerator, EmittedRegion, RegionRequest, Target, backend, resolve_target
from weft.frontend import Model, integerize, normalize
from weft.ir import Graph, Operator, Recognition, recognize
from weft.ir.macs import node_macs
from weft.partition import HOST, Group, extract, group
from weft_runtime.executable import Executable, HostGraph, NodeReport, Region, Step, TensorSignature

__all__ = ["compile"]

Progress = Callable[[str, float], None]
NO_SHAPES: Mapping[str, int] = {}


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
    progress: Progress = lambda stage, fraction: None,
) -> Executable:
    """Compiles a quantized (QDQ or integer-operator) model for accelerators; unquantized parts run on the host.

    `shapes` binds symbolic extents (the batch is 1 otherwise); `calibration` is recorded in the executable;
    `progress(stage, fraction done)` is called from time to time.
    Raises MachineError for an unknown target, ModelError for a broken model and CompileError for one that cannot be
    compiled as asked.
    """
    accelerators = resolve_target(target)
    progress("normalize", 0.0)
    normalized = normalize(model, shapes)
    integer = integerize(normalized)
    graph = Graph(integer.proto)
    progress("partition", 0.2)
    names = dict.fromkeys(each.processor.backend for each in accelerators)
    recognition = recognize(graph, [backend(name).patterns for name in names])
    shares = _assign(recognition, accelerators)
    placements = [each.place(graph, share) for each, share in zip(accelerators, shares, strict=True)]
    groups = group(graph, placements)
    progress("emit", 0.3)
    parts: list[_Part] = []
    for index, each in enumerate(groups):
        parts.append(_emit(graph, each, index, accelerators))
        progress("emit", 0.3 + 0.7 * (index + 1) / len(groups))
    reasons = dict(recognition.refused)
    for placement in placements:
        reasons.update(placement.reasons)
    nodes = _reports(graph, parts, reasons, accelerators)
    return _package(model, normalized, parts, nodes, accelerators, calibration)


def _assign(recognition: Recognition, accelerators: Sequence[Accelerator]) -> list[list[Operator]]:
    """Each operator's accelerator: the one that computes it in the least time."""
    shares: list[list[Operator]] = [[] for _ in accelerators]
    for operator in recognition.operators:
        able = [index for index, each in enumerate(accelerators) if each.refuse(operator) is None]
        if len(able) > 1:
            able.sort(key=lambda index: accelerators[index].processor.seconds(accelerators[index].cycles(operator)))
        shares[able[0] if able else 0].append(operator)
    return shares


def _emit(graph: Graph, each: Group, index: int, accelerators: Sequence[Accelerator]) -> _Part:
    if each.processor == HOST:
        name = f"host_{index}"
        return _Part(each, name, extract(graph, each, name), None)
    name = f"region_{index}"
    request = RegionRequest(name, each.operators, frozenset(each.outputs))
    return _Part(each, name, None, accelerators[each.processor].emit(request))


def _package(
    model: Model, normalized: Model, parts: Sequence[_Part], nodes: tuple[NodeReport, ...],
    accelerators: Sequence[Accelerator], calibration: str,
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
    return Executable(
        processors=tuple(each.processor for each in accelerators), regions=tuple(regions), host_graphs=tuple(hosts),
        steps=tuple(steps), inputs=model.inputs, outputs=model.outputs, batch=_batch(normalized.inputs),
        nodes=nodes, macs=sum(node.macs for node in nodes),
        offloaded_macs=sum(node.macs for node in nodes if node.device != "host"),
        inexact=_inexact(parts), calibration=calibration,
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


def _batch(bound: tuple[TensorSignature, ...]) -> int:
    """The leading extent that a symbolic batch was bound to, or the leading extent as it is."""
    for signature in bound:
        if signature.shape and isinstance(signature.shape[0], int):
            return max(0, signature.shape[0])
    return 1


def _reports(
    graph: Graph, parts: Sequence[_Part], reasons: Mapping[str, str], accelerators: Sequence[Accelerator]
) -> tuple[NodeReport, ...]:
    """One report per node of the integer graph, in graph order."""
    homes: dict[str, tuple[Operator, str, str, int]] = {}
    regions = [part for part in parts if part.region is not None]
    for index, part in enumerate(regions):
        processor = accelerators[part.group.processor].processor.name
        for operator in part.group.operators:
            cycles = part.region.cycles_by_node.get(operator.name, 0) if part.region is not None else 0
            homes.update(dict.fromkeys(operator.nodes, (operator, processor, f"region_{index}", cycles)))
    kept = {node.name for part in parts for node in part.group.nodes}
    default = accelerators[0].processor.name
    reports = []
    for node in graph.nodes:
        macs, home = node_macs(graph, node), homes.get(node.name)
        if home is None or node.name in kept:
            absorbed = node.name not in kept
            reason = reasons.get(node.name, "the host reads its result as well")
            reason = "absorbed by its readers on the accelerator" if absorbed else reason
            reports.append(NodeReport(node.name, node.op_type, default if absorbed else "host", reason, "", 0, macs))
            continue
        operator, processor, region, cycles = home
        root = node.name == operator.name
        reason = f"{type(operator).__name__} pattern" + ("" if root else f" of {operator.name}")
        reports.append(NodeReport(node.name, node.op_type, processor, reason, region, cycles if root else 0, macs))
    return tuple(reports)
