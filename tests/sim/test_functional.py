"""The simulator's arithmetic: every byte of DRAM as the golden model leaves it, with each set of kernels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from adversarial_instructions import random_instruction, small_machine
from functional_programs import ARENA_BYTES, KERNELS, golden_outcome, image, simulated_outcome, wrap

from weft_sim import simulator
from weft_sim.isa import (
    MAX_WORK,
    OPCODES,
    Destination,
    Fill,
    Instruction,
    Jump,
    Load,
    Matmul,
    MatmulMode,
    Operation,
    Reduction,
    Source,
    Store,
    Table,
    Vector,
)
from weft_sim.isa.instruction import StaticFault, decode
from weft_sim.machine import MachineConfig

LANES = (4, 8, 16, 32, 64)


def use_kernels(monkeypatch: pytest.MonkeyPatch, kernels: str) -> None:
    """Skips when this CPU does not run them."""
    monkeypatch.setenv("WEFT_KERNELS", kernels)
    if simulator.kernel_name() != kernels:
        pytest.skip(f"this CPU has no {kernels}")


def check(
    monkeypatch: pytest.MonkeyPatch,
    config: MachineConfig,
    dram: npt.NDArray[np.uint8],
    instructions: Sequence[Instruction],
) -> None:
    """Runs the wrapped instructions on the golden model and with every set of kernels that this CPU has."""
    program = wrap(config, instructions)
    expected, memory = golden_outcome(config, dram, program)
    assert expected.fault is None, expected.fault
    for kernels in KERNELS:
        monkeypatch.setenv("WEFT_KERNELS", kernels)
        result, found = simulated_outcome(config, dram, program)
        assert result.fault is None, result.fault
        assert result.mailboxes == expected.mailboxes, (kernels, instructions)
        wrong = np.flatnonzero(memory != found)
        assert len(wrong) == 0, (kernels, wrong[:8], memory[wrong[:8]], found[wrong[:8]], instructions)


@pytest.mark.parametrize("kernels", KERNELS)
def test_the_environment_chooses_kernels(monkeypatch: pytest.MonkeyPatch, kernels: str) -> None:
    use_kernels(monkeypatch, kernels)
    monkeypatch.setenv("WEFT_KERNELS", "no such kernels")
    assert simulator.kernel_name() in KERNELS


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("kind", [Load, Store, Fill, Matmul, Vector])
def test_random_instructions(monkeypatch: pytest.MonkeyPatch, kind: type[Instruction], lanes: int) -> None:
    config = small_machine(lanes)
    rounds = {Matmul: 12, Vector: 20}.get(kind, 3)
    for seed in range(rounds):
        random = np.random.default_rng([lanes, seed, kind.OPCODE])
        dram = image(random, config)
        check(monkeypatch, config, dram, [random_instruction(random, kind, config, ARENA_BYTES) for _ in range(8)])


@pytest.mark.parametrize("lanes", LANES)
def test_random_mixtures(monkeypatch: pytest.MonkeyPatch, lanes: int) -> None:
    config = small_machine(lanes)
    kinds = (Load, Store, Fill, Matmul, Vector, Vector, Table)
    for seed in range(6):
        random = np.random.default_rng([lanes, seed])
        chosen = [kinds[int(random.integers(0, len(kinds)))] for _ in range(30)]
        check(monkeypatch, config, image(random, config),
              [random_instruction(random, kind, config, ARENA_BYTES) for kind in chosen])  # fmt: skip


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("mode", MatmulMode)
def test_zero_points_at_their_edges(monkeypatch: pytest.MonkeyPatch, mode: MatmulMode, lanes: int) -> None:
    """Inputs and weights all at their extremes, where sums are largest and zero points need the most bits."""
    config = small_machine(lanes)
    dram = image(np.random.default_rng(lanes), config)
    plain = Matmul(mode=mode, input=0, weight=config.vectors - lanes, input_lanes=lanes, weight_rows=lanes,
                   inner_count_2=4, inner_input_stride_2=1, inner_accumulator_stride_2=1)  # fmt: skip
    if mode == MatmulMode.DEPTHWISE:
        taps = min(lanes // 4, 7)
        plain = plain.replace(window_rows=4, window_columns=taps, weight_rows=4 * taps, inner_count_1=4,
                              inner_count_2=taps + 1, inner_input_stride_1=1)  # fmt: skip
    zeros = {0: (0, 127, 255), 1: (-128, 0, 127)}
    program: list[Instruction] = []
    for row, (x, w, x_signed, w_signed, x_pick, w_pick) in enumerate(
        itertools.product((0, 127, 128, 255), (0, 128, 255), (0, 1), (0, 1), range(3), range(3))
    ):
        if row % 36 == 0:
            program += [
                Fill(value=x, run_bytes=16 * lanes),
                Fill(value=w, scratchpad=(config.vectors - lanes) * lanes, run_bytes=lanes * lanes),
            ]
        program.append(plain.replace(
            input_zero=zeros[x_signed][x_pick], weight_zero=zeros[w_signed][w_pick],
            input_signed=x_signed, weight_signed=w_signed,
            accumulator=row % (config.accumulator_rows - 8),
        ))  # fmt: skip
        if row % 144 == 143:  # before rows are overwritten
            check(monkeypatch, config, dram, program)
            program.clear()
    assert not program


@pytest.mark.parametrize("lanes", (4, 16, 64))
def test_steps_around_a_block(monkeypatch: pytest.MonkeyPatch, lanes: int) -> None:
    """Kernels take VECTOR's steps in blocks: one less, as many, one more, and sums that go on in the next block."""
    config = small_machine(lanes)
    dram = image(np.random.default_rng(lanes), config)
    program: list[Instruction] = []
    block = 1024 // lanes
    for steps in (1, block - 1, block, block + 1, 3 * block + 1):
        plain = Vector(a_source=Source.SCRATCHPAD_S8, a=config.vectors - 1, a_stride_4=-1, a_scale=0.37, count_4=steps)
        if steps > config.vectors:
            plain = plain.replace(a_stride_4=0)
        rows = plain.replace(destination=Destination.ACCUMULATOR_F32, d=len(program))
        program.append(rows.replace(operation=Operation.ADD, b_source=Source.EXCHANGE, exchange=lanes - 1))
        reduced = rows.replace(reduce_loops=1, count_3=2, d_stride_3=1)
        for kind in (Reduction.SUM, Reduction.MAXIMUM, Reduction.MINIMUM):
            program.append(reduced.replace(d=40 + 3 * len(program), reduction=kind))
    check(monkeypatch, config, dram, program)


def test_products_and_sums_are_rounded_separately(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fused multiply-add would keep 0.1² − fl(0.1²) here, where two roundings leave exactly 0."""
    config = small_machine(16)
    tenth = float(np.float32(0.1))
    square = float(np.float32(tenth) * np.float32(tenth))
    dram = image(np.random.default_rng(1), config)
    vector = Vector(
        a_source=Source.SCRATCHPAD_U8, a=100, a_scale=tenth, a_rescale=tenth, operation=Operation.SUBTRACT,
        b_source=Source.IMMEDIATE, b_scale=square, scale=2.0**60, destination=Destination.ACCUMULATOR_F32,
    )  # fmt: skip
    check(monkeypatch, config, dram, [Fill(value=1, scratchpad=1600, run_bytes=16), vector])


def test_random_bytes_fault_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instructions with some fields at edges or at random: both devices refuse the same ones for the same cause."""
    causes: set[str] = set()
    for seed in range(700):
        random = np.random.default_rng([7, seed])
        config = small_machine(int(random.choice(LANES)))
        program = [instruction for instruction in [_mutated(random, config)] if instruction is not None]
        dram = image(random, config)
        expected, memory = golden_outcome(config, dram, program)
        result, found = simulated_outcome(config, dram, program)
        assert (result.fault is None) == (expected.fault is None), program
        if expected.fault is not None:
            assert result.fault is not None
            assert result.fault.cause == expected.fault.cause, program
            assert result.fault.instruction == expected.fault.instruction, program
            causes.add(expected.fault.cause)
        assert np.array_equal(memory, found), program
    assert {"illegal_field", "dram_range", "scratchpad_range", "accumulator_range"} <= causes


def _mutated(random: np.random.Generator, config: MachineConfig) -> Instruction | None:
    """A random instruction with one or two fields changed; None when it would take the golden model long or forever."""
    kinds = list(OPCODES.values())
    kind = kinds[int(random.integers(0, len(kinds)))]
    found = random_instruction(random, kind, config, ARENA_BYTES) if kind.OPCODE > 3 else kind()
    bits = int.from_bytes(found.encode(), "little")
    for _ in range(int(random.integers(1, 3))):
        field = kind.FIELDS[int(random.integers(1, len(kind.FIELDS)))]
        top = (1 << field.width) - 1
        value = int(random.choice([0, 1, top, top >> 1, (top >> 1) + 1, int(random.integers(0, 256))])) & top
        bits = bits & ~(top << field.low) | value << field.low
    changed = decode(bits.to_bytes(128, "little"))
    assert not isinstance(changed, StaticFault)
    steps = int(np.prod([float(count) for count in changed.loop_counts()]))
    slow = 1 << 14 < steps <= MAX_WORK  # more is a fault
    return None if slow or (isinstance(changed, Jump) and changed.target == 0) else changed
