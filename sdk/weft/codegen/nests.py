"""Any set of bytes to move, as few nested loops of contiguous runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Nest", "Step", "factor"]

Index = npt.NDArray[np.int64]
MAX_SEGMENTS = 1 << 17
LEVELS = 8


@dataclass(frozen=True)
class Step:
    """A loop: `count` steps with byte strides of the target and of the source."""

    count: int
    target: int
    source: int


@dataclass(frozen=True)
class Nest:
    """`run` contiguous bytes for each step of nested loops (outermost first) from byte `source` to byte `target`."""

    target: int
    source: int
    run: int
    loops: tuple[Step, ...] = ()

    @property
    def distinct_bytes(self) -> int:
        """Bytes of the source, counting those once that a loop of source stride 0 repeats."""
        size = self.run
        for loop in self.loops:
            size *= loop.count if loop.source else 1
        return size


def factor(targets: Index, sources: Index, lanes: int) -> list[Nest] | None:
    """Nests that move byte sources[i] to byte targets[i] (ascending) for every i; None if there is no regularity.

    Maximal runs first. Runs at the same lane of neighbouring vectors then join into loops, and equal loops at equal
    distances into outer loops, as long as anything joins.
    """
    if targets.size == 0:
        return []
    breaks = np.flatnonzero((np.diff(targets) != 1) | (np.diff(sources) != 1)) + 1
    first = np.concatenate([[0], breaks])
    lengths = np.diff(np.concatenate([first, [targets.size]]))
    target, source = targets[first], sources[first]
    lane = np.where(lengths < lanes, target % lanes, 0)
    order = np.lexsort((target, lane))
    target, source, kind = target[order], source[order], lengths[order]
    shapes: dict[int, tuple[int, tuple[Step, ...]]] = {int(run): (int(run), ()) for run in np.unique(lengths)}
    for _ in range(LEVELS):
        joined = _join(target, source, kind, shapes)
        if joined is None:
            return None
        if joined[0].size == target.size:
            break
        target, source, kind = joined
    return [Nest(int(t), int(s), *shapes[int(k)]) for t, s, k in zip(target, source, kind, strict=True)]


def _join(
    target: Index, source: Index, kind: Index, shapes: dict[int, tuple[int, tuple[Step, ...]]]
) -> tuple[Index, Index, Index] | None:
    """Arithmetic progressions of neighbouring items of one kind become one item; `shapes` gets the new kinds."""
    if target.size < 2:
        return target, source, kind
    steps = np.stack([np.diff(target), np.diff(source)], axis=1)
    alike = kind[1:] == kind[:-1]
    changes = np.flatnonzero(np.any(steps[1:] != steps[:-1], axis=1) | (alike[1:] != alike[:-1])) + 1
    starts = np.concatenate([[0], changes]).tolist()
    ends = np.concatenate([changes, [len(steps)]]).tolist()
    if len(starts) > MAX_SEGMENTS:
        return None
    numbers = {shape: number for number, shape in shapes.items()}
    chosen: list[tuple[int, int]] = []  # first item and number of items
    done = 0
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        begin = max(start, done)
        if not alike[start] or begin >= end:
            continue
        following = ends[place + 1] - starts[place + 1] if place + 1 < len(starts) else 0
        if end - begin == 1 and following > 1 and alike[end]:
            continue  # its second item starts a longer progression
        chosen += [(item, 1) for item in range(done, begin)]
        chosen.append((begin, end - begin + 1))
        done = end + 1
    chosen += [(item, 1) for item in range(done, target.size)]
    items = np.array([item for item, _ in chosen])
    kinds = kind[items]
    for position, (item, count) in enumerate(chosen):
        if count == 1:
            continue
        run, loops = shapes[int(kind[item])]
        shape = (run, (Step(count, int(steps[item, 0]), int(steps[item, 1])), *loops))
        if shape not in numbers:
            numbers[shape] = -len(numbers) - 1
            shapes[numbers[shape]] = shape
        kinds[position] = numbers[shape]
    return target[items], source[items], kinds
