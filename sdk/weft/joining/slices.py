"""What a loop's iteration takes by its number: a slice of a tensor, or a value that depends on the number alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from weft.conditions.deferred import Composite
from weft.conditions.trial import program_of
from weft.frontend.graph import is_standard
from weft.ir.device_control import UNKNOWN, Reading, Slice, Unjoinable
from weft.joining.counters import Numbers
from weft_runtime.errors import HostError
from weft_runtime.executable import HostGraph, Layout, TensorBinding
from weft_runtime.layout import pack

__all__ = ["MOST_TRIED", "OpenChoice", "OpenLoop", "sliced", "table_graph", "truth_binding", "whole_of"]

MOST_TRIED = 4096
"""Iterations; the value of each is computed when compiling."""
BYTE = 256
OPSET, IR_VERSION = 18, 10
ELEMENTWISE = ("Cast", "DequantizeLinear", "Identity")
Array = npt.NDArray[np.generic]


@dataclass
class OpenLoop:
    """A loop whose body is being joined: what its iterations' numbers tell, its count (UNKNOWN where that is not
    constant), and what its iterations take."""

    numbers: Numbers
    limit: int
    slices: dict[str, Slice] = field(default_factory=dict)
    choices: list[OpenChoice] = field(default_factory=list)


@dataclass
class OpenChoice:
    """A state that is chosen: by `reading`, and what iterations take by it. Its values are those of each place, and
    then the first one, which stands for itself."""

    reading: Reading
    taken: OpenLoop


def truth_binding(name: str) -> TensorBinding:
    """A condition, 0 or 1, as a stored tensor."""
    return TensorBinding(name, (1,), "uint8", 0, 0, Layout((1, 1, 1, 1), 1))


def sliced(composite: Composite, name: str, binding: TensorBinding, loop: OpenLoop) -> Slice:
    """A deferred value that depends on the loop's iteration number, as a region reads it. Raises Unjoinable where it is
    neither one slice after the other of one stored tensor, nor a value that depends on nothing else."""
    if loop.limit == UNKNOWN or loop.limit > MOST_TRIED:
        raise Unjoinable(f"what iterations take is tried for at most {MOST_TRIED}, and a constant count")
    return _Trial(composite, name, binding, loop).run()


class _Trial:
    def __init__(self, composite: Composite, name: str, binding: TensorBinding, loop: OpenLoop) -> None:
        self._composite, self._binding, self._loop = composite, replace(binding, name=name), loop
        self._program = program_of(composite.model, composite.output)
        known = loop.numbers.names
        self._others = {theirs: ours for ours, theirs in composite.inputs.items() if theirs not in known}

    def run(self) -> Slice:
        if not self._others:
            rows = [self._row(number, {}) for number in range(self._loop.limit)]
            table = b"".join(pack(row, self._binding.layout).tobytes() for row in rows)
            return Slice(self._binding, "", table, self._loop.limit)
        if len(self._others) > 1:
            raise Unjoinable("what an iteration takes depends on several tensors")
        ((source, given),) = self._others.items()
        self._check_source(given)
        return Slice(self._binding, source, b"", self._count)

    def _row(self, number: int, feeds: dict[str, Array]) -> Array:
        """The value in one iteration."""
        known = self._loop.numbers.feeds(self._composite.inputs, number)
        try:
            found = self._program.run({**known, **feeds})[self._composite.output]
        except HostError as error:
            raise Unjoinable(f"what an iteration takes cannot be tried: {error}") from error
        row: Array = np.asarray(found)
        if row.dtype == np.bool_:
            row = row.astype(np.uint8)
        if row.dtype != self._binding.dtype or row.size != self._binding.layout.elements:
            raise Unjoinable(f"an iteration takes {row.dtype} {row.shape} in place of {self._binding.shape}")
        return row.reshape(self._binding.shape)

    def _check_source(self, given: str) -> None:
        """Slice k of the tensor is its k-th part of equal size, whatever stands there."""
        kind = next(each.type.tensor_type for each in self._composite.model.graph.input if each.name == given)
        shape = tuple(each.dim_value for each in kind.shape.dim)
        elements, size = int(np.prod(shape)), self._binding.layout.elements
        if not size or not elements or elements % size or elements // size < self._loop.limit:
            raise Unjoinable("iterations take no equal parts of a tensor of known extents")
        self._count = elements // size
        low = np.iinfo(self._binding.dtype).min
        for digits in _probes(elements):
            feed = (digits + low).astype(self._binding.dtype).reshape(shape)
            for number in range(self._loop.limit):
                wanted = feed.reshape(-1)[number * size : (number + 1) * size]
                if not np.array_equal(self._row(number, {given: feed}).reshape(-1), wanted):
                    raise Unjoinable("iterations do not take one part of a tensor after the other")


def _probes(elements: int) -> Iterator[npt.NDArray[np.int64]]:
    """The elements' own numbers, digit by digit to base 256, so that each tells its place; then every byte somewhere,
    so that a value that is changed on the way shows."""
    numbers = np.arange(elements)
    rest = numbers
    while rest.any() or rest is numbers:
        yield rest % BYTE
        rest = rest // BYTE
    for shift in range(0, BYTE, min(16, elements)):
        yield (numbers + shift) % BYTE


def whole_of(composite: Composite, name: str, count: int | None) -> tuple[str, HostGraph]:
    """For a deferred value that is one stored tensor element by element: that tensor, and a host graph that does the
    same to so many of them (None: any number), one behind the other. Raises Unjoinable for others."""
    nodes = composite.model.graph.node
    constants = {each.name for each in composite.model.graph.initializer if not each.dims}
    if len(composite.inputs) != 1 or not all(is_standard(node, *ELEMENTWISE) for node in nodes):
        raise Unjoinable(f"the host computes {name!r} of each iteration")
    if any(used not in constants for node in nodes for used in node.input[1:]):
        raise Unjoinable(f"{name!r} is dequantized with a scale for each channel")
    ((given, source),) = composite.inputs.items()
    proto = onnx.ModelProto()
    proto.CopyFrom(composite.model)
    shape = proto.graph.input[0].type.tensor_type.shape
    leading = onnx.TensorShapeProto.Dimension(dim_param="iterations")
    if count is not None:
        leading = onnx.TensorShapeProto.Dimension(dim_value=count)
    shape.CopyFrom(onnx.TensorShapeProto(dim=[leading, *shape.dim]))
    model = proto.SerializeToString(deterministic=True)
    return source, HostGraph(f"{name}/whole", model, (given,), (composite.output,))


def table_graph(name: str, table: npt.NDArray[Any], binding: TensorBinding | None = None) -> HostGraph:
    """A host graph that looks a number up in a table of values for 0, 1, 2, …; or as many as there are, as stored."""
    nodes = [
        helper.make_node("Cast", ["number"], ["place"], to=onnx.TensorProto.INT64),
        helper.make_node("Gather", ["table", "place"], ["value"], axis=0),
    ]
    kind, shape = (onnx.TensorProto.INT64, []) if binding is None else (onnx.TensorProto.UINT8, ["iterations"])
    number = helper.make_tensor_value_info("number", kind, shape)
    graph = helper.make_graph(
        nodes, "table", [number], [onnx.ValueInfoProto(name="value")], [numpy_helper.from_array(table, "table")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return HostGraph(f"{name}/table", model.SerializeToString(deterministic=True), ("number",), ("value",))
