"""Convolutions and matrix products: iterations of one step each."""

from __future__ import annotations

from weft.codegen.context import Context
from weft.codegen.convolution_epilogue import Tail, load_other, requantize_tile, store_tile
from weft.codegen.convolution_pieces import Pieces
from weft.codegen.convolution_plan import ConvolutionPlan
from weft.codegen.iteration import Iteration
from weft.codegen.products import products
from weft.ir.fused import FusedConvolution
from weft.schedule.steps import steps

__all__ = ["emit_convolution"]


def emit_convolution(plan: ConvolutionPlan, context: Context) -> list[Iteration]:
    """The iterations of one convolution, in order; input and weight pieces are loaded when they are not resident."""
    pieces = Pieces(plan, context)
    iterations: list[Iteration] = []
    tail = Tail(plan, plan.operator, context) if isinstance(plan.operator, FusedConvolution) else None
    accumulator, prepared = 0, False
    for step in steps(plan.shape, plan.tile):
        iteration = Iteration(plan.operator.name, reads=(plan.input_name,))
        weights, iteration.constants = pieces.weights(step)
        x, iteration.loads = pieces.input(step)
        if step.first:
            accumulator = pieces.accumulators(step)
        iteration.products += products(plan, step, x, weights, accumulator, context.lanes)
        if step.last:
            parameters, loads = pieces.parameters(step)
            iteration.loads += loads
            output = pieces.output(step)
            if tail is None:
                iteration.vectors += requantize_tile(plan, step, accumulator, output, parameters, context.lanes)
            else:
                other = pieces.output(step) if plan.other is not None else 0
                iteration.loads += load_other(plan, step, other, context.lanes)
                if not prepared:
                    tail.prepare(iteration, pieces)
                    prepared = True
                iteration.vectors += tail.passes(step, accumulator, other, output, parameters)
            iteration.stores += store_tile(plan, step, output, context.lanes)
            iteration.writes = (plan.output_name,)
        iterations.append(iteration)
    return iterations
