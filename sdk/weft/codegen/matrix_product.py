"""Batched products of two activations: the second operand's tiles are the MXU's weights, by row or by column."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from weft.codegen.context import Context
from weft.codegen.epilogue import output_clamp
from weft.codegen.iteration import Iteration
from weft.codegen.storage import Storage, blocked_layout
from weft.codegen.transfer import Loop, load, store
from weft.ir.operators import Form, Tensor
from weft.ir.products import MatrixProduct, Operand, lane_axis
from weft.schedule.choice import ANALYTIC, TileChoices
from weft.schedule.product import ProductShape, ProductTile, choose_product_tile
from weft_runtime.executable import REGISTER_CONSTANTS
from weft_runtime.layout import pack
from weft_sim.isa import Instruction, Matmul, Source, Vector, WeightOrder
from weft_sim.machine import MachineConfig

__all__ = ["emit_matrix_product", "product_tile"]


@dataclass(frozen=True)
class _Axes:
    """Byte strides in DRAM of one matrix operand: outer and inner batch, rows, columns. The axis in the lanes (rows or
    columns) has the stride of its blocks."""

    outer: int
    inner: int
    rows: int
    columns: int


@dataclass(frozen=True)
class _Side:
    """An operand in DRAM. `by_column`: its rows, not its columns, lie in the lanes."""

    storage: Storage
    axes: _Axes
    name: str
    by_column: bool


@dataclass(frozen=True)
class _Step:
    """One iteration's part of the product: batches of one outer batch, rows, blocks of n and k; counts clipped."""

    outer: int
    inner: int
    batches: int
    row: int
    rows: int
    n: int
    n_blocks: int
    k: int
    k_blocks: int
    first: bool
    last: bool


@dataclass(frozen=True)
class _Plan:
    operator: MatrixProduct
    shape: ProductShape
    tile: ProductTile
    a: _Side
    b: _Side
    y: _Side
    depth: int
    columns: int


def product_tile(operator: MatrixProduct, config: MachineConfig, tiles: TileChoices = ANALYTIC) -> ProductTile | None:
    """The tile that the operator would get, or None if none fits the machine."""
    shape = _shape(operator, config.lanes)
    chosen = tiles.tile(shape, operator)
    return chosen if isinstance(chosen, ProductTile) else choose_product_tile(shape, config)


def emit_matrix_product(operator: MatrixProduct, tile: ProductTile, context: Context) -> list[Iteration]:
    """The product's iterations; operand tiles are loaded only when they change."""
    plan = _plan(operator, tile, context)
    reads = tuple(side.name for side in (plan.a, plan.b) if side.name)
    iterations: list[Iteration] = []
    loaded: dict[str, tuple[tuple[int, ...], int]] = {}
    accumulator = 0
    for step in _steps(plan.shape, tile):
        iteration = Iteration(operator.name, reads)
        for kind, key, loads in (
            ("x", _key(plan.shape.repeats_a, step, step.row, step.k), _load_rows),
            ("weights", _key(plan.shape.repeats_b, step, step.n, step.k), _load_weights),
        ):
            if loaded.get(kind, ((), 0))[0] != key:
                slot = context.next_slot(kind)
                iteration.loads += loads(plan, step, slot, context.lanes)
                loaded[kind] = (key, slot)
        if step.first:
            accumulator = context.next_slot("accumulators")
        iteration.products += _products(plan, step, loaded["x"][1], loaded["weights"][1], accumulator, context.lanes)
        if step.last:
            output = context.next_slot("output")
            iteration.vectors.append(_requantize(plan, step, accumulator, output // context.lanes))
            iteration.stores += _store(plan, step, output, context.lanes)
            iteration.writes = (operator.output.name,)
        iterations.append(iteration)
    return iterations


def _key(repeats: bool, step: _Step, *place: int) -> tuple[int, ...]:
    return (step.outer, -1 if repeats else step.inner, *place)


def _plan(operator: MatrixProduct, tile: ProductTile, context: Context) -> _Plan:
    a, b = (_side(operand, context) for operand in operator.operands)
    y = Operand(operator.output, _inverse(operator.output_axes))
    shape = _shape(operator, context.lanes)
    return _Plan(operator, shape, tile, a, b, _side(y, context), operator.a.shape[-1], y.shape[-1])


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axes.index(position) for position in range(len(axes)))


def _shape(operator: MatrixProduct, lanes: int) -> ProductShape:
    shape = Operand(operator.output, _inverse(operator.output_axes)).shape
    batches = (1, 1, *shape[:-2])[-2:]
    repeats = [(1, *operand.shape[:-2])[-1] == 1 and batches[1] > 1 for operand in operator.operands]
    depth = operator.a.shape[-1]
    return ProductShape(
        batches[0], batches[1], shape[-2], -(-depth // lanes), -(-shape[-1] // lanes), repeats[0], repeats[1]
    )


def _side(operand: Operand, context: Context) -> _Side:
    tensor = operand.tensor
    if operand.constant is None:
        storage, name = context.storage[tensor.name], tensor.name
    else:
        layout = blocked_layout(tensor.view, context.lanes)
        offset = context.constants.add(pack(operand.constant, layout).tobytes())
        storage, name = Storage(REGISTER_CONSTANTS, offset, layout), ""
    strides = _strides(tensor, context.lanes)
    ordered = [strides[axis] for axis in operand.axes]
    outer, inner = (0, 0, *(0 if operand.shape[i] == 1 else ordered[i] for i in range(len(ordered) - 2)))[-2:]
    by_column = operand.axes[-2] == lane_axis(tensor, tensor.form)
    return _Side(storage, _Axes(outer, inner, ordered[-2], ordered[-1]), name, by_column)


def _strides(tensor: Tensor, lanes: int) -> list[int]:
    """Bytes between neighbours along each axis of a stored tensor; along the axis in the lanes, between blocks."""
    _, c, h, w = tensor.view
    blocks = -(-c // lanes)
    if tensor.form == Form.IMAGE or len(tensor.shape) == 2:
        image, column = blocks * h * w * lanes, lanes
        return {2: [image, h * w * lanes], 3: [image, h * w * lanes, column]}.get(
            len(tensor.shape), [image, h * w * lanes, w * lanes, column]
        )
    strides = [lanes]
    row = blocks * lanes
    for extent in reversed(tensor.shape[:-1]):
        strides.insert(0, row)
        row *= extent
    return strides


def _steps(shape: ProductShape, tile: ProductTile) -> Iterator[_Step]:
    places = itertools.product(
        range(shape.outer), range(0, shape.inner, tile.batches), range(0, shape.rows, tile.rows),
        range(0, shape.n_blocks, tile.n_blocks), range(0, shape.k_blocks, tile.k_blocks),
    )  # fmt: skip
    for outer, inner, row, n, k in places:
        yield _Step(
            outer, inner, min(tile.batches, shape.inner - inner), row, min(tile.rows, shape.rows - row),
            n, min(tile.n_blocks, shape.n_blocks - n), k, min(tile.k_blocks, shape.k_blocks - k),
            k == 0, k + tile.k_blocks >= shape.k_blocks,
        )  # fmt: skip


def _load_rows(plan: _Plan, step: _Step, slot: int, lanes: int) -> list[Instruction]:
    """a: [batch][row][k block] in the slot."""
    axes, batches = plan.a.axes, 1 if plan.shape.repeats_a else step.batches
    offset = _offset(plan.a, plan.shape.repeats_a, step) + step.row * axes.rows + step.k * axes.columns
    return load(
        plan.a.storage.register, offset, slot, lanes,
        [
            Loop(batches, axes.inner, step.rows * step.k_blocks * lanes),
            Loop(step.rows, axes.rows, step.k_blocks * lanes),
            Loop(step.k_blocks, axes.columns, lanes),
        ],
    )  # fmt: skip


def _load_weights(plan: _Plan, step: _Step, slot: int, lanes: int) -> list[Instruction]:
    """b: [batch][k][n block] in the slot, or where k lies in the lanes [batch][n][k block]."""
    axes, batches = plan.b.axes, 1 if plan.shape.repeats_b else step.batches
    offset = _offset(plan.b, plan.shape.repeats_b, step)
    if plan.b.by_column:
        count, across = _extent(plan.columns, step.n, step.n_blocks, lanes), axes.columns
        blocks, along = step.k_blocks, axes.rows
        offset += step.n * lanes * across + step.k * along
    else:
        count, across = _extent(plan.depth, step.k, step.k_blocks, lanes), axes.rows
        blocks, along = step.n_blocks, axes.columns
        offset += step.k * lanes * across + step.n * along
    size = step.k_blocks * step.n_blocks * lanes * lanes
    return load(
        plan.b.storage.register, offset, slot, lanes,
        [Loop(batches, axes.inner, size), Loop(count, across, blocks * lanes), Loop(blocks, along, lanes)],
    )  # fmt: skip


def _offset(side: _Side, repeats: bool, step: _Step) -> int:
    return side.storage.offset + step.outer * side.axes.outer + (0 if repeats else step.inner * side.axes.inner)


def _extent(size: int, block: int, blocks: int, lanes: int) -> int:
    """Elements of an axis in `blocks` blocks from `block` on."""
    return min(blocks * lanes, size - block * lanes)


def _products(plan: _Plan, step: _Step, x: int, weights: int, accumulator: int, lanes: int) -> list[Instruction]:
    """One MATMUL for whole blocks, and one each for partly filled last blocks of k and (by column) of n: what lies
    behind these is not the operand's."""
    by_column = plan.b.by_column
    depth = _extent(plan.depth, step.k, step.k_blocks, lanes)
    columns = _extent(plan.columns, step.n, step.n_blocks, lanes) if by_column else step.n_blocks * lanes
    between = (lanes * step.k_blocks, 1) if by_column else (1, lanes * step.n_blocks)
    batch = step.k_blocks * step.n_blocks * lanes
    result: list[Instruction] = []
    for (n, n_blocks, n_lanes), (k, k_blocks, k_lanes) in itertools.product(
        _parts(columns, lanes), _parts(depth, lanes)
    ):
        result.append(
            Matmul(
                **_operands(plan.operator), weight_order=WeightOrder.COLUMNS if by_column else WeightOrder.ROWS,
                input=x // lanes + k, weight=weights // lanes + n * between[0] + k * between[1],
                accumulator=accumulator + n * step.rows, accumulate=int(not step.first or k > 0), reduce_mask=0b100,
                input_lanes=k_lanes, weight_rows=n_lanes if by_column else k_lanes,
                weight_vector_stride=step.k_blocks if by_column else step.n_blocks,
                outer_count_0=step.batches, outer_accumulator_stride_0=step.n_blocks * step.rows,
                outer_input_stride_0=0 if plan.shape.repeats_a else step.rows * step.k_blocks,
                outer_weight_stride_0=0 if plan.shape.repeats_b else batch,
                outer_count_1=n_blocks, outer_weight_stride_1=between[0], outer_accumulator_stride_1=step.rows,
                outer_count_2=k_blocks, outer_weight_stride_2=between[1], outer_input_stride_2=1,
                inner_count_2=step.rows, inner_input_stride_2=step.k_blocks, inner_accumulator_stride_2=1,
            )
        )  # fmt: skip
    return result


def _parts(size: int, lanes: int) -> list[tuple[int, int, int]]:
    """(first block, blocks, lanes of each) of the whole blocks, then of the partly filled one."""
    whole, rest = divmod(size, lanes)
    return ([(0, whole, lanes)] if whole else []) + ([(whole, 1, rest)] if rest else [])


def _operands(operator: MatrixProduct) -> dict[str, int]:
    a, b = (operand.tensor for operand in operator.operands)
    return {
        "input_signed": int(a.dtype == "int8"), "weight_signed": int(b.dtype == "int8"),
        "input_zero": a.zero_point, "weight_zero": b.zero_point,
    }  # fmt: skip


def _requantize(plan: _Plan, step: _Step, accumulator: int, output: int) -> Instruction:
    """From [batch][n block][row] rows to [batch][row][n block] vectors."""
    operator, size = plan.operator, step.rows * step.n_blocks
    return Vector(
        **output_clamp(operator.output, operator.low, operator.high),
        a_source=Source.ACCUMULATOR_S32, b_source=Source.IMMEDIATE, a_scale=float(operator.multiplier),
        a=accumulator, d=output,
        count_2=step.batches, a_stride_2=size, d_stride_2=size,
        count_3=step.n_blocks, a_stride_3=step.rows, d_stride_3=1,
        count_4=step.rows, a_stride_4=1, d_stride_4=step.n_blocks,
    )  # fmt: skip


def _store(plan: _Plan, step: _Step, output: int, lanes: int) -> list[Instruction]:
    axes = plan.y.axes
    offset = _offset(plan.y, False, step) + step.row * axes.rows + step.n * axes.columns
    return store(
        plan.y.storage.register, offset, output, lanes,
        [
            Loop(step.batches, axes.inner, step.rows * step.n_blocks * lanes),
            Loop(step.rows, axes.rows, step.n_blocks * lanes),
            Loop(step.n_blocks, axes.columns, lanes),
        ],
    )  # fmt: skip
