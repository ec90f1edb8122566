"""Elements moved: by address where that is cheap, through the MXU where lanes change; tables on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weft.codegen.context import Context
from weft.codegen.iteration import Iteration
from weft.codegen.lane_moves import LaneChunk, LaneGroup, lane_chunks, lane_groups, selections
from weft.codegen.movement_plan import Copy, copies, sources_of_bytes
from weft.codegen.nests import Nest
from weft.codegen.storage import blocked_layout
from weft.codegen.strided import NOWHERE, Chunk, Place, chunks, transfer_cycles, transfers
from weft.codegen.transfer import Loop, load, store
from weft.ir.operators import Movement
from weft_runtime.executable import REGISTER_CONSTANTS, Layout
from weft_sim.isa import TABLE_ENTRIES, Destination, Instruction, Source, Table, Vector
from weft_sim.machine import MachineConfig

__all__ = ["MovementPlan", "emit_movement", "plan_movement"]

MAX_COPIES = 1024
MAX_PRODUCTS = 4096
CHUNK_CYCLES = 40
"""What an iteration costs besides its transfers and products, roughly."""


MAX_PLANS = 512


@dataclass(frozen=True)
class MovementPlan:
    """Bytes that are moved by address, vectors that are put together in the MXU, and about how long it takes."""

    copies: tuple[Copy, ...]
    groups: tuple[LaneGroup, ...]
    chunks: tuple[LaneChunk, ...]
    cycles: int


_plans: dict[tuple[bytes, tuple[Layout, ...], Layout, MachineConfig], MovementPlan | None] = {}


def plan_movement(
    operator: Movement, config: MachineConfig, inputs: Sequence[Layout] = (), output: Layout | None = None
) -> MovementPlan | None:
    """The cheaper of both ways, for the layouts given or else for the tensors' own views; None if there is none.

    The partitioner asks for the same movement many times, with names and tensors of other candidates: plans are kept.
    """
    layouts = tuple(inputs) or tuple(blocked_layout(tensor.view, config.lanes) for tensor in operator.inputs)
    target = output or blocked_layout(operator.output.view, config.lanes)
    key = (_digest(operator), layouts, target, config)
    if key not in _plans:
        while len(_plans) >= MAX_PLANS:
            del _plans[next(iter(_plans))]
        _plans[key] = _plan(operator, config, layouts, target)
    return _plans[key]


def _digest(operator: Movement) -> bytes:
    """Of everything in the operator that a plan depends on: names and scales are not."""
    digest = hashlib.blake2b(operator.index.tobytes())
    for tensor in (*operator.inputs, operator.output):
        digest.update(repr((tensor.shape, tensor.dtype, tensor.zero_point, tensor.form.name)).encode())
    for table in operator.tables:
        digest.update(b"-" if table is None else table.tobytes())
    return digest.digest()


def _plan(operator: Movement, config: MachineConfig, layouts: Sequence[Layout], output: Layout) -> MovementPlan | None:
    lanes = config.lanes
    codes = sources_of_bytes(operator, layouts, output)
    plans: list[MovementPlan] = []
    by_address = copies(codes, np.ones(codes.size, np.bool_), len(layouts), lanes)
    if by_address is not None and len(by_address) <= MAX_COPIES:
        plans.append(MovementPlan(tuple(by_address), (), (), _copy_cycles(operator, by_address, config)))
    mixed = lane_groups(codes, _table_numbers(operator), lanes)
    if mixed is not None:
        rest, groups = mixed
        whole, parts = copies(codes, rest, len(layouts), lanes), lane_chunks(groups, config)
        small = parts is not None and sum(len(nests) for part in parts for nests in part.products) <= MAX_PRODUCTS
        if whole is not None and parts is not None and small and len(whole) <= MAX_COPIES:
            cycles = _copy_cycles(operator, whole, config) + _lane_cycles(parts, config)
            plans.append(MovementPlan(tuple(whole), tuple(groups), tuple(parts), cycles))
    return min(plans, key=lambda plan: plan.cycles, default=None)


def _table_numbers(operator: Movement) -> list[int | None]:
    """For each input the first one that goes through the same table, None for those that go through none."""
    first: dict[bytes, int] = {}
    return [
        None if table is None else first.setdefault(table.tobytes(), number)
        for number, table in enumerate(operator.tables)
    ]


def _copy_cycles(operator: Movement, found: Sequence[Copy], config: MachineConfig) -> int:
    total = 0
    for chunk in chunks(operator, found, config):
        for piece in chunk.pieces:
            loads, stores = transfers(piece, NOWHERE, NOWHERE, 0)
            total += sum(transfer_cycles(each, config) for each in (*loads, *stores))
        total += CHUNK_CYCLES
    return total


def _lane_cycles(parts: Sequence[LaneChunk], config: MachineConfig) -> int:
    total = 0
    for part in parts:
        loads = [each for _, nest in part.loads for each in _load(nest, NOWHERE, 0, config.lanes)]
        stores = [each for nest in part.stores for each in _store(nest, NOWHERE, 0, config.lanes)]
        bus = sum(transfer_cycles(each, config) for each in (*loads, *stores))
        vectors = [
            nest.run * int(np.prod([loop.count for loop in nest.loops])) for nests in part.products for nest in nests
        ]
        products = sum(max(count, config.lanes + 4) for count in vectors)
        total += max(bus, products, part.vectors) + CHUNK_CYCLES
    return total


def emit_movement(operator: Movement, context: Context) -> list[Iteration] | None:
    """Iterations that move everything, or None if the machine would need too many instructions."""
    y = context.storage[operator.output.name]
    inputs = [context.storage[tensor.name].layout for tensor in operator.inputs]
    plan = plan_movement(operator, context.config, inputs, y.layout)
    return None if plan is None else _Emitter(operator, plan, context).iterations()


class _Emitter:
    """The iterations of one movement; tables and matrices are loaded when they change."""

    def __init__(self, operator: Movement, plan: MovementPlan, context: Context) -> None:
        self.operator, self.plan, self.context = operator, plan, context
        self.lanes = context.lanes
        self.places: list[Place] = [self._place(tensor.name) for tensor in operator.inputs]
        self.target = self._place(operator.output.name)
        self._table: tuple[int | None, int] = (None, 0)
        self._weights: tuple[int, int] = (-1, 0)

    def _place(self, name: str) -> Place:
        storage = self.context.storage[name]
        return storage.register, storage.offset

    def iterations(self) -> list[Iteration]:
        by_address = [self._strided(chunk) for chunk in chunks(self.operator, self.plan.copies, self.context.config)]
        return by_address + [self._mixed(chunk) for chunk in self.plan.chunks]

    def _iteration(self, inputs: list[int]) -> Iteration:
        reads = dict.fromkeys(self.operator.inputs[number].name for number in inputs)
        return Iteration(self.operator.name, tuple(reads), (self.operator.output.name,))

    def _strided(self, chunk: Chunk) -> Iteration:
        iteration = self._iteration([piece.copy.input for piece in chunk.pieces if piece.copy.input is not None])
        slot = held = self.context.next_slot("x")
        if chunk.table is not None:
            held = self.context.next_slot("output")
            source: dict[str, int] = {"a_source": Source.SCRATCHPAD_U8, "a": slot // self.lanes}
            iteration.vectors += self._pass(source, held, chunk.size // self.lanes, chunk.table, iteration)
        for piece in chunk.pieces:
            x = NOWHERE if piece.copy.input is None else self.places[piece.copy.input]
            iteration.loads += transfers(piece, x, self.target, slot)[0]
            iteration.stores += transfers(piece, x, self.target, held)[1]
        return iteration

    def _mixed(self, chunk: LaneChunk) -> Iteration:
        group = self.plan.groups[chunk.group]
        iteration = self._iteration([number for number, _ in chunk.loads])
        if self._weights[0] != chunk.group:
            self._weights = (chunk.group, self.context.next_slot("weights"))
            offset = self.context.constants.add(group.weights.tobytes())
            iteration.constants += load(REGISTER_CONSTANTS, offset, self._weights[1], group.weights.size, [])
        slots = [self.context.next_slot(kind) for kind in ("x", "output", "accumulators")]
        for number, nest in chunk.loads:
            iteration.loads += _load(nest, self.places[number], slots[0], self.lanes)
        weights = self._weights[1] // self.lanes
        iteration.products += selections(chunk, slots[0] // self.lanes, weights, slots[2], self.lanes)
        source: dict[str, int] = {"a_source": Source.ACCUMULATOR_S32, "a": slots[2]}
        iteration.vectors += self._pass(source, slots[1], chunk.vectors, group.table, iteration)
        for nest in chunk.stores:
            iteration.stores += _store(nest, self.target, slots[1], self.lanes)
        return iteration

    def _pass(
        self, source: dict[str, int], output: int, vectors: int, table: int | None, iteration: Iteration
    ) -> list[Instruction]:
        """Bytes (whatever their type) to bytes, through the table of that input if any."""
        before: list[Instruction] = []
        if table is not None and self._table[0] != table:
            slot, parameters = self.context.next_table(), self.context.next_slot("parameters")
            entries = np.asarray(self.operator.tables[table]).astype("<f4")
            offset = self.context.constants.add(entries.tobytes())
            iteration.constants += load(REGISTER_CONSTANTS, offset, parameters, 4 * TABLE_ENTRIES, [])
            before.append(Table(slot=slot, source=parameters // self.lanes))
            self._table = (table, slot)
        looked_up = 0 if table is None else self._table[1] + 1
        return [
            *before,
            Vector(
                **source, b_source=Source.IMMEDIATE, destination=Destination.SCRATCHPAD_U8, d=output // self.lanes,
                table=looked_up, count_4=vectors, a_stride_4=1, d_stride_4=1,
            ),
        ]  # fmt: skip


def _load(nest: Nest, x: Place, slot: int, lanes: int) -> list[Instruction]:
    """Vectors from DRAM (the nest's source) to the slot (its target)."""
    loops = [Loop(loop.count, loop.source * lanes, loop.target * lanes) for loop in nest.loops]
    return load(x[0], x[1] + nest.source * lanes, slot + nest.target * lanes, nest.run * lanes, loops)


def _store(nest: Nest, y: Place, slot: int, lanes: int) -> list[Instruction]:
    """Vectors from the slot (the nest's source) to DRAM (its target)."""
    loops = [Loop(loop.count, loop.target * lanes, loop.source * lanes) for loop in nest.loops]
    return store(y[0], y[1] + nest.target * lanes, slot + nest.source * lanes, nest.run * lanes, loops)
