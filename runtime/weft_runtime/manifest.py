"""The manifest of an artifact: an executable as JSON plus byte sections, and the checked way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from weft_runtime.control import MAX_DEPTH
from weft_runtime.control_manifest import describe_control, restore_control
from weft_runtime.errors import ArtifactError, LayoutError
from weft_runtime.executable import (
    IN_LOG,
    NUMBER_BYTES,
    REGISTER_COUNT,
    UNCHANGING,
    Executable,
    HostGraph,
    Layout,
    NodeReport,
    PartitionCandidate,
    PartitionReport,
    Processor,
    ProcessorCost,
    Region,
    RegionArea,
    RegionCount,
    RegionDecision,
    RegionNumber,
    Relation,
    Step,
    TensorBinding,
    TensorSignature,
)
from weft_runtime.fields import Fields, parse_object
from weft_runtime.memory import MAX_DEVICE_BYTES
from weft_runtime.variants import MAX_VARIANTS

__all__ = ["describe", "restore"]

CALIBRATIONS = ("file", "input", "random", "none")
MAX_EXTENT = 1 << 31
MAX_PROCESSORS = 256
MAX_WORK = 1 << 62
MAX_NUMBER = (1 << 8 * NUMBER_BYTES) - 1
SIDES = ("when_below", "when_above")
RELATIONS = ("below", "equal")

Sections = Mapping[str, bytes]


def describe(variants: Sequence[Executable]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The executables as a JSON object without its section table, and their byte sections by name, in file
    order. The first is the object itself, the others are its member `variants`, absent where there are none."""
    sections: dict[str, bytes] = {}
    manifest = _describe_executable(variants[0], "", sections)
    if len(variants) > 1:
        manifest["variants"] = [
            _describe_executable(each, f"variants/{index}/", sections) for index, each in enumerate(variants[1:])
        ]
    return manifest, sections


def restore(fields: Fields, sections: Sections) -> tuple[Executable, ...]:
    """The inverse of `describe`. Raises ArtifactError for any member of the wrong type or range, and for a
    section that is missing or that nothing refers to."""
    remaining = dict(sections)
    others: tuple[Executable, ...] = ()
    if "variants" in fields:
        position = iter(range(MAX_VARIANTS - 1))

        def one(each: Fields) -> Executable:
            index = next(position, None)
            if index is None:
                raise ArtifactError(f"more than {MAX_VARIANTS} variants")
            return _restore_executable(each, f"variants/{index}/", remaining)

        others = fields.objects("variants", one)
    first = _restore_executable(fields, "", remaining)
    fields.finish()
    if remaining:
        raise ArtifactError(f"section {next(iter(remaining))[:80]!r} belongs to nothing in the manifest")
    return (first, *others)


def _describe_executable(executable: Executable, prefix: str, sections: dict[str, bytes]) -> dict[str, Any]:
    manifest = {
        "processors": [dict(vars(processor)) for processor in executable.processors],
        "batch": executable.batch,
        "macs": executable.macs,
        "offloaded_macs": executable.offloaded_macs,
        "calibration": executable.calibration,
        "inexact": list(executable.inexact),
        "inputs": [_describe_signature(signature) for signature in executable.inputs],
        "outputs": [_describe_signature(signature) for signature in executable.outputs],
        "nodes": [_describe_node(node) for node in executable.nodes],
        "partition": [] if executable.partition is None else [_describe_partition(executable.partition)],
        "steps": [{"kind": step.kind, "index": step.index} for step in executable.steps],
        "regions": [
            _describe_region(region, f"{prefix}regions/{index}", sections)
            for index, region in enumerate(executable.regions)
        ],
        "host_graphs": [
            {"name": graph.name, "inputs": list(graph.inputs), "outputs": list(graph.outputs)}
            for graph in executable.host_graphs
        ],
    }
    if executable.control is not None:
        manifest["control"] = describe_control(executable.control)
    if executable.extents:
        manifest["extents"] = [{"name": name, "extent": extent} for name, extent in executable.extents]
    for index, graph in enumerate(executable.host_graphs):
        sections[f"{prefix}host_graphs/{index}/model"] = graph.model
    return manifest


def _restore_executable(fields: Fields, prefix: str, remaining: dict[str, bytes]) -> Executable:
    return Executable(
        processors=fields.objects("processors", _restore_processor),
        regions=_indexed(fields, "regions", prefix, remaining, _restore_region),
        host_graphs=_indexed(fields, "host_graphs", prefix, remaining, _restore_host_graph),
        steps=fields.objects("steps", _restore_step),
        inputs=fields.objects("inputs", _restore_signature),
        outputs=fields.objects("outputs", _restore_signature),
        batch=fields.whole("batch", 0, 1 << 20),
        nodes=fields.objects("nodes", _restore_node),
        macs=fields.whole("macs", 0, MAX_WORK),
        offloaded_macs=fields.whole("offloaded_macs", 0, MAX_WORK),
        inexact=fields.texts("inexact"),
        calibration=fields.choice("calibration", CALIBRATIONS),
        partition=_restore_partition(fields),
        extents=fields.objects("extents", _restore_extent) if "extents" in fields else (),
        control=fields.object("control", restore_control) if "control" in fields else None,
    )


def _restore_extent(fields: Fields) -> tuple[str, int]:
    return fields.text("name"), fields.whole("extent", 0, MAX_EXTENT)


def _describe_node(node: NodeReport) -> dict[str, Any]:
    costs = [dict(vars(cost)) for cost in node.costs]
    return {**vars(node), "costs": costs, "reads": list(node.reads), "writes": list(node.writes)}


def _describe_partition(report: PartitionReport) -> dict[str, Any]:
    return {**vars(report), "candidates": [dict(vars(each)) for each in report.candidates]}


def _describe_signature(signature: TensorSignature) -> dict[str, Any]:
    return {"name": signature.name, "dtype": signature.dtype, "shape": list(signature.shape)}


def _describe_binding(binding: TensorBinding) -> dict[str, Any]:
    layout = binding.layout
    return {
        "name": binding.name,
        "shape": list(binding.shape),
        "dtype": binding.dtype,
        "register": binding.register,
        "offset": binding.offset,
        "layout": {
            "view": list(layout.view),
            "block": layout.block,
            "pads": list(layout.pads),
            "fill": layout.fill,
        },
    }


def _describe_region(region: Region, prefix: str, sections: dict[str, bytes]) -> dict[str, Any]:
    # Many instructions share a node, so names are stored once and instructions hold an index.
    names = {name: index for index, name in enumerate(dict.fromkeys(region.sources))}
    sections[f"{prefix}/instructions"] = region.instructions
    sections[f"{prefix}/sources"] = np.array([names[name] for name in region.sources], "<u4").tobytes()
    sections[f"{prefix}/constants"] = region.constants
    decisions = [_describe_decision(each) for each in region.decisions]
    return {
        **({"decisions": decisions} if decisions else {}),
        **({"numbers": [dict(vars(each)) for each in region.numbers]} if region.numbers else {}),
        **({"log": dict(vars(region.log))} if region.log is not None else {}),
        **({"areas": [dict(vars(each)) for each in region.areas]} if region.areas else {}),
        "name": region.name,
        "source_names": list(names),
        "workspace_bytes": region.workspace_bytes,
        "io_bytes": region.io_bytes,
        "processor": region.processor,
        "macs": region.macs,
        "estimated_cycles": region.estimated_cycles,
        "inputs": [_describe_binding(binding) for binding in region.inputs],
        "outputs": [_describe_binding(binding) for binding in region.outputs],
    }


def _describe_decision(decision: RegionDecision | RegionCount) -> dict[str, Any]:
    if isinstance(decision, RegionCount):
        return {
            "kind": "count",
            **vars(decision),
            "decisions": [_describe_decision(each) for each in decision.decisions],
        }
    sides = {name: [_describe_decision(each) for each in getattr(decision, name)] for name in SIDES}
    return {"kind": "decision", **vars(decision), **sides}


def _restore_decision(fields: Fields, depth: int = 1) -> RegionDecision | RegionCount:
    if depth > MAX_DEPTH:
        raise ArtifactError(f"a region's decisions are nested more than {MAX_DEPTH} deep")
    if fields.choice("kind", ("count", "decision")) == "count":
        return RegionCount(
            fields.text("name"),
            fields.whole("mailbox", UNCHANGING, MAX_EXTENT),
            fields.whole("macs", 0, MAX_WORK),
            fields.whole("limit", 0, MAX_NUMBER),
            fields.whole("most", 0, MAX_NUMBER),
            fields.text("number"),
            fields.objects("decisions", lambda each: _restore_decision(each, depth + 1)),
            fields.text("tally"),
            fields.texts("collected"),
        )
    below, above = (fields.objects(name, lambda each: _restore_decision(each, depth + 1)) for name in SIDES)
    return RegionDecision(
        fields.text("name"),
        fields.whole("mailbox", IN_LOG, MAX_EXTENT),
        fields.whole("threshold", -MAX_EXTENT, MAX_EXTENT),
        fields.text("below"),
        fields.text("above"),
        fields.whole("macs_below", 0, MAX_WORK),
        fields.whole("macs_above", 0, MAX_WORK),
        below,
        above,
        cast(Relation, fields.choice("relation", RELATIONS)) if "relation" in fields else "below",
        *(fields.text(name) if name in fields else "" for name in ("tally_below", "tally_above")),
    )


def _restore_number(fields: Fields) -> RegionNumber:
    offset = fields.whole("offset", 0, MAX_DEVICE_BYTES)
    return RegionNumber(fields.text("name"), offset, fields.whole("most", 0, MAX_NUMBER))


def _restore_area(fields: Fields) -> RegionArea:
    return RegionArea(fields.whole("offset", 0, MAX_DEVICE_BYTES), fields.whole("size", 0, MAX_DEVICE_BYTES))


def _restore_processor(fields: Fields) -> Processor:
    processor = Processor(
        name=fields.text("name"),
        backend=fields.text("backend"),
        configuration=fields.text("configuration"),
        macs_per_cycle=fields.whole("macs_per_cycle", 1, MAX_EXTENT),
        clock_mhz=fields.whole("clock_mhz", 1, MAX_EXTENT),
    )
    parse_object(processor.configuration.encode(), f"the configuration of {processor.name!r}")
    return processor


def _indexed(fields: Fields, name: str, prefix: str, sections: dict[str, bytes], read: Any) -> tuple[Any, ...]:
    position = iter(range(1 << 31))
    return fields.objects(name, lambda each: read(each, f"{prefix}{name}/{next(position)}", sections))


def _section(sections: dict[str, bytes], name: str) -> bytes:
    if name not in sections:
        raise ArtifactError(f"section {name!r} is missing")
    return sections.pop(name)


def _restore_region(fields: Fields, prefix: str, sections: dict[str, bytes]) -> Region:
    names = fields.texts("source_names")
    indices = _section(sections, f"{prefix}/sources")
    if len(indices) % 4:
        raise ArtifactError(f"section '{prefix}/sources' of {len(indices)} bytes is not a list of 32-bit indices")
    positions = np.frombuffer(indices, "<u4")
    if positions.size and int(positions.max()) >= len(names):
        raise ArtifactError(f"section '{prefix}/sources' refers to node name {positions.max()} of {len(names)}")
    return Region(
        name=fields.text("name"),
        instructions=_section(sections, f"{prefix}/instructions"),
        sources=tuple(names[position] for position in positions.tolist()),
        constants=_section(sections, f"{prefix}/constants"),
        workspace_bytes=fields.whole("workspace_bytes", 0, MAX_DEVICE_BYTES),
        io_bytes=fields.whole("io_bytes", 0, MAX_DEVICE_BYTES),
        inputs=fields.objects("inputs", _restore_binding),
        outputs=fields.objects("outputs", _restore_binding),
        macs=fields.whole("macs", 0, MAX_WORK),
        estimated_cycles=fields.whole("estimated_cycles", 0, MAX_WORK),
        processor=fields.whole("processor", 0, MAX_PROCESSORS - 1),
        decisions=fields.objects("decisions", _restore_decision) if "decisions" in fields else (),
        numbers=fields.objects("numbers", _restore_number) if "numbers" in fields else (),
        log=fields.object("log", _restore_area) if "log" in fields else None,
        areas=fields.objects("areas", _restore_area) if "areas" in fields else (),
    )


def _restore_host_graph(fields: Fields, prefix: str, sections: dict[str, bytes]) -> HostGraph:
    return HostGraph(
        name=fields.text("name"),
        model=_section(sections, f"{prefix}/model"),
        inputs=fields.texts("inputs"),
        outputs=fields.texts("outputs"),
    )


def _restore_step(fields: Fields) -> Step:
    kind = fields.choice("kind", ("host", "device"))
    return Step(kind="host" if kind == "host" else "device", index=fields.whole("index", 0, MAX_EXTENT))


def _restore_signature(fields: Fields) -> TensorSignature:
    return TensorSignature(fields.text("name"), fields.text("dtype"), fields.dimensions("shape", MAX_EXTENT))


def _restore_binding(fields: Fields) -> TensorBinding:
    return TensorBinding(
        name=fields.text("name"),
        shape=fields.wholes("shape", 0, MAX_EXTENT),
        dtype=fields.text("dtype"),
        register=fields.whole("register", 0, REGISTER_COUNT - 1),
        offset=fields.whole("offset", 0, MAX_DEVICE_BYTES),
        layout=fields.object("layout", _restore_layout),
    )


def _restore_layout(fields: Fields) -> Layout:
    view = fields.wholes("view", 0, MAX_EXTENT)
    pads = fields.wholes("pads", 0, MAX_EXTENT)
    Four = tuple[int, int, int, int]
    try:
        return Layout(
            cast(Four, view),
            fields.whole("block", 1, MAX_EXTENT),
            cast(Four, pads),
            fields.whole("fill", 0, 255),
        )
    except LayoutError as error:
        raise ArtifactError(str(error)) from error


def _restore_node(fields: Fields) -> NodeReport:
    return NodeReport(
        name=fields.text("name"),
        op=fields.text("op"),
        device=fields.text("device"),
        reason=fields.text("reason"),
        region=fields.text("region"),
        estimated_cycles=fields.whole("estimated_cycles", 0, MAX_WORK),
        macs=fields.whole("macs", 0, MAX_WORK),
        costs=fields.objects("costs", _restore_cost),
        reads=fields.texts("reads"),
        writes=fields.texts("writes"),
    )


def _restore_cost(fields: Fields) -> ProcessorCost:
    return ProcessorCost(fields.text("processor"), fields.whole("nanoseconds", 0, MAX_WORK))


def _restore_partition(fields: Fields) -> PartitionReport | None:
    found = fields.objects("partition", _restore_partition_report)
    if len(found) > 1:
        raise ArtifactError("the manifest has more than one partition")
    return found[0] if found else None


def _restore_partition_report(fields: Fields) -> PartitionReport:
    return PartitionReport(
        fields.text("host_profile"), fields.text("chosen"), fields.objects("candidates", _restore_candidate)
    )


def _restore_candidate(fields: Fields) -> PartitionCandidate:
    return PartitionCandidate(
        name=fields.text("name"),
        host=fields.whole("host", 0, MAX_WORK),
        accelerator=fields.whole("accelerator", 0, MAX_WORK),
        transfers=fields.whole("transfers", 0, MAX_WORK),
        launches=fields.whole("launches", 0, MAX_WORK),
    )
