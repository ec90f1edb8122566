"""Transposed convolutions: each phase is a convolution whose results are stored with strides into the output."""

from __future__ import annotations

import dataclasses

from weft.codegen.context import Context
from weft.codegen.convolution import emit_convolution
from weft.codegen.convolution_plan import choose_tile, plan_convolution
from weft.codegen.iteration import Iteration
from weft.codegen.storage import Geometry, geometry
from weft.errors import CompileError
from weft.ir.transposed import Phase, TransposedConvolution, phases
from weft_sim.machine import MachineConfig

__all__ = ["emit_transposed", "transposed_fits"]


def transposed_fits(operator: TransposedConvolution, config: MachineConfig) -> bool:
    """Whether every phase has a tile that fits the machine."""
    view = operator.inputs[0].view
    return all(choose_tile(each.convolution, view, config, gather=False) is not None for each in phases(operator))


def emit_transposed(operator: TransposedConvolution, context: Context) -> list[Iteration]:
    """The phases one after the other. They read the blocked input, also where another operator gathers windows."""
    blocked = dataclasses.replace(context, raw_inputs={})
    target = context.storage[operator.output.name]
    whole = geometry(target.layout, fold=False)
    iterations: list[Iteration] = []
    for phase in phases(operator):
        plan = plan_convolution(phase.convolution, blocked)
        if plan is None:
            raise CompileError(
                f"node {operator.name!r} does not fit machine {context.config.name!r}; pin it to the host"
            )
        offset = target.offset + phase.row * whole.row_stride + phase.column * whole.column_stride
        storage = dataclasses.replace(target, offset=offset)
        placed = dataclasses.replace(plan, y_storage=storage, y=_strided(whole, operator, phase))
        iterations += emit_convolution(placed, blocked)
    return iterations


def _strided(whole: Geometry, operator: TransposedConvolution, phase: Phase) -> Geometry:
    """The output as the phase sees it: every stride-th row and column."""
    _, _, rows, columns = phase.convolution.output.view
    return dataclasses.replace(
        whole,
        rows=rows,
        columns=columns,
        row_stride=whole.row_stride * (operator.strides[0] if rows > 1 else 1),
        column_stride=whole.column_stride * (operator.strides[1] if columns > 1 else 1),
    )
