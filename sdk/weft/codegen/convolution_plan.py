"""Everything decided about one convolution before emission: mode, tile, storage, packed constants."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from weft.codegen.context import Context
from weft.codegen.packing import (
    dense_weights,
    depthwise_weights,
    grouped_weights,
    im2col_weights,
    needed_blocks,
    parameter_records,
)
from weft.codegen.storage import Geometry, Storage, geometry
from weft.codegen.window import InputStrides
from weft.ir.operators import Convolution, Form
from weft.schedule.choice import ANALYTIC, TileChoices
from weft.schedule.convolution import ConvolutionMode, ConvolutionShape, ConvolutionTile, input_extent
from weft.schedule.convolution_search import best_tile
from weft.schedule.steps import Step
from weft_sim.machine import MachineConfig

__all__ = ["ConvolutionPlan", "choose_tile", "gathers_windows", "plan_convolution", "with_view"]


@dataclass(frozen=True)
class ConvolutionPlan:
    """One convolution, decided. `block_offsets[b]` is the byte offset of output block b's weights (and one more).
    `other_storage`: the tensor that is joined with the result, if any."""

    operator: Convolution
    shape: ConvolutionShape
    tile: ConvolutionTile
    input_name: str
    output_name: str
    x_storage: Storage
    y_storage: Storage
    x: Geometry
    y: Geometry
    other_storage: Storage | None
    other: Geometry | None
    weight_offset: int
    parameter_offset: int
    block_offsets: tuple[int, ...]
    needed: tuple[range, ...]

    @property
    def pads(self) -> tuple[int, int]:
        """Padding above and to the left."""
        return (self.operator.pads[0], self.operator.pads[1])

    def input_group(self, step: Step) -> range:
        """Input channel blocks that lie together in the step's input piece."""
        match self.shape.mode:
            case ConvolutionMode.DEPTHWISE:
                return range(step.block, step.block + step.blocks)
            case ConvolutionMode.GROUPED:
                return range(self.needed[step.block].start, self.needed[step.block + step.blocks - 1].stop)
            case _:
                return range(step.reduce_group.first, step.reduce_group.stop)

    def input_extents(self, step: Step) -> tuple[int, int]:
        """Rows and columns of the step's input piece, borders included."""
        shape = self.shape
        rows = input_extent(step.rows, shape.kernel[0], shape.strides[0], shape.dilations[0])
        return rows, input_extent(step.columns, shape.kernel[1], shape.strides[1], shape.dilations[1])

    def input_strides(self, step: Step) -> InputStrides:
        """Layout of the step's input piece in the scratchpad: as in DRAM, channel blocks outermost or innermost."""
        if self.shape.mode == ConvolutionMode.IM2COL:
            vectors = self.shape.reduce_blocks
            return InputStrides(1, step.columns * vectors, vectors)
        rows, columns = self.input_extents(step)
        blocks = len(self.input_group(step))
        if self.x.blocks_innermost:
            return InputStrides(1, columns * blocks, blocks)
        return InputStrides(rows * columns, columns, 1)


def with_view(operator: Convolution, view: tuple[int, int, int, int]) -> Convolution:
    """The same product over an input stored as (n, c, h, w) that the operator sees flattened to (n, c·h·w, 1, 1)."""
    if operator.inputs[0].view == view:
        return operator
    outputs = operator.weights.shape[0]
    return dataclasses.replace(operator, weights=operator.weights.reshape(outputs, *view[1:]))


def gathers_windows(operator: Convolution, config: MachineConfig) -> bool:
    """Whether a first layer is better fed by gathered windows (im2col by LOAD) than by blocks of mostly empty lanes."""
    _, channels, kernel_rows, kernel_columns = operator.weights.shape
    if (
        operator.group != 1
        or operator.dilations[1] != 1
        or kernel_rows * kernel_columns == 1
        or channels > config.lanes
    ):
        return False
    view = operator.inputs[0].view
    gathered = best_tile(_shape(operator, view, config, gather=True), config)
    plain = best_tile(_shape(operator, view, config, gather=False), config)
    return gathered is not None and (plain is None or gathered[1] < plain[1])


def choose_tile(
    operator: Convolution,
    view: tuple[int, int, int, int],
    config: MachineConfig,
    *,
    gather: bool,
    tiles: TileChoices = ANALYTIC,
) -> tuple[ConvolutionShape, ConvolutionTile] | None:
    """Shape and tile for an input stored as `view`, or None if no tile fits the machine."""
    shape = _shape(with_view(operator, view), view, config, gather=gather)
    found = best_tile(shape, config)
    if found is None and shape.mode == ConvolutionMode.DEPTHWISE:
        shape = _block_shape(with_view(operator, view), view, config, ConvolutionMode.GROUPED)
        found = best_tile(shape, config)
    if found is None:
        return None
    chosen = tiles.tile(shape, _as_stored(operator, view))
    return shape, chosen if isinstance(chosen, ConvolutionTile) else found[0]


def _as_stored(operator: Convolution, view: tuple[int, int, int, int]) -> Convolution:
    """The same product by itself: over an input that has the extents as which it is stored here."""
    if operator.inputs[0].view == view:
        return operator
    stored = dataclasses.replace(operator.inputs[0], shape=view, form=Form.IMAGE)
    return dataclasses.replace(with_view(operator, view), inputs=(stored, *operator.inputs[1:]))


def plan_convolution(operator: Convolution, context: Context) -> ConvolutionPlan | None:
    """Decides everything and adds the constants to the pool; None if no tile fits."""
    name = operator.inputs[0].name
    gather = name in context.raw_inputs and gathers_windows(operator, context.config)
    x_storage = context.raw_inputs[name] if gather else context.storage[name]
    chosen = choose_tile(operator, x_storage.layout.view, context.config, gather=gather, tiles=context.tiles)
    if chosen is None:
        return None
    shape, tile = chosen
    if context.by_rows:
        by_rows = dataclasses.replace(shape, by_rows=True)
        found = best_tile(by_rows, context.config)
        shape, tile = (by_rows, found[0]) if found is not None else chosen
    viewed = with_view(operator, x_storage.layout.view)
    y_storage = context.storage[operator.output.name]
    fold = _folds(viewed, x_storage.layout.view)
    data, offsets = _pack(viewed, shape, context.lanes)
    other = context.storage[operator.inputs[1].name] if len(operator.inputs) > 1 else None
    return ConvolutionPlan(
        viewed, shape, tile, name, operator.output.name, x_storage, y_storage,
        geometry(x_storage.layout, fold=fold), geometry(y_storage.layout, fold=fold),
        other, None if other is None else geometry(other.layout, fold=fold),
        context.constants.add(data), context.constants.add(parameter_records(operator, context.lanes)),
        tuple(offsets), tuple(needed_blocks(operator, context.lanes)),
    )  # fmt: skip


def _pack(operator: Convolution, shape: ConvolutionShape, lanes: int) -> tuple[bytes, list[int]]:
    if shape.mode == ConvolutionMode.GROUPED:
        data, offsets = grouped_weights(operator, lanes)
        return data, [*offsets, len(data)]
    function = {
        ConvolutionMode.DENSE: dense_weights,
        ConvolutionMode.IM2COL: im2col_weights,
        ConvolutionMode.DEPTHWISE: depthwise_weights,
    }[shape.mode]
    data = function(operator, lanes)
    step = len(data) // shape.out_blocks
    return data, [block * step for block in range(shape.out_blocks + 1)]


def _shape(
    operator: Convolution, view: tuple[int, int, int, int], config: MachineConfig, *, gather: bool
) -> ConvolutionShape:
    if gather:
        return _gathered_shape(operator, config)
    if operator.group == 1:
        return _block_shape(operator, view, config, ConvolutionMode.DENSE)
    return _block_shape(
        operator,
        view,
        config,
        ConvolutionMode.DEPTHWISE if _is_depthwise(operator, view, config) else ConvolutionMode.GROUPED,
    )


def _is_depthwise(operator: Convolution, view: tuple[int, int, int, int], config: MachineConfig) -> bool:
    outputs, per_group, _, kernel_columns = operator.weights.shape
    plain = outputs == operator.group == view[1] and per_group == 1 and operator.dilations == (1, 1)
    return plain and kernel_columns <= config.lanes and all(stride in (1, 2, 4) for stride in operator.strides)


def _folds(operator: Convolution, view: tuple[int, int, int, int]) -> bool:
    """Whether this is a matrix product: then its n rows are the positions of one image."""
    return view[2:] == (1, 1) and operator.weights.shape[2:] == (1, 1) and not any(operator.pads)


def _block_shape(
    operator: Convolution, view: tuple[int, int, int, int], config: MachineConfig, mode: ConvolutionMode
) -> ConvolutionShape:
    lanes = config.lanes
    outputs = operator.weights.shape[0]
    n, _, rows, columns = operator.output.view
    kernel = (int(operator.weights.shape[2]), int(operator.weights.shape[3]))
    reduce_blocks = {
        ConvolutionMode.DENSE: -(-view[1] // lanes),
        ConvolutionMode.DEPTHWISE: 1,
        ConvolutionMode.GROUPED: max(len(blocks) for blocks in needed_blocks(operator, lanes)),
    }[mode]
    if _folds(operator, view):
        n, rows = 1, n
    skips = _skips(operator) if mode == ConvolutionMode.DENSE else (1, 1)
    strides = (operator.strides[0] // skips[0], operator.strides[1] // skips[1])
    return ConvolutionShape(
        mode, n, rows, columns, -(-outputs // lanes), reduce_blocks, kernel, strides, operator.dilations, skips,
        joins=_joins(operator),
    )  # fmt: skip


def _joins(operator: Convolution) -> int:
    return len(operator.inputs) - 1


def _skips(operator: Convolution) -> tuple[int, int]:
    """Strides along the axes on which the kernel is 1 and nothing is padded: the rows or columns between are not read."""
    kernel, pads = operator.weights.shape[2:], operator.pads
    rows, columns = (
        stride if kernel[axis] == 1 and pads[axis] == pads[axis + 2] == 0 else 1
        for axis, stride in enumerate(operator.strides)
    )
    return rows, columns


def _gathered_shape(operator: Convolution, config: MachineConfig) -> ConvolutionShape:
    outputs, channels, kernel_rows, kernel_columns = operator.weights.shape
    n, _, rows, columns = operator.output.view
    run = int(kernel_columns * channels)
    vectors = -(-int(kernel_rows) * run // config.lanes)
    return ConvolutionShape(
        ConvolutionMode.IM2COL, n, rows, columns, -(-int(outputs) // config.lanes), vectors, (1, 1), (1, 1), (1, 1),
        joins=_joins(operator), run_bytes=run, runs_per_position=int(np.int64(kernel_rows)),
    )  # fmt: skip
