"""The race checker and the synchronizer: against brute force, against each other, and on hand-made
programs."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest

from weft_sim import golden
from weft_sim.errors import InstructionError
from weft_sim.golden import GoldenMachine
from weft_sim.hazards import own_operand_overwritten
from weft_sim.isa import (
    TOKEN_LIMIT,
    Condition,
    Destination,
    Fill,
    Halt,
    Instruction,
    Jump,
    Load,
    MachineState,
    Matmul,
    Operation,
    Reduction,
    Register,
    Source,
    Space,
    Store,
    Table,
    Unit,
    Vector,
)  # fmt: skip
from weft_sim.isa.program import encode_program
from weft_sim.isa.tokens import TokenLedger
from weft_sim.machine import machine
from weft_sim.races import check, check_execution, uninitialized_reads
from weft_sim.random_program.instructions import Arena, random_instruction
from weft_sim.synchronize import synchronize

CONFIG = machine("weft-8")
LANES = CONFIG.lanes
DRAM = 8192
REGISTERS = [0, 4096]
ROWS = {"a_source": Source.ACCUMULATOR_S32, "b_source": Source.IMMEDIATE}


def _random(seed: int, length: int, vectors: int = 300) -> list[Instruction]:
    rng = np.random.default_rng(seed)
    arena = Arena(CONFIG, (0, vectors), (0, 40), {0: (0, 4096), 1: (0, 4096)})
    return [random_instruction(rng, arena) for _ in range(length)]


def _units(instruction: Instruction) -> dict[bool, set[tuple[Space, int]]]:
    state = MachineState(CONFIG, np.zeros(1, np.uint8), REGISTERS)
    found: dict[bool, set[tuple[Space, int]]] = {True: set(), False: set()}
    for s in instruction.streams(CONFIG, state.registers):
        starts = np.array([s.base])
        for count, stride in s.dims:
            starts = (starts[:, None] + np.arange(count) * stride).ravel()
        found[s.write] |= {(s.space, int(unit)) for unit in (starts[:, None] + np.arange(s.length)).ravel()}
    return found


def _ordered(program: Sequence[Instruction]) -> list[set[int]]:
    """For each instruction those that have retired when it issues: transitive closure over sets, from the
    rules."""
    queues: dict[tuple[Unit, Unit], list[int]] = {}
    known: list[set[int]] = []
    for index, item in enumerate(program):
        own = [i for i in range(index) if program[i].UNIT == item.UNIT]
        mine = set(known[own[-1]]) if own else set()
        if own and item.UNIT in (Unit.FETCH, Unit.VPU):
            mine |= set(own)
        for fetched in (i for i in range(index) if program[i].UNIT == Unit.FETCH):
            mine |= known[fetched] | {fetched}
        for source in Unit:
            if item.wait >> source & 1:
                given = queues[source, item.UNIT].pop(0)
                mine |= {i for i in range(given + 1) if source == program[i].UNIT} | known[given]
        known.append(mine)
        for target in Unit:
            if item.signal >> target & 1:
                queues.setdefault((item.UNIT, target), []).append(index)
    return known


def _conflicts(program: Sequence[Instruction]) -> set[tuple[int, int]]:
    """All pairs of different units that touch a common unit, one writing."""
    touched = [_units(item) for item in program]
    return {
        (i, j)
        for j in range(len(program))
        for i in range(j)
        if program[i].UNIT != program[j].UNIT
        and (touched[i][True] & (touched[j][True] | touched[j][False]) or touched[i][False] & touched[j][True])
    }


def _without(program: Sequence[Instruction], rng: np.random.Generator) -> list[Instruction]:
    """The program without one of its token pairs."""
    channels = {(u, v) for item in program for u in [item.UNIT] for v in Unit if item.signal >> v & 1}
    source, target = sorted(channels)[int(rng.integers(len(channels)))]
    signals = [i for i, item in enumerate(program) if source == item.UNIT and item.signal >> target & 1]
    waits = [i for i, item in enumerate(program) if target == item.UNIT and item.wait >> source & 1]
    which = int(rng.integers(len(signals)))
    changed = list(program)
    item = changed[signals[which]]
    changed[signals[which]] = item.replace(signal=item.signal & ~(1 << target))
    item = changed[waits[which]]
    changed[waits[which]] = item.replace(wait=item.wait & ~(1 << source))
    return changed


@pytest.mark.parametrize("seed", range(30))
def test_synchronized_programs_order_every_conflict_and_no_token_is_idle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program = synchronize(CONFIG, _random(seed, 30, int(rng.choice([150, 600, 3000]))), REGISTERS)
    conflicts, ordered = _conflicts(program), _ordered(program)
    assert [pair for pair in conflicts if pair[0] not in ordered[pair[1]]] == []
    assert check(CONFIG, program, REGISTERS, DRAM) == []
    for _ in range(3):
        fewer = _without(program, rng)
        ordered = _ordered(fewer)
        missing = {pair for pair in conflicts if pair[0] not in ordered[pair[1]]}
        races = check(CONFIG, fewer, REGISTERS, DRAM)
        assert missing, "a token that orders nothing"
        assert {(race.first, race.second) for race in races} <= missing
        assert {race.second for race in races} == {second for _, second in missing}


@pytest.mark.parametrize("seed", range(10))
def test_races_are_what_brute_force_finds(seed: int) -> None:
    program = _random(seed + 100, 25, 500)
    missing = {pair for pair in _conflicts(program) if pair[0] not in _ordered(program)[pair[1]]}
    races = check(CONFIG, program, REGISTERS, DRAM)
    assert {race.second for race in races} == {second for _, second in missing}
    for race in races:
        assert (race.first, race.second) in missing
        first, second = _units(program[race.first]), _units(program[race.second])
        place = (race.space, race.address)
        assert place in first[True] | first[False]
        assert place in second[True] | second[False]
        assert place in first[True] | second[True]


def test_memory_is_that_of_the_program_without_tokens() -> None:
    plain = [*_random(3, 40), Halt()]
    memories = []
    for program in (plain, synchronize(CONFIG, plain, REGISTERS)):
        dram = np.random.default_rng(1).integers(0, 256, 1 << 15, dtype=np.uint8)
        code = np.frombuffer(encode_program(program), np.uint8)
        dram[1 << 13 : (1 << 13) + len(code)] = code
        assert golden.run(CONFIG, dram, 1 << 13, len(program), REGISTERS).status == "done"
        memories.append(dram[: 1 << 13])
    np.testing.assert_array_equal(*memories)


def test_double_buffering_is_not_serialized() -> None:
    """Loads of the second tile wait for nothing; those of the third only for the first tile's MATMUL."""
    program: list[Instruction] = []
    for tile in range(4):
        base = 100 * (tile % 2)
        program.append(Load(offset=64 * tile, scratchpad=base * LANES, run_bytes=8 * LANES))
        program.append(Matmul(input=base, weight=base, weight_rows=8, inner_count_2=8, inner_input_stride_2=1,
                              inner_accumulator_stride_2=1, accumulator=8 * (tile % 2)))  # fmt: skip
        program.append(Vector(**ROWS, a=8 * (tile % 2), d=300 + 8 * (tile % 2), count_4=8, a_stride_4=1, d_stride_4=1))
        program.append(Store(offset=4096 + 64 * tile, scratchpad=(300 + 8 * (tile % 2)) * LANES, run_bytes=64))
    program = synchronize(CONFIG, program, REGISTERS)
    waits = [item.wait for item in program]
    load, store, mxu, vpu = (1 << unit for unit in (Unit.LOAD, Unit.STORE, Unit.MXU, Unit.VPU))
    assert waits == [0, load, mxu, vpu] * 2 + [mxu, load | vpu, mxu | store, vpu] * 2
    assert check(CONFIG, program, REGISTERS, DRAM) == []


def test_interleaved_rectangles_of_one_tensor_are_independent() -> None:
    rows = {"run_bytes": 16, "count_3": 8, "scratchpad_stride_3": 16}
    program = [
        Store(offset=0, dram_stride_3=64, **rows),
        Load(offset=16, dram_stride_3=64, scratchpad=1024, **rows),
        Load(offset=48, dram_stride_3=64, scratchpad=2048, **rows),
        Load(offset=15, dram_stride_3=64, scratchpad=4096, **rows),
    ]
    assert [item.wait for item in synchronize(CONFIG, program, REGISTERS)] == [0, 0, 0, 1 << Unit.STORE]


def test_other_units_knowledge_spares_tokens() -> None:
    program = [
        Load(run_bytes=8),
        Vector(d=50),  # reads what LOAD wrote
        Store(scratchpad=50 * LANES, offset=4096, run_bytes=8),  # reads what VECTOR wrote
        Fill(run_bytes=8),  # overwrites what VECTOR read: STORE does not teach LOAD anything
        Load(scratchpad=8, offset=4096, run_bytes=8),  # reads what STORE wrote
        Fill(scratchpad=50 * LANES, run_bytes=8),  # STORE has been waited for
    ]
    program = synchronize(CONFIG, program, REGISTERS)
    vpu, store = 1 << Unit.VPU, 1 << Unit.STORE
    assert [item.wait for item in program] == [0, 1 << Unit.LOAD, vpu, vpu, store, 0]


@pytest.mark.parametrize("shape", ["ahead", "spread"])
def test_token_limit(shape: str) -> None:
    """More dependencies than a channel can hold open are made coarser, never dropped."""
    count = 3 * TOKEN_LIMIT
    fills: list[Instruction] = [Fill(scratchpad=LANES * i, run_bytes=LANES) for i in range(count)]
    reads: list[Instruction] = [Matmul(input=i, weight=i) for i in range(count)]
    plain = [*fills, *reads] if shape == "ahead" else [*fills[:100], *reads[:50], *fills[100:], *reads[50:]]
    program = synchronize(CONFIG, plain, REGISTERS)
    ledger = TokenLedger()
    assert [ledger.dispatch(item) for item in program] == [None] * len(program)
    assert check(CONFIG, program, REGISTERS, DRAM) == []
    assert sum(bool(item.wait) for item in program) >= TOKEN_LIMIT


def test_jumps_are_barriers_and_only_they_are_targets() -> None:
    loop: list[Instruction] = [
        Jump(target=1),
        Load(run_bytes=8, register=5),
        Vector(d=30),
        Register(destination=5, source=5, offset=8),
        Store(scratchpad=30 * LANES, offset=4096, run_bytes=8),
        Vector(a=30, b_source=Source.IMMEDIATE, destination=Destination.MAILBOX),
        Jump(condition=Condition.LESS, value=5, target=1),
        Fill(scratchpad=30 * LANES, run_bytes=8),
        Halt(),
    ]
    program = synchronize(CONFIG, loop, REGISTERS)
    assert program[7].wait == 0
    assert program[6].wait == 1 << Unit.STORE | 1 << Unit.VPU  # LOAD is known through VECTOR
    with pytest.raises(InstructionError, match=r"instruction 0 \(JUMP\): target 2 must"):
        synchronize(CONFIG, [Jump(target=2), Fill(), Fill(), Halt()], [])
    with pytest.raises(InstructionError, match="has tokens already"):
        synchronize(CONFIG, [Fill(signal=1 << Unit.MXU)], [])


def test_loops_are_checked_as_they_run() -> None:
    body: list[Instruction] = [
        Fill(scratchpad=LANES, value=1, run_bytes=LANES),
        Vector(a=1, destination=Destination.ACCUMULATOR_F32, b_source=Source.IMMEDIATE, b_scale=2.0),
        Jump(target=3),
        Load(run_bytes=8, register=1),
        Register(destination=1, source=1, offset=8),
        Store(scratchpad=64, offset=4096 + 16, run_bytes=8),  # meets the third iteration's LOAD only
        Vector(a_source=Source.ACCUMULATOR_F32, b_source=Source.IMMEDIATE, operation=Operation.ADD,
               destination=Destination.ACCUMULATOR_F32),
        Vector(a_source=Source.ACCUMULATOR_F32, b_source=Source.IMMEDIATE, destination=Destination.MAILBOX),
        Jump(condition=Condition.LESS, value=4, target=3),
        Halt(),
    ]  # fmt: skip
    good = synchronize(CONFIG, body, REGISTERS)
    bad = [item.with_tokens(item.wait & ~2, item.signal & ~4) if item.UNIT in (1, 2) else item for item in good]
    bad = [item.with_tokens(item.wait & ~4, item.signal) if item.UNIT == Unit.LOAD else item for item in bad]
    for program, expected in ((good, []), (bad, [(3, 5, Space.DRAM)])):
        dram = np.zeros(DRAM, np.uint8)
        dram[: 128 * len(program)] = np.frombuffer(encode_program(program), np.uint8)
        run = GoldenMachine(CONFIG, dram, 0, len(program), REGISTERS)
        while run.step():
            pass
        assert run.fault is None
        races = check_execution(CONFIG, run.executed, DRAM, (0, len(program)))
        assert [(race.first, race.second, race.space) for race in races] == expected
    with pytest.raises(InstructionError, match="instruction 2 is a JUMP"):
        check(CONFIG, good, REGISTERS, DRAM)


def test_mailboxes_tables_and_unknown_registers() -> None:
    write = Vector(**ROWS, destination=Destination.MAILBOX, d=3)
    read = Register(destination=4, mailbox=3, scale=1)
    races = check(CONFIG, [write, read], REGISTERS, DRAM)
    assert [(r.first, r.second, r.space, r.address) for r in races] == [(0, 1, Space.MAILBOX, 3)]
    program = synchronize(CONFIG, [write, read, Load(register=4), Store(register=1)], REGISTERS)
    assert [item.wait for item in program] == [0, 1 << Unit.VPU, 0, 1 << Unit.LOAD]  # register 4 may be anything
    assert check(CONFIG, program, REGISTERS, DRAM) == []
    races = check(CONFIG, [*program[:3], Store(register=1, scratchpad=99)], REGISTERS, DRAM)
    assert [(r.first, r.second, r.space) for r in races] == [(2, 3, Space.DRAM)]
    assert check(CONFIG, [Table(slot=1), Vector(table=2, d=200)], REGISTERS, DRAM) == []  # the VPU keeps its order


def test_what_dispatch_refuses_is_named() -> None:
    with pytest.raises(InstructionError, match=r"instruction 1 \(FILL\): scratchpad_range"):
        check(CONFIG, [Fill(), Fill(scratchpad=(1 << 24) - 1)], [], DRAM)
    with pytest.raises(InstructionError, match=r"instruction 0 \(MATMUL\): deadlock"):
        check(CONFIG, [Matmul(wait=1 << Unit.LOAD)], [], DRAM)
    assert check(CONFIG, [Halt(), Matmul(wait=1 << Unit.LOAD)], [], DRAM) == []


def test_overwriting_the_program_is_a_race() -> None:
    program = [Store(offset=1024 + 255), Halt()]
    (race,) = check(CONFIG, program, REGISTERS, DRAM, 1024)
    assert (race.first, race.second, race.address) == (0, 0, 1024 + 255)
    assert check(CONFIG, program, REGISTERS, DRAM, 2048) == []


HAZARDS: list[tuple[dict[str, int], int | None]] = [
    ({"count_4": 5, "a_stride_4": 1, "d_stride_4": 1}, None),  # in place
    ({"count_4": 5, "a_stride_4": 1, "d_stride_4": 1, "d": 1}, 1),  # written one step before it is read
    ({"count_4": 5, "a_stride_4": 1, "d_stride_4": 1, "a": 1}, None),  # read one step before it is written
    ({"count_4": 5, "a_stride_4": -1, "d_stride_4": -1, "a": 4, "d": 4}, None),
    ({"count_4": 5, "a_stride_4": -1, "d_stride_4": -1, "a": 5, "d": 4}, 4),
    ({"count_3": 2, "count_4": 3, "a_stride_4": 1, "d_stride_4": 1}, 0),  # in place, but twice
    ({"count_3": 3, "count_4": 2, "a_stride_3": 2, "a_stride_4": 1, "reduction": Reduction.SUM, "reduce_loops": 1,
      "d_stride_3": 1}, None),  # results trail behind
    ({"count_3": 3, "count_4": 2, "a_stride_3": 1, "a_stride_4": 1, "reduction": Reduction.SUM, "reduce_loops": 1,
      "d_stride_3": 1, "d": 1}, 1),
    ({"count_4": 1, "d": 7, "a": 20, "parameters": 1, "parameter": 0}, None),  # one record, read before
    ({"count_0": 2, "d": 15, "a": 20, "parameters": 1, "parameter_stride": 8}, 15),
    ({"count_0": 2, "d": 7, "a": 20, "parameters": 1, "parameter_stride": 8}, None),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "vector"), HAZARDS, ids=str)
def test_results_over_operands(fields: dict[str, int], vector: int | None) -> None:
    instruction = Vector(**{"b_source": Source.IMMEDIATE, "a": 0, "d": 0} | fields)
    expected = None if vector is None else vector * LANES
    found = own_operand_overwritten(CONFIG, instruction)
    assert (None if found is None else found[2]) == expected
    races = check(CONFIG, [instruction], [], DRAM)
    assert [(race.first, race.second) for race in races] == ([] if vector is None else [(0, 0)])


def test_uninitialized_reads() -> None:
    program = [
        Fill(scratchpad=0, run_bytes=LANES),
        Matmul(input=0, weight=0, weight_rows=1, accumulator=2),
        Matmul(input=0, weight=0, weight_rows=2, accumulator=2, accumulate=1),  # weight vector 1
        Matmul(input=0, weight=0, accumulator=3, accumulate=1),  # row 3
        Vector(a_source=Source.ACCUMULATOR_S32, a=2, b_source=Source.IMMEDIATE, count_4=2, a_stride_4=1, d=9),
        Vector(a_source=Source.ACCUMULATOR_S32, a=4, b=9, d=10),  # row 4
        Store(scratchpad=9 * LANES - 1, run_bytes=LANES),  # one byte before vector 9
    ]
    found = [(read.instruction, read.space, read.address) for read in uninitialized_reads(CONFIG, program)]
    rows, local = Space.ACCUMULATOR, Space.SCRATCHPAD
    assert found == [(2, local, LANES), (3, rows, 3), (5, rows, 4), (6, local, 9 * LANES - 1)]
    narrow = [Fill(run_bytes=3), Matmul(input_lanes=3, weight_order=1, accumulator=1)]
    assert uninitialized_reads(CONFIG, narrow) == []
    assert len(uninitialized_reads(CONFIG, [Fill(run_bytes=3), Matmul(input_lanes=4, weight_order=1)])) == 2


def test_ten_thousand_instructions_take_seconds() -> None:
    program: list[Instruction] = []
    for tile in range(2500):
        half, row, column = tile % 2, tile // 8 % 8, tile % 8
        program += [
            Load(offset=column * 64 + row * 2048, run_bytes=64, count_3=4, dram_stride_3=512,
                 scratchpad=half * 4096, scratchpad_stride_3=64),
            Matmul(input=half * 512, weight=half * 512, weight_rows=8, inner_count_2=24, inner_input_stride_2=1,
                   inner_accumulator_stride_2=1, accumulator=32 * half),
            Vector(**ROWS, a=32 * half, d=1024 + 32 * half, count_4=24, a_stride_4=1, d_stride_4=1),
            Store(register=1, offset=column * 48 + row * 1536, run_bytes=48, count_3=4, dram_stride_3=384,
                  scratchpad=(1024 + 32 * half) * LANES, scratchpad_stride_3=48),
        ]  # fmt: skip
    registers = [0, 1 << 16]
    start = time.process_time()
    program = synchronize(CONFIG, program, registers)
    middle = time.process_time()
    assert check(CONFIG, program, registers, 1 << 17) == []
    assert middle - start < 4.0
    assert time.process_time() - middle < 8.0
