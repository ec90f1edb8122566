"""Random valid instructions inside a small arena of memory: the material of random programs.

All choices come from one `numpy.random.Generator`, so equal seeds give equal instructions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from weft_sim.hazards import own_operand_overwritten
from weft_sim.isa import (
    DEPTHWISE_ROWS,
    TABLE_ENTRIES,
    TABLE_SLOTS,
    Destination,
    Fill,
    Instruction,
    Load,
    Matmul,
    MatmulMode,
    Operation,
    Reduction,
    Source,
    Store,
    Table,
    Vector,
    WeightOrder,
)
from weft_sim.isa.architecture import PARAMETER_VECTORS
from weft_sim.machine import MachineConfig

__all__ = ["Arena", "random_instruction"]

Generator = np.random.Generator
Span = tuple[int, int]
"""First address and one past the last."""


@dataclass(frozen=True)
class Arena:
    """Where random instructions may read and write: scratchpad in vectors, accumulators in rows, DRAM in
    bytes relative to each of the given registers (`offsets` holds the span that is safe for that register's
    every possible value)."""

    config: MachineConfig
    vectors: Span
    rows: Span
    offsets: dict[int, Span]


def random_instruction(rng: Generator, arena: Arena) -> Instruction:
    """One instruction of LOAD, STORE, MXU or VPU that every check of dispatch accepts and that has no hazard
    of its own."""
    makers: Sequence[Callable[[Generator, Arena], Instruction]] = (
        _load, _load, _store, _fill, _dense, _dense, _depthwise, _vector, _vector, _vector, _table,
    )  # fmt: skip
    while True:
        instruction = makers[int(rng.integers(len(makers)))](rng, arena)
        if own_operand_overwritten(arena.config, instruction) is None:
            return instruction


def _pick(rng: Generator, options: Sequence[int | np.integer[Any]]) -> int:
    return int(options[int(rng.integers(len(options)))])


def _counts(rng: Generator, loops: int, most: int) -> list[int]:
    """Loop counts, many of them 1, with a product of at most `most`."""
    counts = [1] * loops
    for loop in rng.permutation(loops).tolist():
        room = most // prod(counts)
        if room > 1 and rng.random() < 0.6:
            counts[loop] = int(rng.integers(1, min(room, 9) + 1))
    return counts


def _place(rng: Generator, counts: Sequence[int], length: int, span: Span, dense: bool) -> tuple[int, list[int]]:
    """Base and strides so that everything lies within `span`: a packed nest, or small strides of any sign and
    0."""
    room = span[1] - span[0]
    if dense:
        strides, step = [0] * len(counts), length
        for loop in reversed(range(len(counts))):
            strides[loop] = step
            step *= counts[loop]
    else:
        strides = [int(rng.integers(-2 * length - 2, 3 * length + 3)) for _ in counts]
        strides = [0 if rng.random() < 0.2 else stride for stride in strides]
    loop = 0
    while sum(abs(s) * (c - 1) for c, s in zip(counts, strides, strict=True)) + length > room:
        strides[loop] = 0
        loop += 1
    reach = [(c - 1) * s for c, s in zip(counts, strides, strict=True)]
    low = span[0] - sum(min(0, r) for r in reach)
    high = span[1] - length - sum(max(0, r) for r in reach)
    return int(rng.integers(low, high + 1)), strides


def _strided(name: str, strides: Sequence[int]) -> dict[str, int]:
    return {f"{name}_{i}": stride for i, stride in enumerate(strides)}


def _bytes(arena: Arena) -> Span:
    return arena.vectors[0] * arena.config.lanes, arena.vectors[1] * arena.config.lanes


def _local_runs(rng: Generator, arena: Arena) -> tuple[list[int], dict[str, Any]]:
    """Counts, and the fields that LOAD, STORE and FILL share."""
    lanes = arena.config.lanes
    run = _pick(rng, [1, rng.integers(1, 3 * lanes), lanes, 4 * lanes, rng.integers(1, 300)])
    counts = _counts(rng, 4, max(1, 1500 // run))
    base, strides = _place(rng, counts, run, _bytes(arena), bool(rng.random() < 0.5))
    fields = {"run_bytes": run, "scratchpad": base}
    return counts, fields | _strided("count", counts) | _strided("scratchpad_stride", strides)


def _transfer(rng: Generator, arena: Arena) -> dict[str, Any]:
    counts, fields = _local_runs(rng, arena)
    register = _pick(rng, list(arena.offsets))
    offset, strides = _place(rng, counts, fields["run_bytes"], arena.offsets[register], bool(rng.random() < 0.5))
    return fields | {"register": register, "offset": offset} | _strided("dram_stride", strides)


def _load(rng: Generator, arena: Arena) -> Instruction:
    return Load(**_transfer(rng, arena))


def _store(rng: Generator, arena: Arena) -> Instruction:
    return Store(**_transfer(rng, arena))


def _fill(rng: Generator, arena: Arena) -> Instruction:
    return Fill(value=int(rng.integers(256)), **_local_runs(rng, arena)[1])


def _zero_points(rng: Generator) -> dict[str, int]:
    fields = {name: int(rng.integers(2)) for name in ("input_signed", "weight_signed", "accumulate")}
    for operand in ("input", "weight"):
        low = -128 if fields[f"{operand}_signed"] else 0
        fields[f"{operand}_zero"] = _pick(rng, [0, 0, low, low + 255, rng.integers(low, low + 256)])
    return fields


def _matmul(
    rng: Generator, arena: Arena, inner: Sequence[int], outputs: Sequence[int], fields: dict[str, Any]
) -> Instruction:
    """Places the operands of a MATMUL whose inner loops have the given input and output counts."""
    outer = _counts(rng, 4, max(1, 200 // prod(inner)))
    dense = bool(rng.random() < 0.5)
    fields |= _zero_points(rng) | {"reduce_mask": int(rng.integers(16))}
    fields["input_lanes"] = int(rng.integers(1, arena.config.lanes + 1))
    base, strides = _place(rng, [*outer, *inner], 1, arena.vectors, dense)
    fields |= (
        {"input": base} | _strided("outer_input_stride", strides[:4]) | _strided("inner_input_stride", strides[4:])
    )
    base, strides = _place(rng, [*outer, fields["weight_rows"]], 1, arena.vectors, dense)
    fields |= {"weight": base, "weight_vector_stride": strides[4]} | _strided("outer_weight_stride", strides[:4])
    base, strides = _place(rng, [*outer, *outputs], 1, arena.rows, dense)
    strides[:4] = [0 if fields["reduce_mask"] >> i & 1 and rng.random() < 0.8 else s for i, s in enumerate(strides[:4])]
    base = min(
        max(base, _lowest(arena.rows, [*outer, *outputs], strides)),
        _highest(arena.rows, [*outer, *outputs], strides),
    )
    fields |= {"accumulator": base} | _strided("outer_accumulator_stride", strides[:4])
    fields |= _strided("inner_accumulator_stride", strides[4:])
    return Matmul(**fields, **_strided("outer_count", outer), **_strided("inner_count", inner))


def _lowest(span: Span, counts: Sequence[int], strides: Sequence[int]) -> int:
    return span[0] - sum(min(0, (c - 1) * s) for c, s in zip(counts, strides, strict=True))


def _highest(span: Span, counts: Sequence[int], strides: Sequence[int]) -> int:
    return span[1] - 1 - sum(max(0, (c - 1) * s) for c, s in zip(counts, strides, strict=True))


def _dense(rng: Generator, arena: Arena) -> Instruction:
    order = _pick(rng, list(WeightOrder))
    inner = _counts(rng, 3, 60)
    fields = {"weight_order": order, "weight_rows": int(rng.integers(1, arena.config.lanes + 1))}
    return _matmul(rng, arena, inner, inner, fields)


def _depthwise(rng: Generator, arena: Arena) -> Instruction:
    rows = int(rng.integers(1, DEPTHWISE_ROWS + 1))
    rows = min(rows, arena.config.lanes)
    columns = int(rng.integers(1, min(5, arena.config.lanes // rows) + 1))
    shifts = [_pick(rng, [0, 0, 1, 2]) for _ in range(2)]
    height, width = (size + int(rng.integers(0, 7)) for size in (rows, columns))
    inner = [int(rng.integers(1, 3)), height, width]
    outputs = [inner[0], ((height - rows) >> shifts[0]) + 1, ((width - columns) >> shifts[1]) + 1]
    fields = {
        "mode": MatmulMode.DEPTHWISE, "weight_rows": rows * columns, "window_rows": rows,
        "window_columns": columns,
        "row_shift": shifts[0], "column_shift": shifts[1],
    }  # fmt: skip
    return _matmul(rng, arena, inner, outputs, fields)


def _float(rng: Generator) -> float:
    """A scale: mostly ordinary, now and then a corner of float32."""
    corners = [0.0, -0.0, 1.0, -1.0, float("inf"), float("nan"), 1e-45, 3.4e38, 0.5, 1 / 256]
    ordinary = float(np.float32(rng.normal() * 2.0 ** int(rng.integers(-12, 5))))
    return float(rng.choice(corners)) if rng.random() < 0.15 else ordinary


def _operand(rng: Generator, arena: Arena, name: str, kind: int, counts: Sequence[int]) -> dict[str, int]:
    rows = kind in (Source.ACCUMULATOR_S32, Source.ACCUMULATOR_F32)
    base, strides = _place(rng, counts, 1, arena.rows if rows else arena.vectors, bool(rng.random() < 0.6))
    return {name: base} | _strided(f"{name}_stride", strides)


def _vector(rng: Generator, arena: Arena) -> Instruction:
    counts = _counts(rng, 5, _pick(rng, [6, 40, 150]))
    reduction = _pick(rng, [Reduction.NONE, Reduction.NONE, *Reduction])
    reduced = 0 if reduction == Reduction.NONE else int(rng.integers(1, 6))
    fields: dict[str, Any] = {
        "a_source": int(rng.integers(4)), "b_source": _pick(rng, list(Source)), "reduction": reduction,
        "operation": _pick(rng, list(Operation)), "reduce_loops": reduced,
        "a_round": int(rng.integers(2)),
        "destination": int(rng.integers(4)), "table": _pick(rng, [0, 0, *range(1, TABLE_SLOTS + 1)]),
        "exchange": int(rng.integers(arena.config.lanes)), "low": -_float(rng), "high": _float(rng),
    }  # fmt: skip
    if rng.random() < 0.6:
        fields |= {"low": float("-inf"), "high": float("inf")}
    fields |= {name: _float(rng) for name in ("a_scale", "a_low", "a_high", "a_rescale", "b_scale", "scale")}
    fields |= {name: _pick(rng, [0, rng.integers(-1 << 15, 1 << 15)]) for name in ("a_zero", "b_zero", "d_zero")}
    fields |= _operand(rng, arena, "a", fields["a_source"], counts)
    if fields["b_source"] < Source.IMMEDIATE:
        fields |= _operand(rng, arena, "b", fields["b_source"], counts)
    if rng.random() < 0.3:
        base, strides = _place(rng, counts[:1], PARAMETER_VECTORS, arena.vectors, dense=True)
        fields |= {"parameters": 1, "parameter": base, "parameter_stride": strides[0]}
    rows = fields["destination"] in (Destination.ACCUMULATOR_S32, Destination.ACCUMULATOR_F32)
    kept = [*counts[: 5 - reduced], *[1] * reduced]
    fields |= _operand(rng, arena, "d", Source.ACCUMULATOR_S32 if rows else Source.SCRATCHPAD_S8, kept)
    return Vector(**fields, **_strided("count", counts))


def _table(rng: Generator, arena: Arena) -> Instruction:
    first, last = arena.vectors[0], arena.vectors[1] - 4 * TABLE_ENTRIES // arena.config.lanes
    return Table(slot=int(rng.integers(TABLE_SLOTS)), source=int(rng.integers(first, last + 1)))
