"""Movement between lanes: where a vector of the output mixes lanes of several vectors, the MXU puts it together.

Single bytes cost a burst each. Instead whole vectors are loaded and multiplied with matrices of zeros and ones, which
is exact: each result is one byte. Output vectors that take their lanes in the same way share these matrices.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft.codegen.movement_plan import INPUT_SHIFT, NOTHING
from weft.codegen.nests import Nest, Step, factor
from weft.schedule.areas import Areas
from weft_sim.isa import Instruction, Matmul
from weft_sim.machine import MachineConfig

__all__ = ["LaneChunk", "LaneGroup", "lane_chunks", "lane_groups", "selections"]

Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
MAX_WEIGHT_BYTES = 1 << 19
INNER_LOOPS = 3


@dataclass(frozen=True)
class LaneGroup:
    """Output vectors (ascending) of one pattern: lane l of outputs[i] is a lane of one of the vectors sources[i].

    `weights` uint8 [sources per output, lanes, lanes] says which: w[t, k, l] = 1 where it is lane k of source t.
    Sources are numbered input << 40 / lanes | vector. `table`: the input whose table all of them go through.
    """

    outputs: Index
    sources: Index
    weights: npt.NDArray[np.uint8]
    table: int | None


@dataclass(frozen=True)
class LaneChunk:
    """A part of a group that fits the slots. `loads`: per input, nests of vectors from DRAM to the input slot;
    `products[t]`: nests from the input slot to accumulator rows; `stores`: from the output slot to DRAM."""

    group: int
    vectors: int
    held: int
    loads: tuple[tuple[int, Nest], ...]
    products: tuple[tuple[Nest, ...], ...]
    stores: tuple[Nest, ...]


def lane_groups(codes: Index, tables: Sequence[int | None], lanes: int) -> tuple[Mask, list[LaneGroup]] | None:
    """The output vectors that are no copies of one source vector, grouped; and a mask of the bytes that these do not
    cover. `tables[i]` is the same number for inputs with equal tables. None if the matrices would be too large."""
    vectors = codes.reshape(-1, lanes)
    real = vectors > NOTHING
    first = vectors[np.arange(len(vectors)), real.argmax(axis=1)]
    filled = np.where(real, vectors, first[:, None])
    source, lane = filled // lanes, np.where(real, filled % lanes, -1)
    plain = np.all((source == source[:, :1]) & ((lane == np.arange(lanes)) | ~real), axis=1)
    number = np.array([-1 if table is None else table for table in tables], np.int64)
    through = number[np.clip(filled >> INPUT_SHIFT, 0, len(tables) - 1)]
    mixed = ~plain & np.all(filled >= 0, axis=1) & np.all(through == through[:, :1], axis=1)
    if not mixed.any():
        return None
    rows = np.flatnonzero(mixed)
    rank, taps, counts = _ranked(source[rows])
    keys = np.concatenate([np.where(lane[rows] >= 0, rank * lanes + lane[rows], -1), through[rows, :1]], axis=1)
    patterns, member = np.unique(keys, axis=0, return_inverse=True)
    member = member.reshape(-1)
    order = np.argsort(member, kind="stable")
    groups: list[LaneGroup] = []
    size = 0
    for pattern, places in zip(patterns, np.split(order, np.cumsum(np.bincount(member))[:-1]), strict=True):
        count = int(counts[places[0]])
        size += count * lanes * lanes
        if size > MAX_WEIGHT_BYTES:
            return None
        weights = np.zeros((count, lanes, lanes), np.uint8)
        used = np.flatnonzero(pattern[:lanes] >= 0)
        weights[pattern[used] // lanes, pattern[used] % lanes, used] = 1
        table = None if pattern[lanes] < 0 else int(pattern[lanes])
        groups.append(LaneGroup(rows[places], taps[places, :count], weights, table))
    return np.repeat(~mixed, lanes), groups


def _ranked(source: Index) -> tuple[Index, Index, Index]:
    """For each row: the rank of each entry among the row's distinct values; these in order; how many there are."""
    order = np.argsort(source, axis=1, kind="stable")
    ordered = np.take_along_axis(source, order, axis=1)
    fresh = np.concatenate([np.zeros((len(source), 1), np.int64), np.diff(ordered, axis=1) != 0], axis=1)
    ranks = np.cumsum(fresh, axis=1)
    rank = np.empty_like(ranks)
    np.put_along_axis(rank, order, ranks, axis=1)
    distinct = np.zeros_like(source)
    np.put_along_axis(distinct, ranks, ordered, axis=1)
    return rank, distinct, ranks[:, -1] + 1


def lane_chunks(groups: Sequence[LaneGroup], config: MachineConfig) -> list[LaneChunk] | None:
    """The groups cut to fit the slots; None if a group has no regularity or fits no slot."""
    areas, lanes = Areas.of(config), config.lanes
    chunks: list[LaneChunk] = []
    for number, group in enumerate(groups):
        taps = group.sources.shape[1]
        limit = min(areas.accumulator_rows, areas.output_bytes // lanes, areas.x_bytes // lanes // taps)
        if limit < 1 or taps * lanes * lanes > areas.weight_bytes:
            return None
        parts = max(1, -(-len(group.outputs) // limit))
        for part in np.array_split(np.arange(len(group.outputs)), parts):
            chunk = _chunk(number, group.outputs[part], group.sources[part], lanes)
            if chunk is None:
                return None
            chunks.append(chunk)
    return chunks


def _chunk(number: int, outputs: Index, sources: Index, lanes: int) -> LaneChunk | None:
    held, places = np.unique(sources, return_inverse=True)
    places = places.reshape(sources.shape)
    loads: list[tuple[int, Nest]] = []
    shift = INPUT_SHIFT - (lanes.bit_length() - 1)
    for tensor in np.unique(held >> shift).tolist():
        mine = np.flatnonzero(held >> shift == tensor)
        nests = factor(mine, held[mine] & ((1 << shift) - 1), 1)
        if nests is None:
            return None
        loads += [(tensor, nest) for nest in nests]
    rows = np.arange(len(outputs))
    products = [factor(rows, places[:, tap], 1) for tap in range(sources.shape[1])]
    stores = factor(outputs, rows, 1)
    if stores is None or any(nests is None for nests in products):
        return None
    found = tuple(tuple(nests) for nests in products if nests is not None)
    return LaneChunk(number, len(outputs), len(held), tuple(loads), found, tuple(stores))


def selections(chunk: LaneChunk, x: int, weights: int, accumulator: int, lanes: int) -> list[Instruction]:
    """The products of one chunk; x and weights are vector addresses, accumulator a row."""
    result: list[Instruction] = []
    for tap, nests in enumerate(chunk.products):
        for nest in nests:
            loops = [loop for loop in (*nest.loops, Step(nest.run, 1, 1)) if loop.count > 1]
            for row, vector, inner in _inner(loops):
                fields: dict[str, int] = {}
                for place, loop in enumerate([*[Step(1, 0, 0)] * (INNER_LOOPS - len(inner)), *inner]):
                    fields[f"inner_count_{place}"] = loop.count
                    fields[f"inner_input_stride_{place}"] = loop.source
                    fields[f"inner_accumulator_stride_{place}"] = loop.target
                result.append(
                    Matmul(
                        input_lanes=lanes, weight_rows=lanes, accumulate=int(tap > 0), input=x + nest.source + vector,
                        weight=weights + tap * lanes, accumulator=accumulator + nest.target + row, **fields,
                    )
                )  # fmt: skip
    return result


def _inner(loops: list[Step]) -> Iterator[tuple[int, int, list[Step]]]:
    """(row offset, vector offset, at most three loops) for each combination of the loops beyond three."""
    outer, inner = loops[:-INNER_LOOPS], loops[-INNER_LOOPS:]
    for digits in itertools.product(*(range(loop.count) for loop in outer)):
        row = sum(digit * loop.target for digit, loop in zip(digits, outer, strict=True))
        vector = sum(digit * loop.source for digit, loop in zip(digits, outer, strict=True))
        yield row, vector, inner
