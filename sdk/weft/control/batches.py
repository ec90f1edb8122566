"""The sub-networks of a program compiled for several samples at once, in the sizes that are worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnx
from onnx import TensorProto

from weft.dynamic import batched, is_stacked
from weft.dynamic.types import Refused
from weft.errors import CompileError
from weft.frontend import Model
from weft.frontend.graph import Graph, is_standard
from weft.frontend.passes.infer_shapes import InferShapes
from weft.lowering import Request, emit, prepare
from weft.partition import Borders
from weft_runtime.batch_plan import BatchPlan
from weft_runtime.control import Batching, NetworkBatch
from weft_runtime.executable import Executable

__all__ = ["Batches", "compile_batches", "without_largest"]

EXACT_ON_HOST = frozenset({
    "Abs", "Add", "And", "ArgMax", "ArgMin", "BitShift", "Cast", "Ceil", "Clip", "Concat", "Constant", "ConvInteger",
    "DepthToSpace", "DequantizeLinear", "Div", "Equal", "Flatten", "Floor", "Gather", "GatherND", "GlobalMaxPool",
    "Greater", "GreaterOrEqual", "Identity", "IsNaN", "Less", "LessOrEqual", "LogSoftmax", "MatMulInteger", "Max",
    "MaxPool", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pad", "PRelu", "QLinearConv", "QLinearMatMul",
    "QuantizeLinear", "ReduceMax", "ReduceMin", "Relu", "Reshape", "Round", "Sign", "Slice", "Softmax", "SpaceToDepth",
    "Split", "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze", "Where", "Xor",
})  # fmt: skip
"""Operators whose elements ONNX Runtime computes the same wherever they lie in a tensor: data movement, integers,
single IEEE operations, and Softmax, whose kernel takes row by row. Sums and approximated functions are not among them:
their order, and how the rest behind the last whole vector is done, may change with the number of samples."""


SUMS = frozenset({"MatMul", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Sum"})
"""Operators whose order does not matter where they add integers."""

INTEGERS = frozenset({
    TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64, TensorProto.UINT8, TensorProto.UINT16,
    TensorProto.UINT32, TensorProto.UINT64,
})  # fmt: skip


@dataclass(frozen=True)
class Batches:
    """The bodies to add behind those for one sample, and what the executable says about them."""

    bodies: tuple[Executable, ...]
    batching: Batching


def compile_batches(
    networks: Sequence[Model], borders: Sequence[Borders], bodies: Sequence[Executable], batch: int, request: Request
) -> Batches:
    """Each sub-network for 2, 4, … up to `batch` samples, and for `batch` itself, divided with the borders that the
    bodies for one sample have; a size stays where it is estimated to take less than smaller ones one after the
    other."""
    singles = tuple(_nanoseconds(each) for each in bodies)
    sizes = sorted({batch, *(1 << bits for bits in range(1, batch.bit_length()) if 1 << bits <= batch)})
    added: list[Executable] = []
    chosen: list[NetworkBatch] = []
    alone: list[tuple[int, str]] = []
    for index, network in enumerate(networks):
        if not network.proto.graph.input:
            continue  # the same for all samples
        mark = len(chosen)
        for size in sizes:
            try:
                body = _several(network, size, request, borders[index])
            except Refused as why:
                if len(chosen) == mark:
                    alone.append((index, str(why)))
                break
            stacked = tuple(is_stacked(value.type) for value in network.proto.graph.output)
            entry = NetworkBatch(index, size, len(bodies) + len(added), _nanoseconds(body), stacked)
            if _time(singles, [*chosen, entry], index, size) < _time(singles, chosen, index, size):
                chosen.append(entry)
                added.append(body)
        if len(chosen) == mark and not (alone and alone[-1][0] == index):
            alone.append((index, "several at once would not take less time"))
    return Batches(tuple(added), Batching(batch, singles, tuple(chosen), tuple(alone)))


def without_largest(batches: Batches, singles: int) -> Batches:
    """Without the bodies of the largest size; `singles` bodies are for one sample."""
    sizes = batches.batching.sizes
    largest = max(each.size for each in sizes)
    kept = [each for each in sizes if each.size < largest]
    bodies = tuple(batches.bodies[each.variant - singles] for each in kept)
    renumbered = tuple(replace(each, variant=singles + index) for index, each in enumerate(kept))
    return Batches(bodies, replace(batches.batching, sizes=renumbered))


def _several(network: Model, size: int, request: Request, borders: Borders) -> Executable:
    """The body for so many samples. Raises Refused."""
    model = batched(network, size)
    try:
        prepared = prepare(model, model, replace(request, neighbours="programs"), lambda stage, fraction: None)
        body = emit(prepared, prepared.partition(borders), request, lambda stage, fraction: None)
    except CompileError as error:
        raise Refused(str(error)) from error
    for host in body.host_graphs:
        proto = onnx.load_model_from_string(host.model)
        graph = Graph(InferShapes().run(Model(proto, name=host.name)))
        for node in graph.nodes:
            if not _is_exact(graph, node):
                raise Refused(f"{node.op_type} {node.name!r} runs on the host, where its bits may depend on the batch")
    return body


def _is_exact(graph: Graph, node: onnx.NodeProto) -> bool:
    if is_standard(node, *SUMS):
        return graph.element_type(node.output[0]) in INTEGERS
    return is_standard(node, *EXACT_ON_HOST)


def _nanoseconds(body: Executable) -> int:
    if body.partition is None:
        return 0
    return next(each.total for each in body.partition.candidates if each.name == body.partition.chosen)


def _time(singles: tuple[int, ...], sizes: Sequence[NetworkBatch], network: int, samples: int) -> int:
    """The estimated time of so many samples with these sizes."""
    own = tuple(each for each in sizes if each.network == network)
    plan = BatchPlan(Batching(samples, singles, own, ()))
    times = {each.size: each.nanoseconds for each in own}
    return sum(times.get(size, singles[network]) for size in plan.cover(network, samples, samples))
