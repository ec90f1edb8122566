"""Several samples of a dynamic program at once: those that stand at the same sub-network run together.

Every sample is a course of its own. The sub-network that comes first in order of execution runs next, for all samples
that wait for it; so those that are behind catch up before the others go on, and samples that parted at an If or left a
Loop at different times come together again behind it.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from weft_runtime.batch_plan import BatchPlan
from weft_runtime.course_request import Path, Tensors
from weft_runtime.devices import DeviceFactory
from weft_runtime.errors import ExecutableError, SessionError
from weft_runtime.executable import Executable
from weft_runtime.interpreter import Call, Collect, Course, Decision, Number, Read, Wish
from weft_runtime.placed import join
from weft_runtime.placed_control import PlacedControl, constant
from weft_runtime.profile import Profile
from weft_runtime.request import FIRST
from weft_runtime.rows import Row, adopt, sample_array, sliced, span, together
from weft_runtime.seat import NoRoomError, Seat, Tasks, exhaust, only_element
from weft_runtime.values import Value
from weft_sim.result import RunOptions

__all__ = ["PlacedBatches"]

INSIDE = 4
"""Batches' worth of samples on their way at once: as samples end early, others fill up the groups."""


@dataclass
class _Sample:
    """One sample on its way, and the launch that it waits for."""

    number: int
    inputs: Tensors
    course: Course[Row]
    steps: Generator[Wish, Any, tuple[list[Row], Path]]
    waiting: Call[Row]


class PlacedBatches(PlacedControl):
    """An executable with control flow whose sub-networks are compiled for several sizes. Raises as PlacedControl."""

    def __init__(self, executable: Executable, factory: DeviceFactory, options: RunOptions) -> None:
        if executable.control is None or executable.control.batching is None:
            raise ExecutableError("the executable is not compiled for several samples at once")
        super().__init__(executable, factory, options)
        self._rows: Course[Row] = Course(executable.control.body)
        self._plan = BatchPlan(executable.control.batching)

    def run(self, arrays: Tensors, progress: Any) -> tuple[Tensors, Profile]:
        """Outputs by name, in the order of the samples, and what they cost."""
        start = time.perf_counter()
        parts = self.split(arrays)
        flock = _Flock(self, self._rows, self._plan, len(parts))
        for done, _ in enumerate(flock.run(parts), 1):
            progress(done, len(parts))
        paths = [flock.paths[number] for number in range(len(parts))]
        results = [flock.results[number] for number in range(len(parts))]
        profile = self.sum_up([flock.seat], paths, time.perf_counter() - start, ())
        return join(self.executable, results), profile


class _Flock:
    """The samples of one run."""

    def __init__(self, placed: PlacedBatches, course: Course[Row], plan: BatchPlan, samples: int) -> None:
        self.results: dict[int, Tensors] = {}
        self.paths: dict[int, Path] = {}
        self._placed, self._course, self._plan, self._last = placed, course, plan, samples - 1
        self._inside: dict[int, _Sample] = {}
        self._made: list[Row] = []  # by launches of a group whose samples have not gone on yet
        self.seat = Seat(placed, placed.hosts, FIRST, self._held)

    def run(self, parts: Sequence[Tensors]) -> Generator[int, None, None]:
        """The numbers of samples as they end."""
        coming = list(enumerate(parts))[::-1]
        while coming or self._inside:
            while coming and len(self._inside) <= (INSIDE - 1) * self._plan.most:
                for number, part in (coming.pop() for _ in range(min(len(coming), self._plan.most))):
                    yield from self._admit(number, part)
            if self._inside:
                yield from self._advance()

    def _admit(self, number: int, part: Tensors) -> Generator[int, None, None]:
        course = self._course.another()
        steps = course.steps({name: Row(Value(array, True)) for name, array in part.items()})
        yield from self._go_on(_Sample(number, part, course, steps, Call(-1, (), ())), None)

    def _advance(self) -> Generator[int, None, None]:
        """The sub-network that comes first runs for all samples that wait for it."""
        network = min(self._inside.values(), key=lambda each: each.waiting.place).waiting.network
        group = [each for each in self._inside.values() if each.waiting.network == network]
        group.sort(key=lambda each: each.number)
        outputs = self._launch(network, group, self._plan.most)
        for sample, rows in zip(group, outputs, strict=True):
            yield from self._go_on(sample, rows)
        self._made = []

    def _go_on(self, sample: _Sample, answer: Any) -> Generator[int, None, None]:
        """A sample up to its next launch, or its end."""
        self._inside[sample.number] = sample
        while True:
            try:
                wish = sample.steps.send(answer)
            except StopIteration as end:
                rows, self.paths[sample.number] = end.value
                break
            if isinstance(wish, Call):
                sample.waiting = wish
                return
            answer = exhaust(self._answer(wish))
        given = {id(array) for array in sample.inputs.values()}
        outputs: Tensors = {}
        for signature, row in zip(self._placed.executable.outputs, rows, strict=True):
            array = exhaust(self._array(row))
            outputs[signature.name] = array.copy() if id(array) in given else array
        self.results[sample.number] = outputs
        del self._inside[sample.number]
        yield sample.number

    def _answer(self, wish: Wish) -> Tasks[Any]:
        match wish:
            case Read():
                array = yield from self._array(wish.value)
                return only_element(array, wish.name)
            case Collect():
                slices = []
                for row in wish.slices:
                    slices.append(Value((yield from self._array(row)), True))
                return Row((yield from self.seat.stack(slices, wish.each)))
            case Number():
                return Row(constant(wish))
        raise SessionError("a launch is answered in its group")  # pragma: no cover - _go_on waits there

    def _launch(self, network: int, group: Sequence[_Sample], largest: int) -> list[list[Row]]:
        """The outputs of each sample. Where one launch finds no room, smaller ones do it."""
        made: list[list[Row]] = []
        if group and not group[0].waiting.inputs:  # the same for all
            values = exhaust(self.seat.call(network, (), group[0].course.note))
            return [[Row(value) for value in values] for _ in group]
        for size in self._plan.cover(network, len(group), largest):
            chunk, mark = group[len(made) : len(made) + size], len(self.seat.launched)
            try:
                rows = exhaust(self._alone(network, chunk[0]) if size == 1 else self._several(network, chunk, size))
            except NoRoomError:
                if size == 1:
                    raise
                rows = self._launch(network, chunk, size // 2)
            else:
                self._served(mark, chunk)
                self._made += [row for each in rows for row in each]
            made += rows
        return made

    def _served(self, mark: int, chunk: Sequence[_Sample]) -> None:
        """Launches are kept for the profile where the last sample took part."""
        recent = self.seat.launched[mark:]
        self.seat.costs.macs += len(chunk) * self._placed.control.networks[chunk[0].waiting.network].macs
        if chunk[-1].number != self._last:
            recent = []
        self.seat.launched[mark:] = [(region, result, len(chunk)) for region, result, _ in recent]

    def _alone(self, network: int, sample: _Sample) -> Tasks[list[list[Row]]]:
        values = []
        for row in sample.waiting.inputs:
            if row.value.rows:
                found = sliced(row.value, row.index, 0)
                if found is None:
                    yield from self.seat.array(row.value)
                    found = Value(sample_array(row.value, row.index), True)
                row.value, row.index = found, 0
            values.append(row.value)
        outputs = yield from self.seat.call(network, values, sample.course.note)
        return [[Row(value) for value in outputs]]

    def _several(self, network: int, chunk: Sequence[_Sample], size: int) -> Tasks[list[list[Row]]]:
        chosen = self._plan.variant(network, size)
        values = []
        for rows in zip(*(sample.waiting.inputs for sample in chunk), strict=True):
            values.append((yield from self._together(rows, size)))
        outputs = yield from self.seat.call(chosen.variant, values, _undecided)
        adopted = [adopt(value, size, axis) for value, axis in zip(outputs, chosen.stacked, strict=True)]
        return [[Row(value, index) for value in adopted] for index in range(len(chunk))]

    def _together(self, rows: Sequence[Row], size: int) -> Tasks[Value]:
        """One value of the rows: where they lie if they follow each other there, else copied; they move to it."""
        first, start = rows[0].value, rows[0].index
        in_order = all(row.value is first and row.index == start + place for place, row in enumerate(rows))
        found: Value | None = None
        if in_order and start + size <= first.rows:
            found = first if size == first.rows else sliced(first, start, size)
        if found is None:
            found = together((yield from self._gathered(rows)), size)
        for place, row in enumerate(rows):
            row.value, row.index = found, place
        return found

    def _gathered(self, rows: Sequence[Row]) -> Tasks[list[Any]]:
        """Each row's tensor on the host. Of a value in device memory, what lies between its first and its last row that
        is needed is fetched at once."""
        wanted: dict[Value, list[int]] = {}
        for row in rows:
            wanted.setdefault(row.value, []).append(row.index)
        parts: dict[Value, tuple[Value, int]] = {}
        for value, indices in wanted.items():
            copy = None if value.on_host or not value.rows else span(value.copies[0], value, indices)
            if copy is None or copy.layout == value.copies[0].layout:
                yield from self.seat.array(value)
                parts[value] = value, 0
            else:
                array = yield from self.seat.fetch(copy)
                parts[value] = Value(array, True, [], len(array), value.stacked), min(indices)
        return [sample_array(parts[row.value][0], row.index - parts[row.value][1]) for row in rows]

    def _array(self, row: Row) -> Tasks[Any]:
        """A sample's tensor on the host."""
        yield from self.seat.array(row.value)
        return sample_array(row.value, row.index)

    def _held(self) -> list[Value]:
        waiting = (row for each in self._inside.values() for row in each.course.held)
        return list(dict.fromkeys(row.value for row in (*waiting, *self._made)))


def _undecided(decision: Decision) -> None:
    raise SessionError(f"{decision.name!r} is decided by a program for several samples")
