"""Element-wise operators of two operands, and table lookups: flat chunks, one or two VPU passes each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from weft.codegen.context import Context
from weft.codegen.epilogue import output_clamp, source
from weft.codegen.exact import PairConstants, constants_for_pairs
from weft.codegen.iteration import Iteration
from weft.codegen.quotient import FREE_ROWS, Quotient
from weft.codegen.storage import Storage, blocked_layout
from weft.codegen.transfer import load, store
from weft.ir.operators import BinaryKind, Elementwise, TableLookup
from weft_runtime.executable import REGISTER_CONSTANTS
from weft_runtime.layout import pack
from weft_sim.isa import TABLE_ENTRIES, Destination, Instruction, Operation, Source, Table, Vector

__all__ = ["OPERATIONS", "emit_elementwise", "emit_table", "pair_constants"]

MAX_COUNT = 65535
OPERATIONS = {
    BinaryKind.ADD: Operation.ADD,
    BinaryKind.SUBTRACT: Operation.SUBTRACT,
    BinaryKind.MULTIPLY: Operation.MULTIPLY,
    BinaryKind.MAXIMUM: Operation.MAXIMUM,
    BinaryKind.MINIMUM: Operation.MINIMUM,
}


@dataclass(frozen=True)
class _Chunk:
    """`groups` runs of `count` vectors from vector `start` on; operand b has a vector per element or per group."""

    start: int
    groups: int
    count: int
    b_start: int
    b_vectors: int


def emit_elementwise(operator: Elementwise, context: Context) -> list[Iteration]:
    """One iteration per chunk that fits the slots."""
    a, y = context.storage[operator.inputs[0].name], context.storage[operator.output.name]
    b = _second(operator, context)
    names = tuple(tensor.name for tensor in operator.inputs)
    lanes = context.lanes
    quotient = None
    if pair_constants(operator) is None:
        quotient = Quotient(operator.output, operator.low, operator.high, context)
    iterations: list[Iteration] = []
    for chunk in _per_channel_chunks(operator, context) if operator.per_channel else _flat_chunks(y, context):
        slots = [context.next_slot(kind) for kind in ("x", "weights", "output", "accumulators")]
        size = chunk.groups * chunk.count * lanes
        iteration = Iteration(operator.name, names, (operator.output.name,))
        iteration.loads += load(a.register, a.offset + chunk.start * lanes, slots[0], size, [])
        iteration.loads += load(b.register, b.offset + chunk.b_start * lanes, slots[1], chunk.b_vectors * lanes, [])
        if quotient is not None and not iterations:
            quotient.prepare(iteration)
        iteration.vectors += _join(operator, chunk, slots, quotient, lanes)
        iteration.stores += store(y.register, y.offset + chunk.start * lanes, slots[2], size, [])
        iterations.append(iteration)
    return iterations


def _second(operator: Elementwise, context: Context) -> Storage:
    """Where operand b lies: an activation, or a constant packed like one."""
    if operator.constant is None:
        return context.storage[operator.second.name]
    layout = blocked_layout(operator.second_view, context.lanes)
    offset = context.constants.add(pack(operator.constant, layout).tobytes())
    return Storage(REGISTER_CONSTANTS, offset, layout)


def _chunk_limit(context: Context) -> int:
    areas = context.areas
    largest = min(areas.x_bytes, areas.weight_bytes, areas.output_bytes) // context.lanes
    return min(largest, areas.accumulator_rows - FREE_ROWS, MAX_COUNT)


def _flat_chunks(y: Storage, context: Context) -> Iterator[_Chunk]:
    """At least four chunks where there is enough to overlap loads, passes and stores."""
    vectors = y.layout.nbytes // context.lanes
    size = max(1, min(_chunk_limit(context), -(-vectors // 4)))
    for start in range(0, vectors, size):
        count = min(size, vectors - start)
        yield _Chunk(start, 1, count, start, count)


def _per_channel_chunks(operator: Elementwise, context: Context) -> Iterator[_Chunk]:
    """Whole planes of several channel blocks, or parts of one plane where a plane is too large."""
    n, channels, height, width = operator.output.view
    blocks, plane, limit = -(-channels // context.lanes), height * width, _chunk_limit(context)
    for image in range(n):
        b_base = 0 if operator.second_view[0] == 1 else image * blocks
        if plane <= limit:
            size = max(1, min(limit // plane, -(-blocks // 4)))
            for block in range(0, blocks, size):
                groups = min(size, blocks - block)
                yield _Chunk((image * blocks + block) * plane, groups, plane, b_base + block, groups)
            continue
        for block in range(blocks):
            for start in range(0, plane, limit):
                first = (image * blocks + block) * plane + start
                yield _Chunk(first, 1, min(limit, plane - start), b_base + block, 1)


def _join(
    operator: Elementwise, chunk: _Chunk, slots: list[int], quotient: Quotient | None, lanes: int
) -> list[Instruction]:
    a, b = operator.inputs[0], operator.second
    clamp = output_clamp(operator.output, operator.low, operator.high)
    found = pair_constants(operator)
    by = found or PairConstants(a.scale, b.scale, np.float32(1))
    joined: dict[str, Any] = {
        "a_source": source(a), "a": slots[0] // lanes, "a_zero": a.zero_point, "a_scale": float(by.a),
        "b_source": source(b), "b": slots[1] // lanes, "b_zero": b.zero_point, "b_scale": float(by.b),
        "operation": OPERATIONS[operator.kind],
        "count_3": chunk.groups, "a_stride_3": chunk.count, "b_stride_3": 1, "d_stride_3": chunk.count,
        "count_4": chunk.count, "a_stride_4": 1, "b_stride_4": int(not operator.per_channel), "d_stride_4": 1,
    }  # fmt: skip
    output, count = slots[2] // lanes, chunk.groups * chunk.count
    if quotient is None:
        return [Vector(**joined, **clamp, d=output, scale=float(by.result))]
    return [
        Vector(**joined, destination=Destination.ACCUMULATOR_F32, d=slots[3]),
        *quotient.passes(slots[3], slots[3] + count, output, count),
    ]


def pair_constants(operator: Elementwise) -> PairConstants | None:
    """What makes division by the output's scale unnecessary, if anything does."""
    return constants_for_pairs(
        operator.kind, operator.inputs[0], operator.second, operator.output, operator.low, operator.high
    )


def emit_table(operator: TableLookup, context: Context) -> list[Iteration]:
    """The table is loaded once, in the first chunk's constants."""
    x, y = context.storage[operator.inputs[0].name], context.storage[operator.output.name]
    lanes, slot = context.lanes, context.next_table()
    parameters = context.next_slot("parameters")
    entries = (operator.table - operator.output.zero_point).astype("<f4")
    offset = context.constants.add(entries.tobytes())
    low, high = operator.output.limits
    clamp = output_clamp(operator.output, low, high)
    iterations: list[Iteration] = []
    for chunk in _flat_chunks(y, context):
        slots = [context.next_slot(kind) for kind in ("x", "output")]
        size = chunk.count * lanes
        iteration = Iteration(operator.name, (operator.inputs[0].name,), (operator.output.name,))
        if not iterations:
            iteration.constants += load(REGISTER_CONSTANTS, offset, parameters, 4 * TABLE_ENTRIES, [])
            iteration.vectors.append(Table(slot=slot, source=parameters // lanes))
        iteration.loads += load(x.register, x.offset + chunk.start * lanes, slots[0], size, [])
        iteration.vectors.append(
            Vector(
                **clamp, a_source=source(operator.inputs[0]), a=slots[0] // lanes, table=slot + 1,
                b_source=Source.IMMEDIATE, d=slots[1] // lanes, count_4=chunk.count, a_stride_4=1, d_stride_4=1,
            )
        )  # fmt: skip
        iteration.stores += store(y.register, y.offset + chunk.start * lanes, slots[1], size, [])
        iterations.append(iteration)
    return iterations
