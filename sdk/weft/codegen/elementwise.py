"""Additions of two activations of one shape: flat chunks, both operands dequantized in the VPU."""

from __future__ import annotations

import numpy as np

from weft.codegen.context import Context
from weft.codegen.epilogue import output_clamp, source
from weft.codegen.exact import reciprocal_for_pairs
from weft.codegen.iteration import Iteration
from weft.codegen.transfer import load, store
from weft.ir.operators import ElementwiseAdd
from weft_sim.isa import Destination, Instruction, Operation, Source, Vector

__all__ = ["emit_add"]

MAX_COUNT = 65535


def emit_add(operator: ElementwiseAdd, context: Context) -> list[Iteration]:
    """One iteration per chunk that fits the slots."""
    a, b = (context.storage[tensor.name] for tensor in operator.inputs)
    y = context.storage[operator.output.name]
    lanes, areas = context.lanes, context.areas
    vectors = y.layout.nbytes // lanes
    limit = min(areas.x_bytes, areas.weight_bytes, areas.output_bytes) // lanes
    chunk = max(1, min(limit, areas.accumulator_rows, MAX_COUNT, -(-vectors // 4)))
    reciprocal = reciprocal_for_pairs(*operator.inputs, operator.output, operator.low, operator.high)
    iterations = []
    for start in range(0, vectors, chunk):
        count = min(chunk, vectors - start)
        offset, size = start * lanes, count * lanes
        slots = tuple(context.next_slot(kind) for kind in ("x", "weights", "output", "accumulators"))
        iteration = Iteration(operator.name, tuple(t.name for t in operator.inputs), (operator.output.name,))
        iteration.loads += load(a.register, a.offset + offset, slots[0], size, [])
        iteration.loads += load(b.register, b.offset + offset, slots[1], size, [])
        iteration.vectors += _add(
            operator, reciprocal, (slots[0], slots[1], slots[2], slots[3]), count, lanes
        )
        iteration.stores += store(y.register, y.offset + offset, slots[2], size, [])
        iterations.append(iteration)
    return iterations


def _add(
    operator: ElementwiseAdd,
    reciprocal: np.float32 | None,
    slots: tuple[int, int, int, int],
    count: int,
    lanes: int,
) -> list[Instruction]:
    x, w, output, accumulator = slots[0] // lanes, slots[1] // lanes, slots[2] // lanes, slots[3]
    a, b = operator.inputs
    clamp = output_clamp(operator.output, operator.low, operator.high)
    joined = {
        "a_source": source(a), "a": x, "a_zero": a.zero_point, "a_scale": float(a.scale),
        "b_source": source(b), "b": w, "b_zero": b.zero_point, "b_scale": float(b.scale),
        "operation": Operation.ADD, "count_4": count, "a_stride_4": 1, "b_stride_4": 1, "d_stride_4": 1,
    }  # fmt: skip
    if reciprocal is not None:
        return [Vector(**joined, **clamp, d=output, scale=float(reciprocal))]
    return [
        Vector(**joined, destination=Destination.ACCUMULATOR_F32, d=accumulator),
        divide(accumulator, output, count, float(operator.output.scale), clamp),
    ]


def divide(rows: int, output: int, count: int, divisor: float, clamp: dict[str, float | int]) -> Vector:
    """Float rows divided by a constant and quantized: slow, and exact whatever the constant."""
    return Vector(
        **clamp, a_source=Source.ACCUMULATOR_F32, a=rows, b_source=Source.IMMEDIATE, b_scale=divisor,
        operation=Operation.DIVIDE, d=output, count_4=count, a_stride_4=1, d_stride_4=1,
    )  # fmt: skip
