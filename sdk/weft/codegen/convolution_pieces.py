"""Where the pieces of a convolution lie in the scratchpad, and the loads of what is not there yet."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import count

from weft.codegen.context import Context
from weft.codegen.convolution_plan import ConvolutionPlan
from weft.codegen.transfer import Loop, load
from weft.codegen.window import Window, clip_window, load_window
from weft.schedule.convolution import (
    ConvolutionMode,
    all_input_pieces,
    all_weight_pieces,
    follows_output,
    input_bytes,
    weight_bytes,
)
from weft.schedule.steps import Span, Step
from weft_runtime.executable import REGISTER_CONSTANTS
from weft_sim.isa import PARAMETER_VECTORS, Instruction

__all__ = ["Pieces"]


class Pieces:
    """The rings of one convolution. Every method answers where a step's data lie, and with which loads they come."""

    def __init__(self, plan: ConvolutionPlan, context: Context) -> None:
        self.plan = plan
        self.context = context
        self._loaded: dict[Hashable, set[tuple[int, int]]] = {}
        self._boxes = count()
        areas, config = context.areas, context.config
        self._x, self._weights, self._parameters, self._output, self._accumulators = (
            context.ring(kind) for kind in ("x", "weights", "parameters", "output", "accumulators")
        )
        self._x.cover(areas.x[0], plan.tile.boundary)
        self._weights.cover(plan.tile.boundary, areas.output[0])
        self._output.cover(areas.output[0], areas.output[0] + 2 * areas.output_bytes)
        self._parameters.cover(areas.parameters[0], areas.parameters[0] + 2 * areas.parameter_bytes)
        self._accumulators.cover(areas.accumulators[0], areas.accumulators[0] + 2 * areas.accumulator_rows)
        shape, tile, lanes = plan.shape, plan.tile, config.lanes
        self._input_unit = piece_unit(input_bytes(shape, tile, lanes), all_input_pieces(shape, tile), self._x.size)
        group = weight_bytes(shape, tile, lanes) // tile.out_blocks * tile.weight_blocks
        self._weight_unit = piece_unit(group, all_weight_pieces(shape, tile), self._weights.size)
        self._accumulator_unit = min(config.accumulator_bank_rows, areas.accumulator_rows)

    def accumulators(self, step: Step) -> int:
        """Rows for a new box, in banks of its own: the VPU reads one box while the MXU adds to another."""
        rows = step.rows * step.columns * step.blocks
        return self._accumulators.take(next(self._boxes), rows, self._accumulator_unit)

    def output(self, step: Step) -> int:
        """Bytes for a new box."""
        return self._output.take(next(self._boxes), step.rows * step.columns * step.blocks * self.context.lanes)

    def parameters(self, step: Step) -> tuple[int, list[Instruction]]:
        """Records from the box's first block on; those of all blocks come together where they fit."""
        record = PARAMETER_VECTORS * self.context.lanes
        span = Span(0, self.plan.shape.out_blocks)
        if span.count * record > self.context.areas.parameter_bytes:
            span = Span(step.block, step.blocks)
        place = self._parameters.find(span)
        if place is not None:
            return place + (step.block - span.first) * record, []
        place = self._parameters.take(span, span.count * record)
        offset = self.plan.parameter_offset + span.first * record
        loads = load(REGISTER_CONSTANTS, offset, place, span.count * record, [])
        return place + (step.block - span.first) * record, loads

    def table(self, size: int) -> int:
        """Bytes for a table, among the parameters."""
        return self._parameters.take("table", size)

    def weights(self, step: Step) -> tuple[int, list[Instruction]]:
        """The step's weights [block][input block][tap] inside their group's piece."""
        group, reduces = step.weight_group, step.reduce_group
        size = self._weight_bytes(group.first, group.count, reduces.count)
        key = ("weights", group, reduces)
        place = self._weights.find(key)
        if place is None:
            place = self._weights.take(key, size, self._weight_unit)
            self._loaded[key] = set()
        start = place + self._weight_bytes(group.first, step.block - group.first, reduces.count)
        loads: list[Instruction] = []
        for first, blocks in self._missing(key, step):
            target = place + self._weight_bytes(group.first, first - group.first, reduces.count)
            loads += self._load_weights(step, first, blocks, target)
        return start + self._inside(step), loads

    def _missing(self, key: Hashable, step: Step) -> Iterator[tuple[int, int]]:
        """Runs (first, count) of the step's blocks whose part of the reduction has not been loaded; they are then."""
        loaded, first = self._loaded[key], step.block
        for block in range(step.block, step.block + step.blocks + 1):
            if block == step.block + step.blocks or (block, step.reduce) in loaded:
                if block > first:
                    yield first, block - first
                first = block + 1
            else:
                loaded.add((block, step.reduce))

    def _weight_bytes(self, first: int, blocks: int, reduces: int) -> int:
        """Bytes of some output blocks' weights for `reduces` input blocks."""
        offsets, shape = self.plan.block_offsets, self.plan.shape
        size = offsets[first + blocks] - offsets[first]
        return size if follows_output(shape) else size // shape.reduce_blocks * reduces

    def _inside(self, step: Step) -> int:
        """Bytes from a block's first input block of the group to the step's."""
        return self._weight_bytes(step.block, 1, step.reduce - step.reduce_group.first) if step.reduce else 0

    def _load_weights(self, step: Step, first: int, blocks: int, target: int) -> list[Instruction]:
        shape, offsets = self.plan.shape, self.plan.block_offsets
        offset = self.plan.weight_offset + offsets[first]
        if follows_output(shape):
            return load(REGISTER_CONSTANTS, offset, target, offsets[first + blocks] - offsets[first], [])
        block = offsets[1]
        run = self._weight_bytes(first, 1, step.reduces)
        offset += block // shape.reduce_blocks * step.reduce
        stride = self._weight_bytes(first, 1, step.reduce_group.count)
        return load(REGISTER_CONSTANTS, offset, target + self._inside(step), run, [Loop(blocks, block, stride)])

    def input(self, step: Step) -> tuple[int, list[Instruction]]:
        """The group's input piece; loads of the step's part of it."""
        plan, lanes = self.plan, self.context.lanes
        group = plan.input_group(step)
        key = ("x", step.place, group)
        place = self._x.find(key)
        if place is None:
            place = self._x.take(key, self._input_bytes(step), self._input_unit)
            self._loaded[key] = set()
        part = (step.reduce, 0)
        if part in self._loaded[key] or (0, 1) in self._loaded[key]:
            return place, []
        if plan.shape.mode == ConvolutionMode.IM2COL:
            self._loaded[key].add((0, 1))  # windows are whole: there are no parts
            return place, gather_windows(plan, step, place, lanes)
        self._loaded[key].add(part)
        return place, self._load_input(step, place, group)

    def _input_bytes(self, step: Step) -> int:
        plan = self.plan
        if plan.shape.mode == ConvolutionMode.IM2COL:
            return step.rows * step.columns * plan.shape.reduce_blocks * self.context.lanes
        rows, columns = plan.input_extents(step)
        return rows * columns * len(plan.input_group(step)) * self.context.lanes

    def _load_input(self, step: Step, place: int, group: range) -> list[Instruction]:
        plan, lanes = self.plan, self.context.lanes
        shape, x = plan.shape, plan.x
        blocks = group if follows_output(shape) else range(step.reduce, step.reduce + step.reduces)
        strides = plan.input_strides(step)
        rows, columns = (self._window(axis, step) for axis in (0, 1))
        place += (blocks.start - group.start) * strides.block * lanes
        return load_window(
            plan.x_storage, x, step.image, blocks, rows, columns, strides, place,
            plan.operator.inputs[0].zero_byte, lanes, shape.skips,
        )  # fmt: skip

    def _window(self, axis: int, step: Step) -> Window:
        shape = self.plan.shape
        first, outputs = ((step.row, step.rows), (step.column, step.columns))[axis]
        if shape.skips[axis] > 1:
            return Window(0, first * shape.skips[axis], outputs, 0)
        size = (self.plan.x.rows, self.plan.x.columns)[axis]
        kernel, stride, dilation = shape.kernel[axis], shape.strides[axis], shape.dilations[axis]
        return clip_window(first, outputs, kernel, stride, dilation, self.plan.pads[axis], size)


def piece_unit(size: int, pieces: int, room: int) -> int:
    """Where pieces may begin: anywhere if all fit, else at multiples of the largest, so that as many as possible are
    there at a time whatever the order of smaller ones."""
    return 1 if size * pieces <= room else size


def gather_windows(plan: ConvolutionPlan, step: Step, place: int, lanes: int) -> list[Instruction]:
    """One record of whole vectors per output position: the kernel's rows, each one run of the host-padded image."""
    layout = plan.x_storage.layout
    _, channels, height, width = layout.view
    padded_width = width + layout.pads[1] + layout.pads[3]
    padded_height = height + layout.pads[0] + layout.pads[2]
    row, record = padded_width * channels, plan.shape.reduce_blocks * lanes
    stride_y, stride_x = plan.operator.strides
    kernel_rows, kernel_columns = plan.operator.weights.shape[2:]
    run = kernel_columns * channels
    offset = plan.x_storage.offset + step.image * padded_height * row
    offset += step.row * stride_y * row + step.column * stride_x * channels
    loops = [
        Loop(step.rows, stride_y * row, step.columns * record),
        Loop(step.columns, stride_x * channels, record),
        Loop(kernel_rows, plan.operator.dilations[0] * row, run),
    ]
    return load(plan.x_storage.register, offset, place, run, loops)
