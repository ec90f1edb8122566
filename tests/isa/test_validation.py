"""What dispatch refuses: illegal fields, ranges at the limit and one past it, tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from weft_sim.isa import (
    MAILBOXES,
    MAX_WORK,
    OPCODES,
    REGISTERS,
    TABLE_SLOTS,
    TOKEN_LIMIT,
    Destination,
    Fill,
    Halt,
    Instruction,
    Jump,
    Load,
    Matmul,
    MatmulMode,
    Operation,
    Reduction,
    Register,
    Source,
    Store,
    Table,
    Vector,
    WeightOrder,
)  # fmt: skip
from weft_sim.isa.architecture import FaultCause, Unit
from weft_sim.isa.field import EnumField
from weft_sim.isa.tokens import TokenLedger
from weft_sim.machine import machine

CONFIG = machine("weft-16")
LANES = CONFIG.lanes
DRAM = 1 << 20
DEPTHWISE = {"mode": MatmulMode.DEPTHWISE, "weight_rows": 9, "window_rows": 3, "window_columns": 3}
PLANE = DEPTHWISE | {"inner_count_1": 3, "inner_count_2": 3}


def _cause(instruction: Instruction) -> FaultCause | None:
    fault = instruction.validate(CONFIG, [0] * REGISTERS, DRAM)
    return None if fault is None else fault.cause


LEGAL: list[Instruction] = [
    *(kind() for kind in OPCODES.values()),
    Matmul(input_lanes=LANES, weight_rows=LANES, input_zero=255, weight_zero=255),
    Matmul(input_signed=1, weight_signed=1, input_zero=-128, weight_zero=127),
    Matmul(**PLANE, row_shift=2, column_shift=2),
    Matmul(**DEPTHWISE, inner_count_1=3, inner_count_2=CONFIG.line_depth),
    Matmul(mode=1, weight_rows=2, window_columns=2, inner_count_1=1, inner_count_2=CONFIG.line_depth + 1),
    Vector(reduction=Reduction.SUM, reduce_loops=5),
    Vector(destination=Destination.MAILBOX, d=MAILBOXES - 1),
    Vector(table=TABLE_SLOTS, exchange=LANES - 1),
    Register(source=REGISTERS, mailbox=MAILBOXES),
    Jump(mailbox=MAILBOXES - 1),
    Load(register=REGISTERS - 1),
    Table(slot=TABLE_SLOTS - 1),
    Fill(count_0=MAX_WORK >> 12, count_1=16, run_bytes=256),
]  # fmt: skip
ILLEGAL: list[Instruction] = [
    Fill(count_0=0), Fill(run_bytes=0), Load(count_3=0), Store(count_1=0), Matmul(outer_count_2=0),
    Matmul(inner_count_0=0), Vector(count_4=0),
    Fill(count_0=(MAX_WORK >> 12) + 1, count_1=16, run_bytes=256), Vector(count_0=4097, count_1=4096),
    Matmul(outer_count_0=4097, inner_count_0=4096),
    Matmul(input_lanes=0), Matmul(input_lanes=LANES + 1), Matmul(weight_rows=0), Matmul(weight_rows=LANES + 1),
    Matmul(input_zero=-1), Matmul(input_zero=256), Matmul(weight_zero=-1), Matmul(weight_zero=256),
    Matmul(input_signed=1, input_zero=-129), Matmul(input_signed=1, input_zero=128),
    Matmul(weight_signed=1, weight_zero=-129), Matmul(weight_signed=1, weight_zero=128),
    Matmul(window_rows=2), Matmul(window_columns=2), Matmul(row_shift=1), Matmul(column_shift=1),
    Matmul(**PLANE | {"window_rows": 0, "weight_rows": 0}), Matmul(**PLANE | {"weight_rows": 8}),
    Matmul(mode=1, weight_rows=5, window_rows=5, inner_count_1=5), Matmul(mode=1, weight_rows=1, window_columns=0),
    Matmul(**PLANE, weight_order=WeightOrder.COLUMNS), Matmul(**PLANE, row_shift=3), Matmul(**PLANE, column_shift=3),
    Matmul(**DEPTHWISE, inner_count_1=2, inner_count_2=3), Matmul(**DEPTHWISE, inner_count_1=3, inner_count_2=2),
    Matmul(**DEPTHWISE, inner_count_1=3, inner_count_2=CONFIG.line_depth + 1),
    Vector(a_source=Source.IMMEDIATE), Vector(a_source=Source.EXCHANGE), Vector(reduce_loops=1),
    Vector(reduction=Reduction.SUM), Vector(reduction=Reduction.MAXIMUM, reduce_loops=6),
    Vector(table=TABLE_SLOTS + 1), Vector(exchange=LANES), Vector(destination=Destination.MAILBOX, d=MAILBOXES),
    Register(destination=REGISTERS), Register(source=REGISTERS + 1), Register(mailbox=MAILBOXES + 1),
    Jump(mailbox=MAILBOXES), Load(register=REGISTERS), Store(register=REGISTERS), Table(slot=TABLE_SLOTS),
]  # fmt: skip


@pytest.mark.parametrize("instruction", LEGAL, ids=repr)
def test_legal(instruction: Instruction) -> None:
    assert _cause(instruction) is None


@pytest.mark.parametrize("instruction", ILLEGAL, ids=repr)
def test_illegal_field(instruction: Instruction) -> None:
    assert _cause(instruction) == FaultCause.ILLEGAL_FIELD


def test_holes_of_every_enumeration() -> None:
    for kind in OPCODES.values():
        for field in kind.FIELDS:
            if isinstance(field, EnumField):
                last = max(field.legal)
                assert _cause(kind(**{field.name: last + 1})) == FaultCause.ILLEGAL_FIELD
                assert _cause(kind(**{field.name: 255})) == FaultCause.ILLEGAL_FIELD


def test_token_masks_name_other_units() -> None:
    for kind in OPCODES.values():
        for unit in range(8):
            legal = unit < len(Unit) and unit != kind.UNIT
            for name in ("wait", "signal"):
                expected = None if legal else FaultCause.ILLEGAL_FIELD
                assert _cause(kind(**{name: 1 << unit})) == expected


LAST, ROW = CONFIG.vectors - 1, CONFIG.accumulator_rows - 1
EDGES: list[tuple[Instruction, str, int, FaultCause]] = [
    (Load(offset=DRAM - 8, run_bytes=8), "offset", 1, FaultCause.DRAM_RANGE),
    (Load(offset=0), "offset", -1, FaultCause.DRAM_RANGE),
    (Store(offset=6, count_2=3, dram_stride_2=-3), "offset", -1, FaultCause.DRAM_RANGE),
    (Store(scratchpad=CONFIG.scratchpad_bytes - 3, run_bytes=3), "scratchpad", 1, FaultCause.SCRATCHPAD_RANGE),
    (Fill(scratchpad=CONFIG.scratchpad_bytes - 7, run_bytes=2, count_0=2, scratchpad_stride_0=5), "scratchpad", 1,
     FaultCause.SCRATCHPAD_RANGE),
    (Matmul(input=LAST), "input", 1, FaultCause.SCRATCHPAD_RANGE),
    (Matmul(weight=LAST - 3, weight_rows=4), "weight", 1, FaultCause.SCRATCHPAD_RANGE),
    (Matmul(weight=3, weight_rows=4, weight_vector_stride=-1), "weight_rows", 1, FaultCause.SCRATCHPAD_RANGE),
    (Matmul(accumulator=ROW), "accumulator", 1, FaultCause.ACCUMULATOR_RANGE),
    (Matmul(mode=1, weight_rows=4, window_rows=2, window_columns=2, inner_count_1=5, inner_count_2=3, row_shift=1,
            accumulator=ROW - 3, inner_accumulator_stride_1=2, inner_accumulator_stride_2=1), "accumulator", 1,
     FaultCause.ACCUMULATOR_RANGE),
    (Vector(a=LAST), "a", 1, FaultCause.SCRATCHPAD_RANGE),
    (Vector(b=LAST), "b", 1, FaultCause.SCRATCHPAD_RANGE),
    (Vector(d=LAST), "d", 1, FaultCause.SCRATCHPAD_RANGE),
    (Vector(parameters=1, parameter=LAST - 7), "parameter", 1, FaultCause.SCRATCHPAD_RANGE),
    (Vector(a_source=Source.ACCUMULATOR_F32, a=ROW), "a", 1, FaultCause.ACCUMULATOR_RANGE),
    (Vector(destination=Destination.ACCUMULATOR_S32, d=ROW), "d", 1, FaultCause.ACCUMULATOR_RANGE),
    (Vector(reduction=Reduction.SUM, reduce_loops=1, count_4=9, d_stride_4=CONFIG.vectors, d=LAST), "d", 1,
     FaultCause.SCRATCHPAD_RANGE),
    (Table(source=CONFIG.vectors - 1024 // LANES), "source", 1, FaultCause.SCRATCHPAD_RANGE),
]  # fmt: skip


@pytest.mark.parametrize(("instruction", "name", "step", "cause"), EDGES, ids=lambda value: str(value)[:60])
def test_ranges_at_the_limit_and_one_past(instruction: Instruction, name: str, step: int, cause: FaultCause) -> None:
    assert _cause(instruction) is None
    assert _cause(instruction.replace(**{name: getattr(instruction, name) + step})) == cause


def test_immediate_operands_have_no_address() -> None:
    assert _cause(Vector(b_source=Source.IMMEDIATE, b=(1 << 24) - 1)) is None
    assert _cause(Vector(b_source=Source.EXCHANGE, b=(1 << 24) - 1)) is None


def test_the_lowest_cause_wins_and_fields_come_before_ranges() -> None:
    both = Load(offset=DRAM, scratchpad=(1 << 24) - 1)
    assert _cause(both) == FaultCause.DRAM_RANGE
    assert _cause(both.replace(count_0=0)) == FaultCause.ILLEGAL_FIELD
    rows = Vector(a_source=Source.ACCUMULATOR_S32, a=ROW + 1, d=LAST + 1)
    assert _cause(rows) == FaultCause.SCRATCHPAD_RANGE


def test_registers_are_part_of_the_address() -> None:
    load = Load(register=2, offset=-100, run_bytes=100)
    registers = [0, 0, 100, *[0] * 13]
    assert load.validate(CONFIG, registers, DRAM) is None
    registers[2] = DRAM + 1
    fault = load.validate(CONFIG, registers, DRAM)
    assert fault is not None
    assert fault.cause == FaultCause.DRAM_RANGE


def test_limits_follow_the_machine() -> None:
    small = replace(CONFIG, name="small", line_depth=16)
    wide = Matmul(**DEPTHWISE, inner_count_1=3, inner_count_2=17)
    assert wide.check_fields(CONFIG) is None
    assert "line buffer" in (wide.check_fields(small) or "")


def test_ledger_refuses_a_wait_without_an_earlier_signal() -> None:
    ledger = TokenLedger()
    fault = ledger.dispatch(Matmul(wait=1 << Unit.LOAD))
    assert fault is not None
    assert fault.cause == FaultCause.DEADLOCK
    assert "MXU waits for a token from LOAD" in fault.detail
    assert ledger.dispatch(Fill(signal=1 << Unit.MXU)) is None
    assert ledger.dispatch(Matmul(wait=1 << Unit.LOAD)) is None
    assert ledger.dispatch(Halt(wait=1 << Unit.VPU)) is not None


def test_ledger_allows_token_limit_open_signals_and_no_more() -> None:
    ledger = TokenLedger()
    signal = Vector(operation=Operation.PASS, signal=1 << Unit.FETCH | 1 << Unit.STORE)
    for _ in range(TOKEN_LIMIT):
        assert ledger.dispatch(signal) is None
    counts = [list(row) for row in ledger.counts]
    fault = ledger.dispatch(signal)
    assert fault is not None
    assert fault.cause == FaultCause.TOKEN_OVERFLOW
    assert ledger.counts == counts
    assert ledger.dispatch(Store(wait=1 << Unit.VPU)) is None
    assert ledger.dispatch(signal.replace(signal=1 << Unit.STORE)) is None
    assert ledger.dispatch(signal.replace(signal=1 << Unit.FETCH)) is not None
