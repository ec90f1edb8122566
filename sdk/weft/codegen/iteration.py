"""The unit of overlap: one tile's loads, products, vector passes and stores, and their order in the program."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from weft_sim.accesses import AccessTable
from weft_sim.footprint import Footprint, overlap
from weft_sim.isa import Instruction, Jump, Space

__all__ = ["Iteration", "Touched", "interleave", "one_by_one"]


@dataclass
class Iteration:
    """Instructions of one tile by stage, in sequential meaning: constants, loads, products, vectors, stores.

    `reads` and `writes` name the tensors that `loads` and `stores` touch in DRAM; `source` is the ONNX node.
    """

    source: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    constants: list[Instruction] = field(default_factory=list)
    loads: list[Instruction] = field(default_factory=list)
    products: list[Instruction] = field(default_factory=list)
    vectors: list[Instruction] = field(default_factory=list)
    stores: list[Instruction] = field(default_factory=list)


def interleave(
    iterations: Sequence[Iteration], table: AccessTable, registers: Sequence[int]
) -> list[tuple[Instruction, str]]:
    """One program order in which queues of finite depth never hold back the overlap (software pipelining).

    Before the loads of tile j come the products of tile j − 1 and the vector passes and stores of tile j − 2: so the
    MXU's next work is dispatched before loads that wait for its present work to free their buffer. Loads of later
    tiles, also of the next operators, come as early as their buffers and the tensors that they read allow, as many as
    LOAD's queue holds. A stage moves in front of another only where the two touch no common address of which one is
    written, which is decided from their address streams, for any operator and any use of the memories.
    """
    return _Interleaver(iterations, table, registers).run()


def one_by_one(iterations: Sequence[Iteration]) -> list[tuple[Instruction, str]]:
    """The sequential order, where every tile begins when the one before has been stored: a jump to the next instruction
    waits for everything before it. This is what overlap is measured against."""
    order: list[tuple[Instruction, str]] = []
    for each in iterations:
        for stage in (each.constants, each.loads, each.products, each.vectors, each.stores):
            order += [(instruction, each.source) for instruction in stage]
        order.append((Jump(target=len(order) + 1), each.source))
    return order


class Touched:
    """The addresses that instructions touch."""

    def __init__(self) -> None:
        self._found: dict[tuple[Space, bool], list[Footprint]] = {}
        self._hulls: dict[tuple[Space, bool], tuple[int, int]] = {}

    @classmethod
    def by(cls, instructions: Sequence[Instruction], table: AccessTable, registers: Sequence[int]) -> Touched:
        """What these touch, with the registers at these values."""
        touched = cls()
        for instruction in instructions:
            for space, write, area in table.of(instruction, registers):
                touched._found.setdefault((space, write), []).append(area)
        for key, areas in touched._found.items():
            touched._hulls[key] = min(area.low for area in areas), max(area.high for area in areas)
        return touched

    def conflicts(self, other: Touched) -> bool:
        """Whether the two have a common address that one of them writes."""
        for (space, write), (low, high) in self._hulls.items():
            for kind in (True, False) if write else (True,):
                hull = other._hulls.get((space, kind))
                if hull is None or hull[0] > high or low > hull[1]:
                    continue
                if _meet(self._found[space, write], other._found[space, kind]):
                    return True
        return False


class _Stage:
    """One kind of work of one tile; `rank` is its place in the sequential program."""

    __slots__ = ("instructions", "open", "rank", "source", "touched")

    def __init__(self, rank: int, source: str, instructions: list[Instruction], touched: Touched) -> None:
        self.rank, self.source, self.instructions, self.touched = rank, source, instructions, touched
        self.open = bool(instructions)

    def conflicts(self, other: _Stage) -> bool:
        """Whether the two touch a common address that one of them writes."""
        return self.touched.conflicts(other.touched)


def _meet(areas: Sequence[Footprint], others: Sequence[Footprint]) -> bool:
    return any(overlap(first, second) for first, second in itertools.product(areas, others))


class _Tile:
    """The stages of one iteration."""

    __slots__ = ("constants", "loads", "products", "stores", "vectors")

    def __init__(self, index: int, iteration: Iteration, table: AccessTable, registers: Sequence[int]) -> None:
        stages = (iteration.constants, iteration.loads, iteration.products, iteration.vectors, iteration.stores)
        self.constants, self.loads, self.products, self.vectors, self.stores = (
            _Stage(5 * index + place, iteration.source, each, Touched.by(each, table, registers))
            for place, each in enumerate(stages)
        )

    @property
    def stages(self) -> tuple[_Stage, ...]:
        return (self.constants, self.loads, self.products, self.vectors, self.stores)


class _Interleaver:
    """One pass over the iterations."""

    def __init__(self, iterations: Sequence[Iteration], table: AccessTable, registers: Sequence[int]) -> None:
        self.table = table
        self.registers = list(registers)
        self.source = enumerate(iterations)
        self.order: list[tuple[Instruction, str]] = []
        self.window: deque[_Tile] = deque()
        """Tiles with stages that are not in the order yet, and those looked at beyond."""
        self.first = 0

    def run(self) -> list[tuple[Instruction, str]]:
        index = 0
        while (tile := self._tile(index)) is not None:
            self._place_loads(index, tile)
            self._place(tile.products)
            before = self._tile(index - 1)
            if before is not None:
                self._finish(before)
            index += 1
            while self.first < index - 2:
                self.window.popleft()
                self.first += 1
        for tile in self.window:
            self._finish(tile)
        return self.order

    def _finish(self, tile: _Tile) -> None:
        self._place(tile.vectors)
        self._place(tile.stores)

    def _tile(self, index: int) -> _Tile | None:
        """The tile of that index, or None where there is none (any more)."""
        while index >= self.first + len(self.window):
            number, iteration = next(self.source, (0, None))
            if iteration is None:
                return None
            self.window.append(_Tile(number, iteration, self.table, self.registers))
        return self.window[index - self.first] if index >= self.first else None

    def _place_loads(self, index: int, tile: _Tile) -> None:
        """The tile's loads, and as many of later tiles as LOAD's queue holds and as wait for nothing that is not at
        work yet. Loads that must wait for a store let the next tile's constants pass."""
        self._place(tile.constants)
        behind = self._tile(index - 1)
        recent = None if behind is None else behind.products
        following = self._tile(index + 1)
        passing = following is not None and following.constants.open and self._blocked(tile.loads, None)
        if following is not None and passing and not self._blocked(following.constants, recent):
            self._emit(following.constants)
        self._place(tile.loads)
        self._hoist(index + 1, recent)

    def _hoist(self, index: int, recent: _Stage | None) -> None:
        room = self.table.config.queue_depth
        while (tile := self._tile(index)) is not None:
            for stage in (tile.constants, tile.loads):
                room -= len(stage.instructions)
                if stage.open:
                    if room < 0 or self._blocked(stage, recent):
                        return
                    self._emit(stage)
            index += 1

    def _blocked(self, stage: _Stage, recent: _Stage | None) -> bool:
        """Whether a stage that is still open, or the one placed last, must come before this one."""
        if recent is not None and recent.conflicts(stage):
            return True
        return any(other.conflicts(stage) for other in self._open_before(stage))

    def _open_before(self, stage: _Stage) -> Iterator[_Stage]:
        for tile in self.window:
            for other in tile.stages:
                if other.rank >= stage.rank:
                    return
                if other.open:
                    yield other

    def _place(self, stage: _Stage) -> None:
        """Emits the stage behind every open one in front of it that it depends on."""
        if not stage.open:
            return
        for other in list(self._open_before(stage)):
            if other.open and other.conflicts(stage):
                self._place(other)
        self._emit(stage)

    def _emit(self, stage: _Stage) -> None:
        stage.open = False
        self.order.extend((instruction, stage.source) for instruction in stage.instructions)
