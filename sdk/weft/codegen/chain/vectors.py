"""VPU passes of one piece of an element-wise operator or of a pooling whose operands lie in the scratchpad."""

from __future__ import annotations

from typing import Any

import numpy as np

from weft.codegen.average import average_passes
from weft.codegen.chain.layout import Resident
from weft.codegen.chain.pieces import Piece
from weft.codegen.elementwise import OPERATIONS, pair_constants
from weft.codegen.epilogue import output_clamp, source
from weft.codegen.exact import dequantized, reciprocal_for_values
from weft.ir.operators import AveragePool, Elementwise, MaxPool
from weft_sim.isa import Instruction, Operation, Reduction, Source, Vector

__all__ = ["average", "joined", "largest"]


def _walk(piece: Piece) -> dict[str, int]:
    return {"count_2": piece.blocks, "count_3": piece.rows, "count_4": piece.columns}


def _operand(name: str, held: Resident, piece: Piece, lanes: int) -> dict[str, int]:
    return {
        name: held.vector(lanes, piece.block, piece.row, piece.column),
        f"{name}_stride_2": held.strides.block, f"{name}_stride_3": held.strides.row, f"{name}_stride_4": 1,
    }  # fmt: skip


def joined(operator: Elementwise, piece: Piece, a: Resident, b: Resident, y: Resident, lanes: int) -> list[Instruction]:
    """Both operands dequantized, joined and quantized with constants that are proven to equal the division."""
    first, second = operator.inputs[0], operator.second
    by = pair_constants(operator)
    assert by is not None  # members are only those for which they exist
    fields: dict[str, Any] = {
        **_walk(piece), **_operand("a", a, piece, lanes), **_operand("b", b, piece, lanes),
        **_operand("d", y, piece, lanes), **output_clamp(operator.output, operator.low, operator.high),
        "a_source": source(first), "a_zero": first.zero_point, "a_scale": float(by.a),
        "b_source": source(second), "b_zero": second.zero_point, "b_scale": float(by.b),
        "operation": OPERATIONS[operator.kind], "scale": float(by.result),
    }  # fmt: skip
    return [Vector(**fields)]


def largest(operator: MaxPool, piece: Piece, x: Resident, y: Resident, lanes: int) -> list[Instruction]:
    """Maxima over windows, requantized."""
    tensor = operator.inputs[0]
    scale = reciprocal_for_values(dequantized(tensor), operator.output, operator.low, operator.high)
    assert scale is not None  # members are only those for which it exists
    stride_y, stride_x = operator.strides
    start = x.vector(
        lanes, piece.block, piece.row * stride_y - operator.pads[0], piece.column * stride_x - operator.pads[1]
    )
    fields: dict[str, Any] = {
        **output_clamp(operator.output, operator.low, operator.high),
        "a_source": source(tensor), "a": start, "a_zero": tensor.zero_point, "a_scale": float(tensor.scale),
        "b_source": Source.IMMEDIATE, "operation": Operation.PASS, "reduction": Reduction.MAXIMUM, "reduce_loops": 2,
        "d": y.vector(lanes, piece.block, piece.row, piece.column), "scale": float(np.float32(scale)),
        "count_0": piece.blocks, "a_stride_0": x.strides.block, "d_stride_0": y.strides.block,
        "count_1": piece.rows, "a_stride_1": stride_y * x.strides.row, "d_stride_1": y.strides.row,
        "count_2": piece.columns, "a_stride_2": stride_x, "d_stride_2": 1,
        "count_3": operator.kernel[0], "a_stride_3": operator.dilations[0] * x.strides.row,
        "count_4": operator.kernel[1], "a_stride_4": operator.dilations[1],
    }  # fmt: skip
    return [Vector(**fields)]


def average(
    operator: AveragePool, piece: Piece, x: Resident, y: Resident, accumulator: int, lanes: int
) -> list[Instruction]:
    """Means of whole borderless planes."""
    _, _, height, width = operator.inputs[0].view
    return average_passes(
        operator, 0, piece.blocks, 1, 1, height, width, x.vector(lanes, piece.block, 0, 0),
        y.vector(lanes, piece.block, 0, 0), accumulator,
    )  # fmt: skip
