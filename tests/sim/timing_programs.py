"""Programs for the timing tests: launching, random valid ones, and small random machines."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weft_sim import isa, simulator
from weft_sim.isa.program import encode_program
from weft_sim.isa.tokens import TokenLedger
from weft_sim.machine import MachineConfig
from weft_sim.result import RunOptions, RunResult

DRAM_BYTES = 1 << 16


def memory_with(program: Sequence[isa.Instruction], size: int = DRAM_BYTES) -> tuple[npt.NDArray[np.uint8], int]:
    """DRAM of reproducible noise with the program at its end, and the program's address."""
    dram = np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)
    code = np.frombuffer(encode_program(program), np.uint8)
    address = size - len(code)
    dram[address:] = code
    return dram, address


def launch(
    config: MachineConfig, program: Sequence[isa.Instruction], **options: Any
) -> tuple[RunResult, npt.NDArray[np.uint8]]:
    """Runs on the simulator with register 0 = 0; the result and DRAM afterwards."""
    dram, address = memory_with(program)
    result = simulator.run(config, dram, address, len(program), [0], RunOptions(**options))
    return result, dram


def random_config(rng: random.Random) -> MachineConfig:
    """A small machine with unusual parameters."""
    lanes = rng.choice([4, 8, 16])
    banks = rng.choice([1, 2, 4, 8])
    beat = rng.choice([4, 8, 16, 32])
    denominator = rng.choice([1, 1, 1, 3])
    return MachineConfig(
        name="random",
        lanes=lanes,
        scratchpad_bytes=4096 * rng.choice([2, 3, 4]),
        scratchpad_banks=banks,
        accumulator_rows=64 * rng.choice([1, 3]),
        accumulator_banks=rng.choice([1, 2, 4]),
        dram_beat_bytes=beat,
        dram_rate_numerator=rng.randint(1, denominator),
        dram_rate_denominator=denominator,
        dram_latency=rng.choice([1, 2, 17, 64]),
        burst_beats=rng.choice([1, 4, 16, 64]),
        outstanding_bursts=rng.choice([1, 2, 8]),
        queue_depth=rng.choice([2, 4]),
        fetch_depth=rng.choice([2, 4]),
        line_depth=16,
    )


def random_program(rng: random.Random, config: MachineConfig, length: int) -> list[isa.Instruction]:
    """A program without faults: ranges by rejection, tokens by the ledger, HALT at the end."""
    ledger = TokenLedger()
    program: list[isa.Instruction] = []
    makers = (_load, _load, _store, _fill, _matmul, _matmul, _vector, _vector, _table, _register)
    while len(program) < length:
        instruction = rng.choice(makers)(rng, config)
        if instruction.validate(config, [0] * isa.REGISTERS, DRAM_BYTES) is not None:
            continue
        instruction = _with_tokens(rng, ledger, instruction)
        assert ledger.dispatch(instruction) is None
        program.append(instruction)
    return [*program, isa.Halt()]


def _with_tokens(rng: random.Random, ledger: TokenLedger, instruction: isa.Instruction) -> isa.Instruction:
    unit = instruction.UNIT
    wait = signal = 0
    for other in isa.Unit:
        if other == unit:
            continue
        if ledger.counts[other][unit] and rng.random() < 0.8:
            wait |= 1 << other
        if ledger.counts[unit][other] < 8 and rng.random() < 0.35:
            signal |= 1 << other
    return instruction.replace(wait=wait, signal=signal)


def _transfer(rng: random.Random, config: MachineConfig, aligned: bool) -> dict[str, int]:
    lanes = config.lanes
    unit = max(lanes, config.dram_beat_bytes) if aligned else 1
    run = rng.randint(1, 12) * lanes if aligned else rng.randint(1, 90)
    fields = {
        "scratchpad": rng.randrange(0, config.scratchpad_bytes, lanes if aligned else 1),
        "run_bytes": run,
    }
    for loop in range(4):
        fields[f"count_{loop}"] = rng.choice([1, 1, 2, 3])
        fields[f"scratchpad_stride_{loop}"] = rng.choice([0, run, -run, lanes, 3 * lanes])
    if not aligned:
        fields["scratchpad_stride_3"] = rng.randint(-50, 50)
    fields["unit"] = unit
    return fields


def _dram_fields(rng: random.Random, unit: int) -> dict[str, int]:
    strides = {f"dram_stride_{loop}": rng.randint(-40, 40) * unit for loop in range(4)}
    return {"offset": rng.randrange(4096, 24576, unit), "register": 15, **strides}


def _load(rng: random.Random, config: MachineConfig) -> isa.Instruction:
    fields = _transfer(rng, config, rng.random() < 0.6)
    return isa.Load(**_dram_fields(rng, fields.pop("unit")), **fields)


def _store(rng: random.Random, config: MachineConfig) -> isa.Instruction:
    fields = _transfer(rng, config, rng.random() < 0.6)
    return isa.Store(**_dram_fields(rng, fields.pop("unit")), **fields)


def _fill(rng: random.Random, config: MachineConfig) -> isa.Instruction:
    fields = _transfer(rng, config, rng.random() < 0.6)
    fields.pop("unit")
    return isa.Fill(value=rng.randrange(256), **fields)


def _matmul(rng: random.Random, config: MachineConfig) -> isa.Instruction:
    depthwise = rng.random() < 0.4
    fields: dict[str, Any] = {
        "input": rng.randrange(config.vectors),
        "weight": rng.randrange(config.vectors),
        "accumulator": rng.randrange(config.accumulator_rows),
        "input_lanes": rng.randint(1, config.lanes),
        "weight_rows": rng.randint(1, config.lanes),
        "weight_vector_stride": rng.choice([1, 2, -1, 5]),
        "accumulate": rng.randrange(2),
        "reduce_mask": rng.randrange(16),
        "input_signed": 1,
        "inner_count_0": rng.choice([1, 1, 2]),
        "inner_count_1": rng.randint(1, 6),
        "inner_count_2": rng.randint(1, 9),
    }
    for loop in range(4):
        fields[f"outer_count_{loop}"] = rng.choice([1, 1, 2])
        fields[f"outer_input_stride_{loop}"] = rng.randint(-6, 6)
        fields[f"outer_weight_stride_{loop}"] = rng.choice([0, 1, config.lanes])
        fields[f"outer_accumulator_stride_{loop}"] = rng.choice([0, 0, 7])
    for loop in range(3):
        fields[f"inner_input_stride_{loop}"] = rng.choice([0, 1, 1, 9, -2])
        fields[f"inner_accumulator_stride_{loop}"] = rng.choice([0, 1, 1, 9])
    if depthwise:
        rows, columns = rng.randint(1, 3), rng.randint(1, 3)
        fields |= {"mode": isa.MatmulMode.DEPTHWISE, "window_rows": rows, "window_columns": columns}
        fields |= {
            "weight_rows": rows * columns,
            "row_shift": rng.randrange(3),
            "column_shift": rng.randrange(3),
        }
    return isa.Matmul(**fields)


def _vector(rng: random.Random, config: MachineConfig) -> isa.Instruction:
    a_source = rng.choice([isa.Source.SCRATCHPAD_S8, isa.Source.ACCUMULATOR_S32, isa.Source.ACCUMULATOR_F32])
    destination = rng.choice(list(isa.Destination))
    reduce_loops = rng.choice([0, 0, 0, 1, 2, 5])
    reduction = rng.choice([isa.Reduction.SUM, isa.Reduction.MAXIMUM]) if reduce_loops else isa.Reduction.NONE

    def place(rows: bool) -> int:
        return rng.randrange(config.accumulator_rows if rows else config.vectors)

    b_source = rng.choice(list(isa.Source))
    fields: dict[str, Any] = {
        "a_source": a_source,
        "b_source": b_source,
        "destination": destination,
        "operation": rng.choice([isa.Operation.ADD, isa.Operation.MAXIMUM, isa.Operation.PASS, isa.Operation.DIVIDE]),
        "reduction": reduction,
        "reduce_loops": reduce_loops,
        "parameters": rng.choice([0, 0, 1]),
        "table": rng.choice([0, 1, 2]),
        "parameter": place(False),
        "parameter_stride": rng.choice([0, 8, 9]),
        "a": place(a_source != isa.Source.SCRATCHPAD_S8),
        "b": place(b_source in (isa.Source.ACCUMULATOR_S32, isa.Source.ACCUMULATOR_F32)),
        "d": place(destination in (isa.Destination.ACCUMULATOR_S32, isa.Destination.ACCUMULATOR_F32)),
        "count_4": rng.randint(1, 20),
        "count_3": rng.randint(1, 4),
    }
    if destination == isa.Destination.MAILBOX:
        fields["d"] = rng.randrange(isa.MAILBOXES)
    for loop in range(5):
        fields.setdefault(f"count_{loop}", rng.choice([1, 1, 1, 2]))
        for operand in "abd":
            fields[f"{operand}_stride_{loop}"] = rng.choice([0, 1, 1, 2, -1, 13])
    return isa.Vector(**fields)


def _table(rng: random.Random, config: MachineConfig) -> isa.Instruction:
    return isa.Table(slot=rng.randrange(isa.TABLE_SLOTS), source=rng.randrange(config.vectors))


def _register(rng: random.Random, config: MachineConfig) -> isa.Instruction:
    return isa.Register(destination=rng.randrange(14), offset=rng.randrange(1 << 16))
