"""Checks that an executable is consistent before anything is placed, opened or run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

import onnx
from google.protobuf.message import DecodeError

from weft_runtime.backend import device_backend
from weft_runtime.check_control import check_control
from weft_runtime.check_steps import follow_steps
from weft_runtime.errors import ExecutableError
from weft_runtime.executable import (
    IN_LOG,
    NUMBER_BYTES,
    REGISTER_COUNT,
    REGISTER_IO,
    UNCHANGING,
    Executable,
    HostGraph,
    Layout,
    Processor,
    Region,
    RegionCount,
    RegionDecision,
    TensorBinding,
    TensorSignature,
)
from weft_runtime.inputs import CONTAINERS, UNKNOWN_SHAPE
from weft_runtime.layout import DEVICE_DTYPES
from weft_runtime.memory import MAX_DEVICE_BYTES, plan_memory
from weft_sim.isa.architecture import MAILBOXES

__all__ = ["SIGNATURE_DTYPES", "validate"]

SIGNATURE_DTYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128", "object", *sorted(CONTAINERS),
)  # fmt: skip
"""NumPy names of the element types that ONNX Runtime takes and gives; "object" holds strings. Last: no tensors."""


def validate(executable: Executable) -> None:
    """Raises ExecutableError naming the first part that is impossible, and why."""
    _check_signatures("input", executable.inputs)
    _check_signatures("output", executable.outputs)
    if len(dict(executable.extents)) < len(executable.extents):
        raise ExecutableError("a symbolic extent is bound twice")
    for name, extent in executable.extents:
        if extent < 0:
            raise ExecutableError(f"the extent {name!r} must not be negative, as {extent} is")
    _check_processors(executable.processors)
    for region in executable.regions:
        if not 0 <= region.processor < len(executable.processors):
            raise ExecutableError(f"region {region.name!r} is for processor {region.processor}, which does not exist")
        _check_region(executable.processors[region.processor], region, executable.control is not None)
    for graph in executable.host_graphs:
        _check_host_graph(graph)
    _check_steps(executable)
    if executable.control is None:
        _check_flow(executable)
    else:
        check_control(executable, executable.control)
    plan_memory(executable)


def _check_signatures(role: str, signatures: tuple[TensorSignature, ...]) -> None:
    _check_names(f"the model's {role}s", (signature.name for signature in signatures))
    for signature in signatures:
        if signature.dtype not in SIGNATURE_DTYPES:
            raise ExecutableError(f"model {role} {signature.name!r} has the unknown data type {signature.dtype!r}")
        if signature.dtype in CONTAINERS and signature.shape != UNKNOWN_SHAPE:
            raise ExecutableError(f"model {role} {signature.name!r} is a {signature.dtype} and cannot have a shape")


def _check_names(where: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not name:
            raise ExecutableError(f"{where}: a tensor has no name")
        if name in seen:
            raise ExecutableError(f"{where}: tensor {name!r} is named twice")
        seen.add(name)


def _check_processors(processors: tuple[Processor, ...]) -> None:
    names = [processor.name for processor in processors]
    for name in names:
        if not name or name == "host" or "," in name or names.count(name) > 1:
            raise ExecutableError(f"a processor cannot be called {name!r}: names are unique, without comma, not 'host'")
    for processor in processors:
        if processor.macs_per_cycle < 1 or processor.clock_mhz < 1:
            raise ExecutableError(f"processor {processor.name!r}: its peak and its clock must be at least 1")


def _check_region(processor: Processor, region: Region, dynamic: bool) -> None:
    where = f"region {region.name!r}"
    device_backend(processor.backend).check_region(processor, region)
    for size in (region.workspace_bytes, region.io_bytes):
        if not 0 <= size <= MAX_DEVICE_BYTES:
            raise ExecutableError(f"{where}: a size of {size} bytes is outside 0 to {MAX_DEVICE_BYTES}")
    for role, bindings in (("input", region.inputs), ("output", region.outputs)):
        names = [binding.name for binding in bindings]
        # An input may be bound in several layouts, where its readers on the device want different ones.
        _check_names(f"{where} {role}s", dict.fromkeys(names) if role == "input" else names)
        for binding in bindings:
            _check_binding(f"{where} {role} {binding.name!r}", binding, region.io_bytes)
    _check_decisions(where, region.decisions, frozenset(number.name for number in region.numbers))
    _check_workspace(where, region, dynamic)
    _check_collected(where, region)
    _check_registers(where, region, REGISTER_COUNT if dynamic else REGISTER_IO + 1)
    _check_disjoint(where, tuple(binding for binding in region.inputs if binding.register == REGISTER_IO))


def _check_binding(where: str, binding: TensorBinding, io_bytes: int) -> None:
    if binding.dtype not in DEVICE_DTYPES:
        raise ExecutableError(f"{where}: data type {binding.dtype!r} cannot cross to the device")
    if min(binding.shape, default=0) < 0 or math.prod(binding.shape) != binding.layout.elements:
        raise ExecutableError(f"{where}: shape {binding.shape} does not fit its layout view {binding.layout.view}")
    if binding.register > REGISTER_IO and binding.offset == 0:
        return  # a buffer of its own, as large as its layout
    if binding.offset < 0 or binding.offset + binding.layout.nbytes > io_bytes:
        raise ExecutableError(
            f"{where}: bytes {binding.offset} to {binding.offset + binding.layout.nbytes} "
            f"lie outside the input/output area of {io_bytes} bytes"
        )


def _check_decisions(where: str, decisions: tuple[RegionDecision | RegionCount, ...], numbers: frozenset[str]) -> None:
    for decision in decisions:
        is_loop = isinstance(decision, RegionCount)
        if not (UNCHANGING if is_loop else IN_LOG) <= decision.mailbox < MAILBOXES:
            raise ExecutableError(f"{where}: decision {decision.name!r} names mailbox {decision.mailbox}")
        if isinstance(decision, RegionDecision):
            _check_decisions(where, (*decision.when_below, *decision.when_above), numbers)
            continue
        if decision.number and decision.number not in numbers:
            raise ExecutableError(
                f"{where}: loop {decision.name!r} counts by {decision.number!r}, which it is not given"
            )
        _check_decisions(where, decision.decisions, numbers)


def _check_collected(where: str, region: Region) -> None:
    """Outputs that may be short have as many parts as their loop has iterations at most."""
    outputs = {binding.name: binding for binding in region.outputs}
    for loop in (each for each in region.decisions if isinstance(each, RegionCount)):
        for name in loop.collected:
            binding = outputs.get(name)
            if binding is None or not binding.shape or binding.register <= REGISTER_IO:
                raise ExecutableError(f"{where}: loop {loop.name!r} collects {name!r}, which is no such output")
            if binding.shape[0] != loop.limit or loop.limit < 1 or binding.layout.view[0] % loop.limit:
                raise ExecutableError(f"{where}: {name!r} has not {loop.limit} parts")


def _check_workspace(where: str, region: Region, dynamic: bool) -> None:
    """Numbers that the host writes for a program, and what it reads of the way, lie in the region's workspace."""
    if not dynamic and (region.decisions or region.numbers or region.areas or region.log is not None):
        raise ExecutableError(f"{where}: its program decides, in an executable without control flow")
    places = [(f"number {number.name!r}", number.offset, NUMBER_BYTES) for number in region.numbers]
    if region.log is not None:
        places.append(("the log", region.log.offset, region.log.size))
    places += [("an area of a register", area.offset, area.size) for area in region.areas]
    for name, offset, size in places:
        if min(offset, size) < 0 or offset + size > region.workspace_bytes:
            raise ExecutableError(f"{where}: {name} lies outside the workspace of {region.workspace_bytes} bytes")


def _check_registers(where: str, region: Region, count: int) -> None:
    """Tensors lie in the input/output area; those of a dynamic program may each have a buffer and register of their
    own, which an output shares with an input only where it is the same bytes."""
    layouts: dict[int, Layout] = {}
    for binding in (*region.inputs, *region.outputs):
        if not REGISTER_IO <= binding.register < count:
            raise ExecutableError(
                f"{where}: {binding.name!r} is bound to register {binding.register}, not to the input/output area"
            )
    for binding in region.inputs:
        if binding.register > REGISTER_IO and binding.register in layouts:
            raise ExecutableError(f"{where}: two inputs are bound to register {binding.register}")
        layouts[binding.register] = binding.layout
    for binding in region.outputs:
        shared = layouts.setdefault(binding.register, binding.layout)
        if binding.register > REGISTER_IO and shared.nbytes != binding.layout.nbytes:
            raise ExecutableError(f"{where}: two tensors of different sizes share register {binding.register}")


def _check_disjoint(where: str, bindings: tuple[TensorBinding, ...]) -> None:
    ordered = sorted((binding for binding in bindings if binding.layout.nbytes), key=lambda binding: binding.offset)
    for before, after in itertools.pairwise(ordered):
        if before.offset + before.layout.nbytes > after.offset:
            raise ExecutableError(f"{where}: inputs {before.name!r} and {after.name!r} overlap")


def _check_host_graph(graph: HostGraph) -> None:
    where = f"host graph {graph.name!r}"
    try:
        model = onnx.ModelProto.FromString(graph.model)
    except DecodeError as error:
        raise ExecutableError(f"{where}: its bytes are not an ONNX model") from error
    if not model.HasField("graph"):
        raise ExecutableError(f"{where}: its ONNX model has no graph")
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ExecutableError(f"{where}: tensor {tensor.name!r} refers to a file outside the executable")
    _check_names(f"{where} inputs", graph.inputs)
    _check_names(f"{where} outputs", graph.outputs)
    initialized = {tensor.name for tensor in model.graph.initializer}
    initialized |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    taken = {value.name for value in model.graph.input}
    if set(graph.inputs) - taken or taken - initialized - set(graph.inputs):
        raise ExecutableError(f"{where}: its inputs {graph.inputs} are not those of its ONNX model")
    missing = set(graph.outputs) - {value.name for value in model.graph.output}
    if missing:
        raise ExecutableError(f"{where}: its ONNX model does not give {sorted(missing)[0]!r}")


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for subgraph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _tensors(subgraph)


def _check_steps(executable: Executable) -> None:
    counts = {"host": len(executable.host_graphs), "device": len(executable.regions)}
    expected = {(kind, index) for kind, count in counts.items() for index in range(count)}
    seen: set[tuple[str, int]] = set()
    if executable.steps and executable.control is not None:
        raise ExecutableError("the steps of an executable with control flow belong to its sub-networks")
    for position, step in enumerate(executable.all_steps):
        key = (step.kind, step.index)
        if key not in expected:
            raise ExecutableError(f"step {position} refers to {step.kind} part {step.index}, which does not exist")
        if key in seen:
            raise ExecutableError(f"step {position} runs {step.kind} part {step.index} a second time")
        seen.add(key)
    if expected - seen:
        kind, index = sorted(expected - seen)[0]
        raise ExecutableError(f"no step runs {kind} part {index}")


def _check_flow(executable: Executable) -> None:
    """Every tensor is there before it is used, is made once, and reaches a region with the type it was made
    with."""
    available = follow_steps(executable, executable.steps, (signature.name for signature in executable.inputs))
    for signature in executable.outputs:
        if signature.name not in available:
            raise ExecutableError(f"no step gives the model's output {signature.name!r}")
