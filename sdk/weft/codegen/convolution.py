"""Convolutions and matrix products: iterations of one step each."""

from __future__ import annotations

from weft.codegen.context import Context
from weft.codegen.convolution_epilogue import join_tile, load_other, requantize_tile, store_tile
from weft.codegen.convolution_pieces import Pieces
from weft.codegen.convolution_plan import ConvolutionPlan
from weft.codegen.iteration import Iteration
from weft.codegen.products import products
from weft.schedule.steps import steps

__all__ = ["emit_convolution"]


def emit_convolution(plan: ConvolutionPlan, context: Context) -> list[Iteration]:
    """The iterations of one convolution, in order; input and weight pieces are loaded when they are not resident."""
    pieces = Pieces(plan, context)
    iterations: list[Iteration] = []
    accumulator = 0
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
            if plan.other is None:
                iteration.vectors += requantize_tile(plan, step, accumulator, output, parameters, context.lanes)
            else:
                other = pieces.output(step)
                iteration.loads += load_other(plan, step, other, context.lanes)
                iteration.vectors += join_tile(plan, step, accumulator, other, output, parameters, context.lanes)
            iteration.stores += store_tile(plan, step, output, context.lanes)
            iteration.writes = (plan.output_name,)
        iterations.append(iteration)
    return iterations
