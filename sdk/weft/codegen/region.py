"""One region: storage for its tensors, iterations of its operators, one ordered and synchronized program."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from weft.codegen.affine import affine_tile, emit_affine
from weft.codegen.chain.choose import ChainCosts, choose_chains
from weft.codegen.chain.emit import emit_chain
from weft.codegen.chain.layout import ChainPlan
from weft.codegen.context import ALIGNMENT, Context
from weft.codegen.convolution import emit_convolution
from weft.codegen.convolution_plan import gathers_windows, plan_convolution
from weft.codegen.elementwise import emit_elementwise, emit_table
from weft.codegen.fusion import fuse_epilogues
from weft.codegen.instance_norm import emit_instance_norm, instance_norm_blocks
from weft.codegen.interpolation import emit_interpolation, interpolation_tile
from weft.codegen.iteration import Iteration, interleave, one_by_one
from weft.codegen.joins import joined_parts, place_parts
from weft.codegen.layer_norm import emit_layer_norm, layer_norm_rows
from weft.codegen.matrix_product import emit_matrix_product, product_tile
from weft.codegen.movement import emit_movement
from weft.codegen.overlap import Halves, alternate, can_overlap, in_side_half, rows_first, urgent_first
from weft.codegen.pooling import emit_average_pool, emit_max_pool, pool_tile
from weft.codegen.softmax import emit_softmax, softmax_tile
from weft.codegen.storage import Storage, blocked_layout
from weft.codegen.transposed import emit_transposed
from weft.codegen.workspace import Lifetime, plan_workspace
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
    Tensor,
    View,
    same_bytes,
)
from weft.ir.products import MatrixProduct
from weft.ir.rows import LayerNorm, Softmax
from weft.ir.transposed import TransposedConvolution
from weft.schedule.areas import Areas
from weft.schedule.choice import ANALYTIC, TileChoices
from weft.schedule.options import ScheduleOptions
from weft_runtime.executable import REGISTER_IO, REGISTER_WORKSPACE, Layout, TensorBinding
from weft_sim.accesses import AccessTable
from weft_sim.isa import Halt, Instruction
from weft_sim.machine import MachineConfig
from weft_sim.synchronize import ANY_DRAM, synchronize

OVERLAPPED = 3
"""Operators that may be at work at the same time where tiles of several alternate."""

__all__ = ["NO_CHAINS", "InputLayouts", "LoweredRegion", "Schedule", "chosen_chains", "input_layouts", "lower_region"]


@dataclass(frozen=True)
class Schedule:
    """How a region is scheduled: which mechanisms are on, who may choose tiles, and what is known of the costs of
    chains."""

    options: ScheduleOptions = field(default_factory=ScheduleOptions)
    tiles: TileChoices = ANALYTIC
    costs: ChainCosts = field(default_factory=ChainCosts)


DEFAULT = Schedule()
NO_CHAINS: Mapping[int, ChainPlan] = MappingProxyType({})


@dataclass(frozen=True)
class LoweredRegion:
    """A region's program before packaging. `sources` names the ONNX node of each instruction, `chains` the
    operators of each chain."""

    instructions: tuple[Instruction, ...]
    sources: tuple[str, ...]
    constants: bytes
    workspace_bytes: int
    io_bytes: int
    inputs: tuple[TensorBinding, ...]
    outputs: tuple[TensorBinding, ...]
    chains: tuple[tuple[str, ...], ...]


def lower_region(
    operators: Sequence[Operator], outputs: set[str], config: MachineConfig, schedule: Schedule = DEFAULT,
    blocked: frozenset[str] = frozenset(), chains: Mapping[int, ChainPlan] | None = None,
) -> LoweredRegion:  # fmt: skip
    """Lowers operators in topological order; `outputs` names the tensors that are read outside, `blocked` inputs that
    come in channel blocks, as from another operator, also where a first layer would rather gather windows. `chains` are
    those of `chosen_chains` for the same arguments, where the caller has asked for them already.

    Raises CompileError if an operator does not fit the machine (the partitioner checks before).
    """
    beside = schedule.options.side_by_side and can_overlap(operators, config)
    if chains is None:
        chains = NO_CHAINS if beside else chosen_chains(operators, outputs, config, schedule, blocked)
    if schedule.options.fusion:
        machine = Halves.of(config).config if beside else config
        members = {member.name for chain in chains.values() for member in chain.members}
        operators = fuse_epilogues(operators, outputs, machine, members)
    if beside:
        operators = urgent_first(operators)
    by_first = {chain.members[0].name: chain for chain in chains.values()}
    chains = {index: by_first[each.name] for index, each in enumerate(operators) if each.name in by_first}
    storage = _RegionStorage(operators, outputs, config, blocked, OVERLAPPED if beside else 0, chains)
    table = AccessTable(config, ANY_DRAM)
    if beside:
        context, order = _emit_beside(operators, storage, table, schedule)
    else:
        context = Context(
            config, Areas.of(config), storage=storage.blocked, raw_inputs=storage.raw, tiles=schedule.tiles
        )
        iterations = _emit_all(operators, chains, context)
        order = _ordered(iterations, table, storage.registers(len(context.constants.data)), schedule.options)
    order.append((Halt(), ""))
    registers = storage.registers(len(context.constants.data))
    plain = [instruction for instruction, _ in order]
    return LoweredRegion(
        tuple(synchronize(config, plain, registers, table)),
        tuple(source for _, source in order),
        bytes(context.constants.data),
        storage.workspace_bytes,
        storage.io_bytes,
        storage.input_bindings,
        storage.output_bindings,
        tuple(tuple(member.name for member in chain.members) for chain in chains.values()),
    )


Ordered = list[tuple[Instruction, str]]


def chosen_chains(
    operators: Sequence[Operator], outputs: set[str], config: MachineConfig, schedule: Schedule,
    blocked: frozenset[str] = frozenset(),
) -> Mapping[int, ChainPlan]:  # fmt: skip
    """The chains that the schedule makes of operators where none of them lies beside products, by the index of their
    first members."""
    if not schedule.options.chains:
        return NO_CHAINS
    storage = _RegionStorage(operators, outputs, config, blocked)
    context = Context(config, Areas.of(config), storage=storage.blocked, raw_inputs=storage.raw, tiles=schedule.tiles)
    return choose_chains(operators, outputs, context, schedule.costs)


def _emit_beside(
    operators: Sequence[Operator], storage: _RegionStorage, table: AccessTable, schedule: Schedule
) -> tuple[Context, Ordered]:
    """Row operators in one half of the memories, everything else in the other, tiles of both alternating.

    What tuning found is for the whole machine, so the estimate chooses the tiles here."""
    halves = Halves.of(table.config)
    main = Context(halves.config, halves.main, storage=storage.blocked, raw_inputs=storage.raw)
    side = dataclasses.replace(main, areas=halves.side, part="side ")
    roots = {tensor.name: storage.root(tensor.name) for each in operators for tensor in (*each.inputs, each.output)}
    emitted = []
    for operator in operators:
        context = side if in_side_half(operator) else main
        by_rows = rows_first(operator, operators, roots)
        emitted.append((context is side, _emit(operator, dataclasses.replace(context, by_rows=by_rows))))
    registers = storage.registers(len(main.constants.data))
    return main, _ordered(alternate(emitted, table, registers), table, registers, schedule.options)


def _emit_all(operators: Sequence[Operator], chains: Mapping[int, ChainPlan], context: Context) -> list[Iteration]:
    """The iterations of all operators; `chains` by the index of their first members."""
    iterations: list[Iteration] = []
    index = 0
    while index < len(operators):
        if index in chains:
            iterations += emit_chain(chains[index], context)
            index += len(chains[index].members)
        else:
            iterations += _emit(operators[index], context)
            index += 1
    return iterations


def _ordered(
    iterations: Sequence[Iteration], table: AccessTable, registers: Sequence[int], options: ScheduleOptions
) -> Ordered:
    return interleave(iterations, table, registers) if options.hiding else one_by_one(iterations)


def _emit(operator: Operator, context: Context) -> list[Iteration]:
    match operator:
        case Convolution() | FusedConvolution():
            plan = plan_convolution(operator, context)
            if plan is not None:
                return emit_convolution(plan, context)
        case Elementwise():
            return emit_elementwise(operator, context)
        case ChannelAffine() | ChannelSlopes():
            part = affine_tile(operator, context.config)
            if part is not None:
                return emit_affine(operator, part, context)
        case TableLookup():
            return emit_table(operator, context)
        case MaxPool():
            tile = pool_tile(operator, context.config)
            if tile is not None:
                return emit_max_pool(operator, tile, context)
        case AveragePool():
            tile = pool_tile(operator, context.config)
            if tile is not None:
                return emit_average_pool(operator, tile, context)
        case Movement() if _lies_in_place(operator, context):
            return []
        case Movement():
            moved = emit_movement(operator, context)
            if moved is not None:
                return moved
        case MatrixProduct():
            found = product_tile(operator, context.config, context.tiles)
            if found is not None:
                return emit_matrix_product(operator, found, context)
        case Softmax():
            groups = softmax_tile(operator, context.config)
            if groups is not None:
                return emit_softmax(operator, groups, context)
        case TransposedConvolution():
            return emit_transposed(operator, context)
        case LayerNorm():
            rows = layer_norm_rows(operator, context.config)
            if rows is not None:
                return emit_layer_norm(operator, rows, context)
        case Interpolation():
            shares = interpolation_tile(operator, context.config)
            if shares is not None:
                return emit_interpolation(operator, shares, context)
        case InstanceNorm():
            blocks = instance_norm_blocks(operator, context.config)
            if blocks is not None:
                return emit_instance_norm(operator, blocks, context)
        case View():
            return []
    raise CompileError(f"node {operator.name!r} does not fit machine {context.config.name!r}; pin it to the host")


def _computing(operator: Operator) -> tuple[Operator, ...]:
    """What reads tensors: the parts of what is fused, and no views."""
    if isinstance(operator, FusedConvolution):
        return (operator.anchor, operator.tail)
    return () if isinstance(operator, View) else (operator,)


def _lies_in_place(operator: Movement, context: Context) -> bool:
    """Whether every part of a concatenation was written to its place in the result."""
    parts = joined_parts(operator, context.lanes)
    y = context.storage[operator.output.name]
    places = [(context.storage[name], offset) for name, offset in parts]
    return bool(parts) and all(
        (part.register, part.offset) == (y.register, y.offset + offset) for part, offset in places
    )


@dataclass(frozen=True)
class InputLayouts:
    """How a region's input lies in memory: row-major with its padding in `window` for the convolutions in `gathering`,
    and in channel blocks where `blocked`, for the other readers."""

    window: Layout | None
    gathering: tuple[Convolution, ...]
    blocked: bool

    def nbytes(self, tensor: Tensor, config: MachineConfig) -> int:
        """Bytes of all its forms together."""
        blocks = blocked_layout(tensor.view, config.lanes).nbytes if self.blocked else 0
        return blocks + (0 if self.window is None else self.window.nbytes)


def input_layouts(tensor: Tensor, readers: Sequence[Operator], config: MachineConfig) -> InputLayouts:
    """The forms in which these operators read a tensor that comes from outside the region."""
    gathering = tuple(each for each in readers if isinstance(each, Convolution) and gathers_windows(each, config))
    if len({(each.pads, each.inputs[0].view, each.inputs[0].zero_byte) for each in gathering}) != 1:
        return InputLayouts(None, (), True)
    seen = gathering[0].inputs[0]
    window = Layout(seen.view, seen.view[1], gathering[0].pads, seen.zero_byte)
    return InputLayouts(window, gathering, len(gathering) < len(readers))


class _RegionStorage:
    """Where every tensor of the region lies: inputs and outputs in the io area, the rest in the workspace, but for
    tensors that only the members of one chain need."""

    def __init__(
        self, operators: Sequence[Operator], outputs: set[str], config: MachineConfig, blocked: frozenset[str],
        overlapped: int = 0, chains: Mapping[int, ChainPlan] = NO_CHAINS,
    ) -> None:  # fmt: skip
        self.config = config
        self._overlapped = overlapped
        self.blocked: dict[str, Storage] = {}
        self.raw: dict[str, Storage] = {}
        self.io_bytes = 0
        self._roots: dict[str, str] = {}
        self._tensors: dict[str, Tensor] = {}
        for operator in operators:
            for tensor in (*operator.inputs, operator.output):
                self._tensors[tensor.name] = tensor
            if isinstance(operator, View):
                self._roots[operator.output.name] = self.root(operator.inputs[0].name)
        self.input_bindings = self._bind_inputs(operators, outputs, blocked)
        self.output_bindings = self._bind_outputs(outputs)
        joins = {each.output.name: joined_parts(each, config.lanes) for each in operators}
        self._places = place_parts(operators, joins, self.blocked.keys())
        self.workspace_bytes = self._place_internal(operators, chains)

    def root(self, name: str) -> str:
        """The tensor whose storage this one shares."""
        return self._roots.get(name, name)

    def registers(self, constant_bytes: int) -> list[int]:
        """Base addresses as far apart as the areas are large: what the synchronizer needs to tell them apart."""
        constants = -(-constant_bytes // ALIGNMENT) * ALIGNMENT
        workspace = -(-self.workspace_bytes // ALIGNMENT) * ALIGNMENT
        return [0, constants, constants + workspace]

    def _bind_inputs(
        self, operators: Sequence[Operator], outputs: set[str], blocked: frozenset[str]
    ) -> tuple[TensorBinding, ...]:
        produced = {operator.output.name for operator in operators}
        bindings: list[TensorBinding] = []
        for name, tensor in self._tensors.items():
            if name in produced:
                continue
            computing = [part for operator in operators for part in _computing(operator)]
            readers = [each for each in computing if any(self.root(t.name) == name for t in each.inputs)]
            layouts = InputLayouts(None, (), True)
            if name not in blocked:
                layouts = input_layouts(tensor, readers, self.config)
            if layouts.window is not None:  # under every name by which a view lets a reader see it
                raw = self._add_io(tensor, layouts.window, bindings)
                self.raw.update({reader.inputs[0].name: raw for reader in layouts.gathering})
            leaves = any(self.root(output) == name for output in outputs)
            if layouts.blocked or leaves:
                self.blocked[name] = self._add_io(tensor, blocked_layout(tensor.view, self.config.lanes), bindings)
        return tuple(bindings)

    def _bind_outputs(self, outputs: set[str]) -> tuple[TensorBinding, ...]:
        bindings: list[TensorBinding] = []
        for name in (name for name in self._tensors if name in outputs):
            root = self._tensors[self.root(name)]
            if root.name not in self.blocked:
                self.blocked[root.name] = self._add_io(root, blocked_layout(root.view, self.config.lanes), [])
            storage, tensor = self.blocked[root.name], self._tensors[name]
            bindings.append(
                TensorBinding(name, tensor.shape, tensor.dtype, REGISTER_IO, storage.offset, storage.layout)
            )
        return tuple(bindings)

    def _add_io(self, tensor: Tensor, layout: Layout, bindings: list[TensorBinding]) -> Storage:
        storage = Storage(REGISTER_IO, self.io_bytes, layout)
        bindings.append(TensorBinding(tensor.name, tensor.shape, tensor.dtype, REGISTER_IO, self.io_bytes, layout))
        self.io_bytes += -(-layout.nbytes // ALIGNMENT) * ALIGNMENT
        return storage

    def _viewed(self, root: Storage, tensor: Tensor) -> Storage:
        """The root's bytes under the view's own extents, where these give the same bytes; else as they are stored."""
        if not same_bytes(root.layout.view, tensor.view, self.config.lanes):
            return root
        return Storage(root.register, root.offset, blocked_layout(tensor.view, self.config.lanes))

    def _whole(self, name: str) -> str:
        """The tensor in whose bytes this one lies."""
        root = self.root(name)
        return self._places[root].whole if root in self._places else root

    def _nbytes(self, name: str) -> int:
        return blocked_layout(self._tensors[name].view, self.config.lanes).nbytes

    def _place_internal(self, operators: Sequence[Operator], chains: Mapping[int, ChainPlan]) -> int:
        """All members of a chain count as one step: tiles of its results are stored while its inputs are still read."""
        first_use: dict[str, int] = {}
        last_use: dict[str, int] = {}
        kept: set[str] = set()
        behind = step = 0
        for index, operator in enumerate(operators):
            if index in chains:
                behind = index + len(chains[index].members)
                kept.update({each.output.name for each in chains[index].members} - chains[index].stored)
            step = step if index < behind and index not in chains else index
            for tensor in (*operator.inputs, operator.output):
                if tensor.name not in kept:
                    whole = self._whole(tensor.name)
                    first_use.setdefault(whole, step)
                    last_use[whole] = step
        produced = [name for name in map(self.root, (each.output.name for each in operators)) if name not in kept]
        made = {each.output.name for each in operators}
        lifetimes = [
            Lifetime(name, self._nbytes(name), first_use[name], last_use[name] + self._overlapped)
            for name in dict.fromkeys(map(self._whole, produced))
            if name not in self.blocked and name in made
        ]
        offsets, total = plan_workspace(lifetimes)
        for name, offset in offsets.items():
            layout = blocked_layout(self._tensors[name].view, self.config.lanes)
            self.blocked[name] = Storage(REGISTER_WORKSPACE, offset, layout)
        for name, place in self._places.items():
            if place.whole not in self.blocked:
                continue
            whole_storage, layout = (
                self.blocked[place.whole],
                blocked_layout(self._tensors[name].view, self.config.lanes),
            )
            self.blocked[name] = Storage(whole_storage.register, whole_storage.offset + place.offset, layout)
        for name in self._roots:
            if self.root(name) in self.blocked:  # else it is an input that only window-gathering readers take
                self.blocked[name] = self._viewed(self.blocked[self.root(name)], self._tensors[name])
        return total
