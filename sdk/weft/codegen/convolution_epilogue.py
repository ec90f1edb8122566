"""What follows the products of a convolution tile: bias, requantization, what is fused, and the store."""

from __future__ import annotations

from typing import Any

import numpy as np

from weft.codegen.context import Context
from weft.codegen.convolution_pieces import Pieces
from weft.codegen.convolution_plan import ConvolutionPlan
from weft.codegen.elementwise import OPERATIONS, pair_constants
from weft.codegen.epilogue import output_clamp, source
from weft.codegen.iteration import Iteration
from weft.codegen.storage import Geometry
from weft.codegen.transfer import Loop, load, store
from weft.errors import CompileError
from weft.ir.fused import FusedConvolution
from weft.ir.operators import Elementwise, TableLookup
from weft.schedule.steps import Step
from weft_runtime.executable import REGISTER_CONSTANTS
from weft_sim.isa import PARAMETER_VECTORS, Instruction, Source, Table, Vector

__all__ = ["Tail", "load_other", "requantize_tile", "store_tile"]


def output_strides(plan: ConvolutionPlan, step: Step) -> tuple[int, int]:
    """Vectors between channel blocks and between positions of the output tile."""
    return (1, step.blocks) if plan.y.blocks_innermost else (step.rows * step.columns, 1)


def requantize_tile(
    plan: ConvolutionPlan, step: Step, accumulator: int, output: int, parameters: int, lanes: int
) -> list[Instruction]:
    """y = clamp(rint(float32(acc + bias) · multiplier[channel]) + zero point)."""
    operator = plan.operator
    return [
        Vector(
            **output_clamp(operator.output, operator.low, operator.high),
            **_over_tile(plan, step, accumulator, output, parameters, lanes), b_source=Source.IMMEDIATE,
        )
    ]  # fmt: skip


class Tail:
    """What is fused behind a convolution's requantization: operand a of one more operation."""

    def __init__(self, plan: ConvolutionPlan, fused: FusedConvolution, context: Context) -> None:
        self._plan, self._fused, self._lanes = plan, fused, context.lanes
        self._context = context
        self._slot = context.next_table() if isinstance(fused.tail, TableLookup) else 0

    def prepare(self, iteration: Iteration, pieces: Pieces) -> None:
        """Loads a table; to be called for the first iteration that computes results."""
        tail, zero = self._fused.tail, self._fused.between.zero_point
        if not isinstance(tail, TableLookup):
            return
        entries = np.roll(tail.table - tail.output.zero_point, -zero).astype("<f4").tobytes()
        place, offset = pieces.table(len(entries)), self._context.constants.add(entries)
        iteration.loads += load(REGISTER_CONSTANTS, offset, place, len(entries), [])
        iteration.vectors.append(Table(slot=self._slot, source=place // self._lanes))

    def passes(self, step: Step, accumulator: int, other: int, output: int, parameters: int) -> list[Instruction]:
        """The tile's pass; `other`: byte address of the tile of the tensor that is joined."""
        fused, between = self._fused, self._fused.between
        tail: dict[str, Any] = {"b_source": Source.IMMEDIATE, "table": self._slot + 1}
        low, high = fused.tail.output.limits
        if isinstance(fused.tail, Elementwise):
            low, high = fused.tail.low, fused.tail.high
            tail = self._joined(fused.tail, step, other)
        return [
            Vector(
                **output_clamp(fused.output, low, high),
                **_over_tile(self._plan, step, accumulator, output, parameters, self._lanes), **tail,
                a_round=1, a_low=float(fused.low - between.zero_point), a_high=float(fused.high - between.zero_point),
            )
        ]  # fmt: skip

    def _joined(self, join: Elementwise, step: Step, other: int) -> dict[str, Any]:
        by = pair_constants(join)
        if by is None:
            raise CompileError(f"node {join.name!r} was fused though its division needs passes of its own")
        block, position = output_strides(self._plan, step)
        return {
            "a_rescale": float(by.a), "operation": OPERATIONS[join.kind], "scale": float(by.result),
            "b_source": source(join.second), "b": other // self._lanes, "b_zero": join.second.zero_point,
            "b_scale": float(by.b), "b_stride_0": block, "b_stride_4": position,
        }  # fmt: skip


def _over_tile(
    plan: ConvolutionPlan, step: Step, accumulator: int, output: int, parameters: int, lanes: int
) -> dict[str, Any]:
    """Operand a, (acc + bias) · multiplier, and the place of the results."""
    positions = step.rows * step.columns
    block, position = output_strides(plan, step)
    return {
        "a_source": Source.ACCUMULATOR_S32, "parameters": 1, "parameter": parameters // lanes,
        "parameter_stride": PARAMETER_VECTORS, "a": accumulator, "d": output // lanes,
        "count_0": step.blocks, "a_stride_0": positions, "d_stride_0": block,
        "count_4": positions, "a_stride_4": 1, "d_stride_4": position,
    }  # fmt: skip


def store_tile(plan: ConvolutionPlan, step: Step, output: int, lanes: int) -> list[Instruction]:
    """The output tile to DRAM."""
    offset, loops = _tile_in_dram(plan, step, plan.y, lanes)
    return store(plan.y_storage.register, plan.y_storage.offset + offset, output, lanes, loops)


def load_other(plan: ConvolutionPlan, step: Step, place: int, lanes: int) -> list[Instruction]:
    """The tile of the tensor that is joined, laid out like the output's."""
    if plan.other is None or plan.other_storage is None:
        return []
    offset, loops = _tile_in_dram(plan, step, plan.other, lanes)
    return load(plan.other_storage.register, plan.other_storage.offset + offset, place, lanes, loops)


def _tile_in_dram(plan: ConvolutionPlan, step: Step, tensor: Geometry, lanes: int) -> tuple[int, list[Loop]]:
    """Offset and loops of the output tile's place in a tensor."""
    block, position = output_strides(plan, step)
    offset = step.image * tensor.image_stride + step.block * tensor.block_stride
    offset += step.row * tensor.row_stride + step.column * tensor.column_stride
    blocks = Loop(step.blocks, tensor.block_stride, block * lanes)
    rows = Loop(step.rows, tensor.row_stride, step.columns * position * lanes)
    columns = Loop(step.columns, tensor.column_stride, position * lanes)
    return offset, [rows, columns, blocks] if plan.y.blocks_innermost else [blocks, rows, columns]
