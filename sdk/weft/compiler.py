"""The compiler: one visible list of passes from a quantized model to an executable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from weft.codegen.estimate import RegionEstimate, estimate_region
from weft.codegen.region import LoweredRegion, lower_region
from weft.errors import CompileError
from weft.frontend import Model, integerize, normalize
from weft.ir import Graph, recognize
from weft.ir.macs import node_macs
from weft.partition import Group, Placement, extract, group, place
from weft_runtime.executable import Executable, HostGraph, NodeReport, Region, Step, TensorSignature
from weft_sim.isa.program import encode_program
from weft_sim.machine import MachineConfig, machine

__all__ = ["compile"]

Progress = Callable[[str, float], None]
NO_SHAPES: Mapping[str, int] = {}


@dataclass(frozen=True)
class _Part:
    """A group with what became of it: a host graph, or a lowered region and its estimate."""

    group: Group
    host: HostGraph | None
    region: LoweredRegion | None
    estimate: RegionEstimate | None


def compile(
    model: Model,
    target: str | MachineConfig = "weft-16",
    *,
    shapes: Mapping[str, int] = NO_SHAPES,
    calibration: str = "none",
    progress: Progress = lambda stage, fraction: None,
) -> Executable:
    """Compiles a quantized (QDQ or integer-operator) model for a machine; unquantized parts run on the host.

    `shapes` binds symbolic extents (the batch is 1 otherwise); `calibration` is recorded in the executable;
    `progress(stage, fraction done)` is called from time to time.
    Raises ModelError for a broken model and CompileError for one that cannot be compiled as asked.
    """
    config = target if isinstance(target, MachineConfig) else machine(target)
    progress("normalize", 0.0)
    normalized = normalize(model, shapes)
    integer = integerize(normalized)
    graph = Graph(integer.proto)
    progress("partition", 0.2)
    recognition = recognize(graph)
    placement = place(graph, recognition, config)
    groups = group(graph, placement)
    progress("emit", 0.3)
    parts = []
    for index, each in enumerate(groups):
        parts.append(_lower(graph, each, index, config))
        progress("emit", 0.3 + 0.7 * (index + 1) / len(groups))
    return _package(model, normalized, graph, placement, parts, config, calibration)


def _lower(graph: Graph, each: Group, index: int, config: MachineConfig) -> _Part:
    if each.nodes:
        return _Part(each, extract(graph, each, f"host_{index}"), None, None)
    region = lower_region(each.operators, set(each.outputs), config)
    return _Part(each, None, region, estimate_region(f"region_{index}", region, config))


def _package(
    model: Model, normalized: Model, graph: Graph, placement: Placement, parts: list[_Part], config: MachineConfig,
    calibration: str,
) -> Executable:  # fmt: skip
    regions: list[Region] = []
    hosts: list[HostGraph] = []
    steps: list[Step] = []
    for part in parts:
        if part.host is not None:
            steps.append(Step("host", len(hosts)))
            hosts.append(part.host)
        else:
            steps.append(Step("device", len(regions)))
            regions.append(_region(part, f"region_{len(regions)}"))
    nodes = _reports(graph, placement, parts, config)
    return Executable(
        machine=config, regions=tuple(regions), host_graphs=tuple(hosts), steps=tuple(steps),
        inputs=model.inputs, outputs=model.outputs, batch=_batch(model.inputs, normalized.inputs),
        nodes=nodes, macs=sum(node.macs for node in nodes),
        offloaded_macs=sum(node.macs for node in nodes if node.device != "host"),
        inexact=_inexact(parts), calibration=calibration,
    )  # fmt: skip


def _inexact(parts: list[_Part]) -> tuple[str, ...]:
    """A line for each operator that runs on the accelerator and may differ from the reference."""
    operators = (operator for part in parts for operator in part.group.operators)
    return tuple(f"{operator.name}: {operator.inexact}" for operator in operators if operator.inexact)


def _region(part: _Part, name: str) -> Region:
    region, estimate = part.region, part.estimate
    if region is None or estimate is None:
        raise CompileError("a group without nodes must have been lowered")
    return Region(
        name=name, instructions=encode_program(region.instructions), sources=region.sources,
        constants=region.constants, workspace_bytes=region.workspace_bytes, io_bytes=region.io_bytes,
        inputs=region.inputs, outputs=region.outputs,
        macs=sum(operator.macs for operator in part.group.operators), estimated_cycles=estimate.cycles,
    )  # fmt: skip


def _batch(given: tuple[TensorSignature, ...], bound: tuple[TensorSignature, ...]) -> int:
    """The leading extent that a symbolic batch was bound to, or the leading extent as it is."""
    for signature in bound:
        if signature.shape and isinstance(signature.shape[0], int):
            return max(1, signature.shape[0])
    return 1


def _reports(graph: Graph, placement: Placement, parts: list[_Part], config: MachineConfig) -> tuple[NodeReport, ...]:
    """One report per node of the integer graph, in graph order."""
    regions: dict[str, tuple[str, RegionEstimate]] = {}
    for index, part in enumerate(part for part in parts if part.region is not None):
        if part.estimate is not None:
            regions.update({each.name: (f"region_{index}", part.estimate) for each in part.group.operators})
    operators = {
        name: operator for operator in placement.operators if operator.name in regions for name in operator.nodes
    }
    kept = {node.name for part in parts for node in part.group.nodes}
    reports = []
    for node in graph.nodes:
        macs, operator = node_macs(graph, node), operators.get(node.name)
        if operator is None or node.name in kept:
            absorbed = node.name not in kept
            reason = placement.reasons.get(node.name, "the host reads its result as well")
            reason = "absorbed by its readers on the accelerator" if absorbed else reason
            device = config.name if absorbed else "host"
            reports.append(NodeReport(node.name, node.op_type, device, reason, "", 0, macs))
            continue
        name, estimate = regions[operator.name]
        root = node.name == operator.name
        cycles = estimate.by_node.get(operator.name, 0) if root else 0
        reason = f"{type(operator).__name__} pattern" + ("" if root else f" of {operator.name}")
        reports.append(NodeReport(node.name, node.op_type, config.name, reason, name, cycles, macs))
    return tuple(reports)
