"""The manifest of an artifact: an executable as JSON plus byte sections, and the checked way back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from weft_runtime.errors import ArtifactError, LayoutError
from weft_runtime.executable import (
    REGISTER_COUNT,
    Executable,
    HostGraph,
    Layout,
    NodeReport,
    Processor,
    Region,
    Step,
    TensorBinding,
    TensorSignature,
)
from weft_runtime.fields import Fields, parse_object
from weft_runtime.memory import MAX_DEVICE_BYTES

__all__ = ["describe", "restore"]

CALIBRATIONS = ("file", "input", "random", "none")
MAX_EXTENT = 1 << 31
MAX_PROCESSORS = 256
MAX_WORK = 1 << 62

Sections = Mapping[str, bytes]


def describe(executable: Executable) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The executable as a JSON object without its section table, and its byte sections by name, in file
    order."""
    sections: dict[str, bytes] = {}
    manifest = {
        "processors": [dict(vars(processor)) for processor in executable.processors],
        "batch": executable.batch,
        "macs": executable.macs,
        "offloaded_macs": executable.offloaded_macs,
        "calibration": executable.calibration,
        "inexact": list(executable.inexact),
        "inputs": [_describe_signature(signature) for signature in executable.inputs],
        "outputs": [_describe_signature(signature) for signature in executable.outputs],
        "nodes": [dict(vars(node)) for node in executable.nodes],
        "steps": [{"kind": step.kind, "index": step.index} for step in executable.steps],
        "regions": [
            _describe_region(region, f"regions/{index}", sections) for index, region in enumerate(executable.regions)
        ],
        "host_graphs": [
            {"name": graph.name, "inputs": list(graph.inputs), "outputs": list(graph.outputs)}
            for graph in executable.host_graphs
        ],
    }
    for index, graph in enumerate(executable.host_graphs):
        sections[f"host_graphs/{index}/model"] = graph.model
    return manifest, sections


def restore(fields: Fields, sections: Sections) -> Executable:
    """The inverse of `describe`. Raises ArtifactError for any member of the wrong type or range, and for a
    section that is missing or that nothing refers to."""
    remaining = dict(sections)
    executable = Executable(
        processors=fields.objects("processors", _restore_processor),
        regions=_indexed(fields, "regions", remaining, _restore_region),
        host_graphs=_indexed(fields, "host_graphs", remaining, _restore_host_graph),
        steps=fields.objects("steps", _restore_step),
        inputs=fields.objects("inputs", _restore_signature),
        outputs=fields.objects("outputs", _restore_signature),
        batch=fields.whole("batch", 0, 1 << 20),
        nodes=fields.objects("nodes", _restore_node),
        macs=fields.whole("macs", 0, MAX_WORK),
        offloaded_macs=fields.whole("offloaded_macs", 0, MAX_WORK),
        inexact=fields.texts("inexact"),
        calibration=fields.choice("calibration", CALIBRATIONS),
    )
    fields.finish()
    if remaining:
        raise ArtifactError(f"section {next(iter(remaining))[:80]!r} belongs to nothing in the manifest")
    return executable


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
    return {
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


def _indexed(fields: Fields, name: str, sections: dict[str, bytes], read: Any) -> tuple[Any, ...]:
    position = iter(range(1 << 31))
    return fields.objects(name, lambda each: read(each, f"{name}/{next(position)}", sections))


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
    )
