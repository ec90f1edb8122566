"""One region: storage for its tensors, iterations of its operators, one ordered and synchronized program."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from weft.codegen.arranged import Arranged, arrange
from weft.codegen.chain.choose import ChainCosts, choose_chains
from weft.codegen.chain.emit import emit_chain
from weft.codegen.chain.layout import ChainPlan
from weft.codegen.context import Context
from weft.codegen.fusion import fuse_epilogues
from weft.codegen.iteration import Iteration, interleave, one_by_one
from weft.codegen.kinds import emit_operator
from weft.codegen.overlap import Halves, alternate, can_overlap, in_side_half, rows_first, urgent_first
from weft.codegen.region_storage import NO_CHAINS, RegionStorage
from weft.ir.operators import Operator
from weft.schedule.areas import Areas
from weft.schedule.choice import ANALYTIC, TileChoices
from weft.schedule.options import ScheduleOptions
from weft_runtime.executable import TensorBinding
from weft_sim.accesses import AccessTable
from weft_sim.isa import Halt, Instruction
from weft_sim.machine import MachineConfig
from weft_sim.synchronize import ANY_DRAM, synchronize

OVERLAPPED = 3
"""Operators that may be at work at the same time where tiles of several alternate."""

__all__ = ["LoweredRegion", "Schedule", "chosen_chains", "lower_region"]


@dataclass(frozen=True)
class Schedule:
    """How a region is scheduled: which mechanisms are on, who may choose tiles, and what is known of the costs of
    chains."""

    options: ScheduleOptions = field(default_factory=ScheduleOptions)
    tiles: TileChoices = ANALYTIC
    costs: ChainCosts = field(default_factory=ChainCosts)


DEFAULT = Schedule()


@dataclass(frozen=True)
class LoweredRegion:
    """A region's program before packaging. `sources` names the ONNX node of each instruction, `chains` the
    operators of each chain, `shape` is equal for programs that take the same time instruction by instruction (None:
    unknown)."""

    instructions: tuple[Instruction, ...]
    sources: tuple[str, ...]
    constants: bytes
    workspace_bytes: int
    io_bytes: int
    inputs: tuple[TensorBinding, ...]
    outputs: tuple[TensorBinding, ...]
    chains: tuple[tuple[str, ...], ...]
    shape: Hashable | None = None


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
    storage = RegionStorage(operators, outputs, config, blocked, OVERLAPPED if beside else 0, chains)
    table = AccessTable(config, ANY_DRAM)
    if beside:
        context, order = _emit_beside(operators, storage, table, schedule)
        registers = storage.registers(len(context.constants.data))
        program = _synchronized(order, table, registers)
    else:
        context = Context(
            config, Areas.of(config), storage=storage.blocked, raw_inputs=storage.raw, tiles=schedule.tiles
        )
        iterations = _emit_all(operators, chains, context)
        registers = storage.registers(len(context.constants.data))
        if schedule.options.hiding:
            program = arrange(iterations, table, registers)
        else:
            program = _synchronized(one_by_one(iterations), table, registers)
    return LoweredRegion(
        program.instructions,
        program.sources,
        bytes(context.constants.data),
        storage.workspace_bytes,
        storage.io_bytes,
        storage.input_bindings,
        storage.output_bindings,
        tuple(tuple(member.name for member in chain.members) for chain in chains.values()),
        program.shape,
    )


Ordered = list[tuple[Instruction, str]]


def _synchronized(order: Ordered, table: AccessTable, registers: Sequence[int]) -> Arranged:
    whole = [*order, (Halt(), "")]
    tokens = synchronize(table.config, [instruction for instruction, _ in whole], registers, table)
    return Arranged(tuple(tokens), tuple(source for _, source in whole), None)


def chosen_chains(
    operators: Sequence[Operator], outputs: set[str], config: MachineConfig, schedule: Schedule,
    blocked: frozenset[str] = frozenset(),
) -> Mapping[int, ChainPlan]:  # fmt: skip
    """The chains that the schedule makes of operators where none of them lies beside products, by the index of their
    first members."""
    if not schedule.options.chains:
        return NO_CHAINS
    storage = RegionStorage(operators, outputs, config, blocked)
    context = Context(config, Areas.of(config), storage=storage.blocked, raw_inputs=storage.raw, tiles=schedule.tiles)
    return choose_chains(operators, outputs, context, schedule.costs)


def _emit_beside(
    operators: Sequence[Operator], storage: RegionStorage, table: AccessTable, schedule: Schedule
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
        emitted.append((context is side, emit_operator(operator, dataclasses.replace(context, by_rows=by_rows))))
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
            iterations += emit_operator(operators[index], context)
            index += 1
    return iterations


def _ordered(
    iterations: Sequence[Iteration], table: AccessTable, registers: Sequence[int], options: ScheduleOptions
) -> Ordered:
    return interleave(iterations, table, registers) if options.hiding else one_by_one(iterations)
