"""The kinds of operators that the accelerator computes: for each, whether it fits a machine, and its emitter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from weft.codegen.affine import affine_tile, emit_affine
from weft.codegen.context import Context
from weft.codegen.convolution import emit_convolution
from weft.codegen.convolution_plan import choose_tile, gathers_windows, plan_convolution
from weft.codegen.elementwise import emit_elementwise, emit_table
from weft.codegen.instance_norm import emit_instance_norm, instance_norm_blocks
from weft.codegen.interpolation import emit_interpolation, interpolation_tile
from weft.codegen.iteration import Iteration
from weft.codegen.joins import joined_parts
from weft.codegen.layer_norm import emit_layer_norm, layer_norm_rows
from weft.codegen.matrix_product import emit_matrix_product, product_tile
from weft.codegen.movement import emit_movement, plan_movement
from weft.codegen.pooling import emit_average_pool, emit_max_pool, pool_tile
from weft.codegen.select import emit_select, select_fits
from weft.codegen.softmax import emit_softmax, softmax_tile
from weft.codegen.transposed import emit_transposed, transposed_fits
from weft.errors import CompileError
from weft.ir.affine import ChannelAffine, ChannelSlopes
from weft.ir.fused import FusedConvolution
from weft.ir.instance_norm import InstanceNorm
from weft.ir.interpolation import Interpolation
from weft.ir.operators import (
    AveragePool,
    Convolution,
    Elementwise,
    MaxPool,
    Movement,
    Operator,
    TableLookup,
    View,
)
from weft.ir.products import MatrixProduct
from weft.ir.rows import LayerNorm, Softmax
from weft.ir.select import Select
from weft.ir.transposed import TransposedConvolution
from weft.schedule.areas import Areas
from weft_sim.isa import TABLE_ENTRIES
from weft_sim.machine import MachineConfig

__all__ = ["KINDS", "Kind", "emit_operator", "kind_of"]

O = TypeVar("O", bound=Operator)  # noqa: E741 - an operator
T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """`fits`: whether the machine can compute an operator of this kind with inputs as their shapes say. `emit`: its
    iterations, or None where no tile fits the machine."""

    fits: Callable[[Any, MachineConfig], bool]
    emit: Callable[[Any, Context], list[Iteration] | None]


def kind_of(operator: Operator) -> Kind | None:
    """The operator's kind, or None if the accelerator has none for it."""
    return next((KINDS[base] for base in type(operator).__mro__ if base in KINDS), None)


def emit_operator(operator: Operator, context: Context) -> list[Iteration]:
    """The iterations of one operator. Raises CompileError if it does not fit the machine."""
    kind = kind_of(operator)
    emitted = None if kind is None else kind.emit(operator, context)
    if emitted is None:
        raise CompileError(f"node {operator.name!r} does not fit machine {context.config.name!r}; pin it to the host")
    return emitted


def _tiled(tile: Callable[[O, MachineConfig], T | None], emit: Callable[[O, T, Context], list[Iteration]]) -> Kind:
    """A kind whose tile depends on the operator and the machine alone."""

    def emit_with_tile(operator: O, context: Context) -> list[Iteration] | None:
        found = tile(operator, context.config)
        return None if found is None else emit(operator, found, context)

    return Kind(lambda operator, config: tile(operator, config) is not None, emit_with_tile)


def _always(operator: Operator, config: MachineConfig) -> bool:
    return True


def _convolution_fits(operator: Convolution, config: MachineConfig) -> bool:
    view = operator.inputs[0].view
    return choose_tile(operator, view, config, gather=False) is not None or gathers_windows(operator, config)


def _emit_convolution(operator: Convolution | FusedConvolution, context: Context) -> list[Iteration] | None:
    plan = plan_convolution(operator, context)
    return None if plan is None else emit_convolution(plan, context)


def _product_fits(operator: MatrixProduct, config: MachineConfig) -> bool:
    return product_tile(operator, config) is not None


def _emit_product(operator: MatrixProduct, context: Context) -> list[Iteration] | None:
    found = product_tile(operator, context.config, context.tiles)
    return None if found is None else emit_matrix_product(operator, found, context)


def _table_fits(operator: TableLookup, config: MachineConfig) -> bool:
    return Areas.of(config).parameter_bytes >= 4 * TABLE_ENTRIES


def _movement_fits(operator: Movement, config: MachineConfig) -> bool:
    return plan_movement(operator, config) is not None


def _emit_movement(operator: Movement, context: Context) -> list[Iteration] | None:
    return [] if _lies_in_place(operator, context) else emit_movement(operator, context)


def _lies_in_place(operator: Movement, context: Context) -> bool:
    """Whether every part of a concatenation was written to its place in the result."""
    parts = joined_parts(operator, context.lanes)
    y = context.storage[operator.output.name]
    places = [(context.storage[name], offset) for name, offset in parts]
    return bool(parts) and all(
        (part.register, part.offset) == (y.register, y.offset + offset) for part, offset in places
    )


KINDS: Mapping[type[Operator], Kind] = MappingProxyType(
    {
        Convolution: Kind(_convolution_fits, _emit_convolution),
        FusedConvolution: Kind(lambda whole, config: _convolution_fits(whole.anchor, config), _emit_convolution),
        TransposedConvolution: Kind(transposed_fits, emit_transposed),
        MatrixProduct: Kind(_product_fits, _emit_product),
        Elementwise: Kind(_always, emit_elementwise),
        ChannelAffine: _tiled(affine_tile, emit_affine),
        ChannelSlopes: _tiled(affine_tile, emit_affine),
        TableLookup: Kind(_table_fits, emit_table),
        Select: Kind(select_fits, emit_select),
        MaxPool: _tiled(pool_tile, emit_max_pool),
        AveragePool: _tiled(pool_tile, emit_average_pool),
        Softmax: _tiled(softmax_tile, emit_softmax),
        LayerNorm: _tiled(layer_norm_rows, emit_layer_norm),
        InstanceNorm: _tiled(instance_norm_blocks, emit_instance_norm),
        Interpolation: _tiled(interpolation_tile, emit_interpolation),
        Movement: Kind(_movement_fits, _emit_movement),
        View: Kind(_always, lambda view, context: []),
    }
)
"""By class of operator; a subclass is of its parent's kind."""
