"""The instructions of a chain, tile by tile and member by member."""

from __future__ import annotations

from collections.abc import Iterator

from weft.codegen.chain.convolution import dense_product, requantize
from weft.codegen.chain.layout import ChainPlan, Resident
from weft.codegen.chain.members import Member
from weft.codegen.chain.pieces import Cut, Piece, pieces
from weft.codegen.chain.transfers import border, gather, input_iterations, store_piece
from weft.codegen.chain.vectors import average, joined, largest
from weft.codegen.context import Context
from weft.codegen.depthwise import depthwise_products
from weft.codegen.iteration import Iteration
from weft.codegen.packing import dense_weights, depthwise_weights, im2col_weights, parameter_records
from weft.codegen.storage import Storage
from weft.codegen.transfer import load
from weft.codegen.window import InputStrides
from weft.ir.operators import AveragePool, Convolution, Elementwise, MaxPool, Tensor
from weft.schedule.convolution import ConvolutionMode
from weft_runtime.executable import REGISTER_CONSTANTS
from weft_sim.isa import PARAMETER_VECTORS, Instruction

__all__ = ["emit_chain"]

VECTORS_AT_ONCE = 512
"""Operand vectors that a pass without products reads: the next member can begin behind the first pass."""
POOLS_PER_TILE = 3
"""Passes of a pooling over a tile: so few that they wait in the VPU's queue while the next tile's products go on."""
AVERAGED_BLOCKS = 64
AVERAGE_ROWS = 8
"""Accumulator rows that the average of one block needs."""


def emit_chain(plan: ChainPlan, context: Context) -> list[Iteration]:
    """The iterations of all members, tile by tile, in sequential order.

    Weights and inputs come as `constants`, which the program order hoists as far as their room allows. What fills
    borders stands behind the products, so that it never holds them back.
    """
    return list(_Emitter(plan, context).iterations())


class _Emitter:
    """Walks over the tiles; keeps what is where in the accumulators, in the ring and among the weights."""

    def __init__(self, plan: ChainPlan, context: Context) -> None:
        self.plan, self.context, self.lanes = plan, context, context.lanes
        self._accumulator = 0
        self._ring = plan.ring[0]
        self._loaded: set[tuple[str, int]] = set()
        self._constants: dict[str, tuple[int, int]] = {}
        self._targets = {each.output.name: self._stored_at(each.output) for each in plan.members}

    def iterations(self) -> Iterator[Iteration]:
        members = [each for each in self.plan.members if not each.parts]
        for tile in range(len(self.plan.spans)):
            ready: set[str] = set()
            for member in members:
                yield from self._inputs(member, tile, ready)
                yield from self._member(member, tile)

    def _fill(self, member: Member, tile: int, piece: Piece) -> list[Instruction]:
        """The borders of the piece's channel blocks, with the first piece of them."""
        if piece.row > self.plan.rows(member.output, tile).start or piece.column:
            return []
        name = self.plan.home(member.output.name)
        held = self.plan.resident(member.output, tile, self.lanes)
        blocks = range(piece.block, piece.block + piece.blocks)
        return border(self.plan.buffers[name], held, self.plan.spans[tile][name], blocks, self.lanes)

    def _inputs(self, member: Member, tile: int, ready: set[str]) -> Iterator[Iteration]:
        """Loads of what the operator reads and no member makes."""
        for read in member.reads:
            name = read.tensor.name
            if name in self.plan.inputs and name not in ready:
                ready.add(name)
                held, span = self.plan.resident(read.tensor, tile, self.lanes), self.plan.spans[tile][name]
                storage = self.context.storage[name]
                yield from input_iterations(member.name, self.plan.buffers[name], held, span, storage, self.lanes)

    def _member(self, member: Member, tile: int) -> Iterator[Iteration]:
        operator = member.operator
        y = self.plan.resident(operator.output, tile, self.lanes)
        rows = self.plan.rows(operator.output, tile)
        if not rows:
            return
        if isinstance(operator, Convolution):
            yield from self._convolution(member, tile, rows, y)
            return
        held = [self.plan.resident(read.tensor, tile, self.lanes) for read in member.reads]
        for piece in pieces(
            member.blocks, rows, operator.output.view[3], self._cut(member, len(rows)),
            by_position=isinstance(operator, Elementwise),
        ):  # fmt: skip
            iteration = Iteration(operator.name)
            match operator:
                case Elementwise():
                    iteration.vectors += joined(operator, piece, held[0], held[-1], y, self.lanes)
                case MaxPool():
                    iteration.vectors += largest(operator, piece, held[0], y, self.lanes)
                case AveragePool():
                    accumulator = self._accumulators(piece.blocks * AVERAGE_ROWS)
                    iteration.vectors += average(operator, piece, held[0], y, accumulator, self.lanes)
            iteration.stores += [*self._fill(member, tile, piece), *self._stores(operator.output, piece, y)]
            yield iteration

    def _cut(self, member: Member, rows: int) -> Cut:
        """Pieces of a pass without products."""
        blocks, width = member.blocks, member.output.view[3]
        match member.operator:
            case AveragePool():
                return Cut(min(blocks, AVERAGED_BLOCKS), 1, 1)
            case MaxPool() if len(self.plan.spans) > 1:
                return Cut(-(-blocks // POOLS_PER_TILE), rows, width)
            case MaxPool(kernel=kernel):
                vectors = width * kernel[0] * kernel[1]
                return Cut(1, min(rows, max(1, VECTORS_AT_ONCE // vectors)), width)
            case _:
                return Cut(blocks, min(rows, max(1, VECTORS_AT_ONCE // (blocks * width))), width)

    def _convolution(self, member: Member, tile: int, rows: range, y: Resident) -> Iterator[Iteration]:
        plan, lanes = self.plan, self.lanes
        operator, gathers, reduces = member.operator, member.gathers, member.reduces
        assert isinstance(operator, Convolution)
        weights = parameters = windows = -1
        last: Piece | None = None
        for piece in pieces(
            member.blocks, rows, operator.output.view[3], plan.cuts[operator.name], by_position=gathers
        ):
            iteration = Iteration(operator.name)
            if last is None or last.block != piece.block:
                weights, parameters = self._weights(member, piece, iteration)
            if gathers and (last is None or (last.row, last.column) != (piece.row, piece.column)):
                windows = self._windows(member, piece, iteration)
            last = piece
            accumulator = self._accumulators(piece.blocks * piece.rows * piece.columns)
            if gathers:
                strides = InputStrides(1, piece.columns * reduces, reduces)
                iteration.products.append(
                    dense_product(
                        operator,
                        piece,
                        windows // lanes,
                        strides,
                        reduces,
                        (1, 1),
                        weights // lanes,
                        accumulator,
                        lanes,
                    )
                )
            else:
                iteration.products += self._products(member, piece, tile, weights, accumulator)
            iteration.vectors.append(requantize(operator, piece, accumulator, y, parameters // lanes, lanes))
            iteration.stores += [*self._fill(member, tile, piece), *self._stores(operator.output, piece, y)]
            yield iteration

    def _products(self, member: Member, piece: Piece, tile: int, weights: int, accumulator: int) -> list[Instruction]:
        operator, lanes = member.operator, self.lanes
        assert isinstance(operator, Convolution)
        x = self.plan.resident(operator.inputs[0], tile, lanes)
        depthwise = member.mode == ConvolutionMode.DEPTHWISE
        row = piece.row * operator.strides[0] - operator.pads[0]
        column = piece.column * operator.strides[1] - operator.pads[1]
        start = x.vector(lanes, piece.block if depthwise else 0, row, column)
        if depthwise:
            steps = operator.strides
            return depthwise_products(operator, piece, steps, start, x.strides, weights // lanes, accumulator, lanes)
        taps = (int(operator.weights.shape[2]), int(operator.weights.shape[3]))
        return [
            dense_product(operator, piece, start, x.strides, member.reduces, taps, weights // lanes, accumulator, lanes)
        ]

    def _weights(self, member: Member, piece: Piece, iteration: Iteration) -> tuple[int, int]:
        """Addresses of the piece's weights and parameter records; loads them if they are not there."""
        size, record = member.weight_bytes, PARAMETER_VECTORS * self.lanes
        if member.name in self.plan.weights:
            base = self.plan.weights[member.name]
            weights = base + piece.block * size
            parameters = base + member.blocks * size + piece.block * record
        else:
            weights = self._room(piece.blocks * (size + record))
            parameters = weights + piece.blocks * size
        key = (member.name, piece.block)
        if member.name in self.plan.weights and key in self._loaded:
            return weights, parameters
        self._loaded.add(key)
        offsets = self._packed(member)
        for offset, place, each in ((offsets[0], weights, size), (offsets[1], parameters, record)):
            count = piece.blocks * each
            iteration.constants += load(REGISTER_CONSTANTS, offset + piece.block * each, place, count, [])
        return weights, parameters

    def _packed(self, member: Member) -> tuple[int, int]:
        """Offsets of weights and of parameter records in the constants."""
        operator = member.operator
        assert isinstance(operator, Convolution) and member.mode is not None
        if operator.name not in self._constants:
            pack = {
                ConvolutionMode.DENSE: dense_weights,
                ConvolutionMode.IM2COL: im2col_weights,
                ConvolutionMode.DEPTHWISE: depthwise_weights,
            }[member.mode]
            constants = self.context.constants
            packed = (constants.add(pack(operator, self.lanes)), constants.add(parameter_records(operator, self.lanes)))
            self._constants[operator.name] = packed
        return self._constants[operator.name]

    def _windows(self, member: Member, piece: Piece, iteration: Iteration) -> int:
        size = piece.rows * piece.columns * member.reduces * self.lanes
        place = self._room(size)
        storage = self.context.raw_inputs[member.operator.inputs[0].name]
        iteration.constants += gather(member, piece, storage, place, self.lanes)
        return place

    def _room(self, size: int) -> int:
        """The next bytes of the ring."""
        if self._ring + size > self.plan.ring[1]:
            self._ring = self.plan.ring[0]
        place = self._ring
        self._ring += size
        return place

    def _accumulators(self, rows: int) -> int:
        """The next rows of the accumulators."""
        if self._accumulator + rows > self.context.config.accumulator_rows:
            self._accumulator = 0
        first = self._accumulator
        self._accumulator += rows
        return first

    def _stored_at(self, tensor: Tensor) -> list[tuple[Storage, int]]:
        """Where in DRAM the tensor goes, by itself and as a part of what it lies in, with its first channel block."""
        plane = tensor.view[2] * tensor.view[3] * self.lanes
        found: dict[tuple[int, int], tuple[Storage, int]] = {}
        for name in self.plan.stored:
            own = self.plan.places.get(tensor.name)
            other = self.plan.places.get(name)
            if name == tensor.name:
                block = 0
            elif own is not None and name == own.whole:
                block = own.offset // plane
            elif own is not None and other is not None and own.whole == other.whole:
                continue  # a piece of the whole is stored by itself and as the whole
            else:
                continue
            storage = self.context.storage[name]
            found[storage.register, storage.offset + block * plane] = (storage, block)
        return list(found.values())

    def _stores(self, tensor: Tensor, piece: Piece, held: Resident) -> list[Instruction]:
        targets = self._targets[tensor.name]
        return [each for storage, block in targets for each in store_piece(piece, held, storage, block, self.context)]
