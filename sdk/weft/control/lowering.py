"""A model with control flow for accelerators: each sub-network compiled as any model is, equal ones once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from weft.control.batches import compile_batches, without_largest
from weft.control.dividing import Body, Divided
from weft.dynamic import Form, gate_nodes
from weft.dynamic.rewrite import with_networks
from weft.joining import join_decisions
from weft.joining.drivers import Drivers
from weft.lowering import Request, emit
from weft.partition import Borders, Partition
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


def lower_form(divided: Divided, request: Request) -> Executable:
    """The executable of a program in control-flow form whose sub-networks are divided."""
    bodies: list[Executable] = []
    firsts: list[int] = []
    numbers: dict[tuple[bytes, object], int] = {}
    calls: list[_Call] = []
    integers = tuple(each.integer for each in divided.bodies)
    gates = gate_nodes(divided.form.with_networks(integers))
    for index, (each, partition) in enumerate(zip(divided.bodies, divided.residence.partitions, strict=True)):
        key = (each.key, None if partition is None else _assignment(partition))
        if key not in numbers:
            numbers[key] = len(bodies)
            bodies.append(_compiled(each, partition))
            firsts.append(index)
        names = [node.name for node in each.integer.proto.graph.node]
        own = bodies[numbers[key]].nodes
        reports = tuple(_reported(node, name, gates[index]) for node, name in zip(own, names, strict=True))
        calls.append(_Call(numbers[key], reports))
    if request.batch > 1:
        merged = _with_batches(divided, bodies, calls, request, firsts)
        drivers = Drivers(merged, "host", request.profile)
    else:
        merged = _merged(divided.form, bodies, calls, request)
        drivers = Drivers(merged, request.driver, request.profile)
    decides_itself = drivers.driver != "host"
    joined = join_decisions(merged, request.accelerators, drivers) if decides_itself else merged
    regions = (
        each if each.decisions else request.accelerators[each.processor].resident(each) for each in joined.regions
    )  # fmt: skip
    return drivers.reported(replace(joined, regions=tuple(regions)))


def _with_batches(
    divided: Divided, bodies: list[Executable], calls: list[_Call], request: Request, firsts: list[int]
) -> Executable:
    """The program with its sub-networks in several sizes, decided by the host; `firsts` are the sub-networks that the
    bodies were made of. Where device memory cannot hold them, the largest size goes."""
    networks = [divided.bodies[index].network for index in firsts]
    borders = [_own_borders(divided.bodies[index], divided.residence.borders[index]) for index in firsts]
    batches = compile_batches(networks, borders, bodies, request.batch, replace(request, pins={}))
    while True:
        merged = _merged(divided.form, [*bodies, *batches.bodies], calls, request)
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


def _own_borders(body: Body, borders: Borders) -> Borders:
    """Borders under the sub-network's own names instead of those of the first of equal bodies."""
    graph = body.network.proto.graph
    inputs = dict(zip(body.member.inputs, (value.name for value in graph.input), strict=True))
    outputs = dict(zip(body.member.outputs, (value.name for value in graph.output), strict=True))
    made = {inputs[name]: place for name, place in borders.made.items()}
    return Borders(made, {outputs[name]: places for name, places in borders.read.items()})


def _reported(node: NodeReport, name: str, gates: frozenset[str]) -> NodeReport:
    """A body's node under the name that one of its sub-networks has for it."""
    reason = f"{node.reason}; {GATE}" if name in gates else node.reason
    return replace(node, name=name, reason=reason)


def _assignment(partition: Partition) -> object:
    """What runs where, by names of the first of equal bodies."""
    groups = partition.chosen.groups
    return tuple((each.processor, tuple(operator.name for operator in each.operators)) for each in groups)


def _compiled(body: Body, partition: Partition | None) -> Executable:
    if partition is not None and body.member.prepared is not None:
        return emit(body.member.prepared, partition, body.request, lambda stage, fraction: None)
    integer = body.integer
    inputs = tuple(value.name for value in integer.inputs)
    outputs = tuple(value.name for value in integer.outputs)
    graph = HostGraph("host_0", integer.proto.SerializeToString(deterministic=True), inputs, outputs)
    nodes = tuple(
        NodeReport(node.name, node.op_type, "host", UNKNOWN_SHAPES, "", 0, 0) for node in integer.proto.graph.node
    )
    processors = tuple(each.processor for each in body.request.accelerators)
    return Executable(
        processors, (), (graph,), (Step("host", 0),), integer.inputs, integer.outputs, 1, nodes, 0, 0, (),
        body.request.calibration,
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
