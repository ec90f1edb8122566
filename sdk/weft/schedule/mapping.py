"""Task mappings: which tasks a worker does, in which order, and the address streams that follow.

The algebra is that of Hidet (Ding et al., ASPLOS 2023). `repeat(a, b)` is one worker that does a·b tasks in row-major
order, `spatial(a, b)` is a·b workers with one task each, and `f * g` lets every worker of f do, for each of its tasks,
what g says inside that task: with n workers and task shape d of g,

    (f * g)(w) = [t · d + u  for t in f(w // n)  for u in g(w % n)]

so workers, tasks and their order are mixed-radix numbers. Composition is associative and not commutative. Spatial
levels are lanes of the machine, repeat levels are loop counters, and an operand that has one stride for each dimension
of the task is then at base + Σ stride · digit: a nested loop of an instruction.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Digit", "Level", "Nest", "NestLoop", "TaskMapping", "lower", "repeat", "spatial"]


@dataclass(frozen=True)
class Level:
    """One `spatial` or `repeat`: an extent for each dimension of the task, all at least 1."""

    spatial: bool
    extents: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.extents or any(extent < 1 for extent in self.extents):
            raise ValueError(f"extents {self.extents} of a task mapping must be at least 1, and at least one")


@dataclass(frozen=True)
class Digit:
    """One extent of one level: it counts `extent` steps of `weight` tasks along `dimension`."""

    spatial: bool
    dimension: int
    extent: int
    weight: int


@dataclass(frozen=True)
class TaskMapping:
    """Levels, outermost first, all of the same rank."""

    levels: tuple[Level, ...]

    def __mul__(self, inner: TaskMapping) -> TaskMapping:
        """This mapping around another one. Raises ValueError for different ranks."""
        if inner.rank != self.rank:
            raise ValueError(f"mappings of rank {self.rank} and {inner.rank} do not compose")
        return TaskMapping(self.levels + inner.levels)

    @property
    def rank(self) -> int:
        """Dimensions of a task."""
        return len(self.levels[0].extents)

    @property
    def shape(self) -> tuple[int, ...]:
        """Tasks along each dimension."""
        return tuple(math.prod(level.extents[axis] for level in self.levels) for axis in range(self.rank))

    @property
    def workers(self) -> int:
        """How many workers share the tasks."""
        return math.prod(extent for level in self.levels if level.spatial for extent in level.extents)

    def digits(self) -> tuple[Digit, ...]:
        """All extents as digits, outermost first: level by level, and dimension by dimension within a level."""
        weights = list(self.shape)
        result: list[Digit] = []
        for level in self.levels:
            for axis, extent in enumerate(level.extents):
                weights[axis] //= extent
                result.append(Digit(level.spatial, axis, extent, weights[axis]))
        return tuple(result)

    def tasks(self, worker: int) -> Iterator[tuple[int, ...]]:
        """The worker's tasks in order. Raises ValueError for a worker that there is not."""
        digits = self.digits()
        place = _place(self, worker)
        for values in itertools.product(*([place[i]] if d.spatial else range(d.extent) for i, d in enumerate(digits))):
            task = [0] * self.rank
            for digit, value in zip(digits, values, strict=True):
                task[digit.dimension] += value * digit.weight
            yield tuple(task)


def repeat(*extents: int) -> TaskMapping:
    """One worker, all tasks of that shape in row-major order."""
    return TaskMapping((Level(False, extents),))


def spatial(*extents: int) -> TaskMapping:
    """One task of that shape for each of as many workers."""
    return TaskMapping((Level(True, extents),))


def _place(mapping: TaskMapping, worker: int) -> dict[int, int]:
    """The worker's number as values of the spatial digits, by their position among all digits."""
    if not 0 <= worker < mapping.workers:
        raise ValueError(f"worker {worker} is not one of {mapping.workers}")
    place: dict[int, int] = {}
    for index, digit in reversed(list(enumerate(mapping.digits()))):
        if digit.spatial:
            worker, place[index] = divmod(worker, digit.extent)
    return place


@dataclass(frozen=True)
class NestLoop:
    """One loop counter: `count` steps, and for each operand how far a step moves."""

    count: int
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Nest:
    """Nested loops, outermost first, that walk one address for each operand from its base."""

    bases: tuple[int, ...]
    loops: tuple[NestLoop, ...]

    @property
    def steps(self) -> int:
        """How often the innermost loop's body is reached."""
        return math.prod(loop.count for loop in self.loops)

    def trace(self) -> Iterator[tuple[int, ...]]:
        """The operands' addresses, step by step."""
        for values in itertools.product(*(range(loop.count) for loop in self.loops)):
            moves = zip(values, self.loops, strict=True)
            steps = [[value * stride for stride in loop.strides] for value, loop in moves]
            yield tuple(sum(each) for each in zip(self.bases, *steps, strict=True))

    def merged(self, most: int) -> Nest:
        """The same walk with fewer loops: those of one step dropped, those that continue each other joined as long as
        a loop has at most `most` steps."""
        result: list[NestLoop] = []
        for loop in reversed([loop for loop in self.loops if loop.count != 1]):
            inner = result[0] if result else NestLoop(0, ())
            continues = loop.strides == tuple(inner.count * stride for stride in inner.strides)
            if result and continues and inner.count * loop.count <= most:
                result[0] = NestLoop(inner.count * loop.count, inner.strides)
            else:
                result.insert(0, loop)
        return Nest(self.bases, tuple(result))

    def spilled(self, loops: int, most: int, steps: int) -> Iterator[Nest]:
        """The same walk in nests of at most `loops` loops, `most` steps in a loop and `steps` in all: the outermost
        loop goes to several nests where the instruction has no counter for it, or one that does not count so far."""
        if self.steps == 0:
            return
        if len(self.loops) <= loops and self.steps <= steps and all(loop.count <= most for loop in self.loops):
            yield self
            return
        outer, inner = self.loops[0], self.loops[1:]
        share = 1
        if len(self.loops) <= loops and all(loop.count <= most for loop in inner):
            share = max(1, min(most, steps // math.prod(loop.count for loop in inner)))
        for first in range(0, outer.count, share):
            bases = tuple(base + first * stride for base, stride in zip(self.bases, outer.strides, strict=True))
            count = min(share, outer.count - first)
            kept = (NestLoop(count, outer.strides), *inner) if share > 1 else inner
            yield from Nest(bases, kept).spilled(loops, most, steps)


def lower(
    mapping: TaskMapping, strides: Sequence[Sequence[int]], bases: Sequence[int] | None = None, worker: int = 0
) -> Nest:
    """The addresses of one worker's tasks, in order. `strides` has, for each operand, one stride for each dimension of
    the task; `bases` where task 0 lies (0 where not given). Raises ValueError for other numbers of these."""
    starts = [0] * len(strides) if bases is None else list(bases)
    if len(starts) != len(strides) or any(len(each) != mapping.rank for each in strides):
        raise ValueError(f"{len(starts)} bases and strides {strides} do not fit tasks of rank {mapping.rank}")
    place = _place(mapping, worker)
    loops: list[NestLoop] = []
    for index, digit in enumerate(mapping.digits()):
        moves = tuple(each[digit.dimension] * digit.weight for each in strides)
        if digit.spatial:
            starts = [start + place[index] * move for start, move in zip(starts, moves, strict=True)]
        else:
            loops.append(NestLoop(digit.extent, moves))
    return Nest(tuple(starts), tuple(loops))
