"""A model with control flow for accelerators: each sub-network compiled as any model is, equal ones once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from weft.control_batches import compile_batches, without_largest
from weft.dynamic import Form, body_key, gate_nodes, narrow
from weft.dynamic.form import normalize_network
from weft.dynamic.rewrite import with_networks
from weft.dynamic.types import is_static
from weft.errors import CompileError
from weft.frontend import Model, integerize
from weft.joining import join_decisions
from weft.lowering import Progress, Request, lower
from weft_runtime.control import ControlFlow, Network
from weft_runtime.errors import ExecutableError
from weft_runtime.executable import Executable, HostGraph, NodeReport, Region, Step
from weft_runtime.memory import plan_memory

__all__ = ["lower_form"]

UNKNOWN_SHAPES = "runs on the host: the extents of its sub-network's inputs are not known before it runs"
GATE = "only decisions depend on it"


@dataclass(frozen=True)
class _Call:
    """A sub-network as a launch refers to it: the compiled body's number, and reports under its own nodes' names."""

    body: int
    nodes: tuple[NodeReport, ...]


def lower_form(form: Form, request: Request, progress: Progress) -> Executable:
    """The executable of a program in control-flow form. Raises CompileError, also for pins to unknown nodes."""
    form = narrow(form.with_networks(tuple(normalize_network(each) for each in form.networks)))
    bodies: list[Executable] = []
    originals: list[Model] = []
    numbers: dict[bytes, int] = {}
    calls: list[_Call] = []
    pinned: set[str] = set()
    integers = tuple(map(integerize, form.networks))
    gates = gate_nodes(form.with_networks(integers))
    for index, (network, integer) in enumerate(zip(form.networks, integers, strict=True)):
        progress("partition", index / len(form.networks))
        names = [node.name for node in integer.proto.graph.node]
        pins = {name: where for name, where in request.pins.items() if name in names}
        pinned |= pins.keys()
        key = body_key(integer) + repr([(names.index(name), where) for name, where in pins.items()]).encode()
        if key not in numbers:
            numbers[key] = len(bodies)
            bodies.append(_lower_network(network, replace(request, pins=pins)))
            originals.append(network)
        own = bodies[numbers[key]].nodes
        reports = tuple(_reported(node, name, gates[index]) for node, name in zip(own, names, strict=True))
        calls.append(_Call(numbers[key], reports))
    for name in request.pins.keys() - pinned:
        raise CompileError(
            f"cannot pin {name!r}: no sub-network has a node of that name; `weft explain` lists the nodes"
        )
    if request.batch > 1:
        joined = _with_batches(form, bodies, calls, request, originals)
    else:
        merged = _merged(form, bodies, calls, request)
        joined = join_decisions(merged, request.accelerators) if request.driver == "device" else merged
    regions = (
        each if each.decisions else request.accelerators[each.processor].resident(each) for each in joined.regions
    )  # fmt: skip
    return replace(joined, regions=tuple(regions))


def _with_batches(
    form: Form, bodies: list[Executable], calls: list[_Call], request: Request, originals: list[Model]
) -> Executable:
    """The program with its sub-networks in several sizes, decided by the host. Where device memory cannot hold them,
    the largest size goes."""
    batches = compile_batches(originals, bodies, request.batch, replace(request, pins={}))
    while True:
        merged = _merged(form, [*bodies, *batches.bodies], calls, request)
        assert merged.control is not None
        executable = replace(merged, control=replace(merged.control, batching=batches.batching))
        try:
            plan_memory(executable)
        except ExecutableError:
            if not batches.batching.sizes:
                raise
            batches = without_largest(batches, len(bodies))
        else:
            return executable


def _reported(node: NodeReport, name: str, gates: frozenset[str]) -> NodeReport:
    """A body's node under the name that one of its sub-networks has for it."""
    reason = f"{node.reason}; {GATE}" if name in gates else node.reason
    return replace(node, name=name, reason=reason)


def _lower_network(normalized: Model, request: Request) -> Executable:
    if all(is_static(value.type) for value in normalized.proto.graph.input):
        return lower(normalized, normalized, replace(request, readers="programs"), lambda stage, fraction: None)
    integer = integerize(normalized)
    inputs = tuple(value.name for value in integer.inputs)
    outputs = tuple(value.name for value in integer.outputs)
    graph = HostGraph("host_0", integer.proto.SerializeToString(deterministic=True), inputs, outputs)
    nodes = tuple(
        NodeReport(node.name, node.op_type, "host", UNKNOWN_SHAPES, "", 0, 0) for node in integer.proto.graph.node
    )
    processors = tuple(each.processor for each in request.accelerators)
    return Executable(
        processors, (), (graph,), (Step("host", 0),), integer.inputs, integer.outputs, 1, nodes, 0, 0, (),
        request.calibration,
    )  # fmt: skip


def _merged(form: Form, bodies: list[Executable], calls: list[_Call], request: Request) -> Executable:
    """One executable of all bodies: their regions and host graphs one after the other, under new names."""
    regions: list[Region] = []
    hosts: list[HostGraph] = []
    networks: list[Network] = []
    offsets: list[int] = []
    for index, body in enumerate(bodies):
        base, host_base = len(regions), len(hosts)
        offsets.append(base)
        regions += [replace(each, name=f"region_{base + place}") for place, each in enumerate(body.regions)]
        hosts += [replace(each, name=f"host_{host_base + place}") for place, each in enumerate(body.host_graphs)]
        steps = tuple(
            replace(step, index=step.index + (base if step.kind == "device" else host_base)) for step in body.steps
        )
        names = (tuple(each.name for each in body.inputs), tuple(each.name for each in body.outputs))
        networks.append(Network(f"network_{index}", *names, steps, body.macs))
    nodes = tuple(_renumbered(node, offsets[call.body]) for call in calls for node in call.nodes)
    numbers = {index: call.body for index, call in enumerate(calls)}
    control = ControlFlow(tuple(networks), with_networks(form.body, numbers))
    return Executable(
        processors=tuple(each.processor for each in request.accelerators), regions=tuple(regions),
        host_graphs=tuple(hosts), steps=(), inputs=form.model.inputs, outputs=form.model.outputs, batch=1,
        nodes=nodes, macs=sum(node.macs for node in nodes),
        offloaded_macs=sum(node.macs for node in nodes if node.device != "host"),
        inexact=tuple(dict.fromkeys(line for body in bodies for line in body.inexact)),
        calibration=request.calibration, control=control,
    )  # fmt: skip


def _renumbered(node: NodeReport, base: int) -> NodeReport:
    if not node.region:
        return node
    return replace(node, region=f"region_{base + int(node.region.removeprefix('region_'))}")
