"""Results of decisions that are pointers: where a branch hands on a value from outside of it, the result has a base
register of its own, and each branch leaves there where its value lies. Nothing is copied."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Listing
from itertools import chain

from weft.codegen.device_counters import CounterEmission
from weft.codegen.device_emission import Place
from weft.ir.device_control import Decide, JoinRequest, Piece, Repeat, Sequence
from weft_runtime.executable import REGISTER_WORKSPACE, RegionArea
from weft_sim.isa import Register
from weft_sim.machine import MachineConfig
from weft_sim.registers import Area

__all__ = ["PointerEmission", "hands_on", "has_merges", "needed_behind", "read_by_step"]

Step = Piece | Decide | Repeat


class PointerEmission(CounterEmission):
    """Pointers, over whatever else a program needs.

    What a pointer may show must stay as it is while the result is read. That holds: every value has room of its own,
    written once before it is read, and again only by the next iteration of a loop around it, where results of the
    iteration before are not read any more. What does change within an iteration is a loop's state, at its end; those
    that move it ask `_may_show`.

    Each of the first `pointers` results has a register to itself, so that little else is taken to be what it shows; the
    following ones take registers of results that are not read any more, if there are such, else they are copied.
    """

    def __init__(self, request: JoinRequest, machine: MachineConfig, rows: Iterable[int], pointers: int) -> None:
        super().__init__(request, machine, rows)
        self._unused_pointers = pointers
        self._shown: dict[int, set[tuple[Place, int]]] = {}
        """For each pointer where it was ever set to, and so many bytes."""
        self._owners: dict[int, str] = {}
        self._needed: frozenset[str] = frozenset()
        """What is read behind the step that is being emitted."""

    def _pointer(self, step: Decide, name: str) -> Place | None:
        """A register for a result that some branch hands on; None where none is free."""
        if not hands_on(step, name):
            return None
        if self._unused_pointers:
            self._unused_pointers -= 1
            register = self._register()
        else:
            kept = {*self._needed, *step.results, *step.when_below.results, *step.when_above.results}
            free = [number for number, owner in self._owners.items() if owner not in kept]
            if not free:
                return None
            register = free[0]
        self._owners[register] = name
        self._shown.setdefault(register, set())
        return Place(register, 0)

    def _point(self, pointer: Place, value: str, source: str) -> None:
        """The pointer shows where the value lies."""
        binding = self._binding(value)
        place = self._places[value, binding.layout]
        self._shown[pointer.register].add((place, binding.layout.nbytes))
        self._emit(Register(destination=pointer.register, source=place.register, offset=place.offset), source)

    def _may_show(self, place: Place) -> set[tuple[Place, int]]:
        """The place itself, or all that a pointer may show."""
        if place.register not in self._shown:
            return {(place, 0)}
        seen, waiting = {place.register}, [place.register]
        found: set[tuple[Place, int]] = set()
        while waiting:
            for shown, size in self._shown[waiting.pop()]:
                if shown.register not in self._shown:
                    found.add((shown, size))
                elif shown.register not in seen:
                    seen.add(shown.register)
                    waiting.append(shown.register)
        return found

    def _shown_areas(self, bases: Listing[int], moved: dict[int, range]) -> dict[int, Area]:
        """For each pointer the addresses of all that it may show."""
        areas: dict[int, Area] = {}
        for register in self._shown:
            found = {
                moved[place.register] if place.register in moved else range(start, start + size)
                for place, size in self._may_show(Place(register, 0))
                for start in [bases[place.register] + place.offset]
            }
            areas[register] = tuple(sorted(found, key=lambda area: (area.start, area.stop)))
        return areas

    def _shown_workspace(self) -> list[RegionArea]:
        """What pointers may show in the workspace."""
        shown = chain.from_iterable(self._may_show(Place(register, 0)) for register in self._shown)
        places = {(place.offset, size) for place, size in shown if place.register == REGISTER_WORKSPACE}
        return [RegionArea(offset, size) for offset, size in sorted(places)]


def hands_on(step: Decide, name: str) -> bool:
    """Whether a result is on some side a value that was there before, also by way of decisions in that side."""
    index = step.results.index(name)
    return any(_comes_from_outside(side, side.results[index]) for side in (step.when_below, step.when_above))


def _comes_from_outside(sequence: Sequence, value: str) -> bool:
    for step in sequence.steps:
        if isinstance(step, Piece):
            if any(step.names[binding.name] == value for binding in step.region.outputs):
                return False
        elif value in step.results:
            return isinstance(step, Decide) and hands_on(step, value)
        elif isinstance(step, Repeat) and any(each.result == value for each in step.collected):
            return False
    return True


def has_merges(sequence: Sequence) -> bool:
    """Whether any decision hands a value on."""
    for step in sequence.steps:
        if isinstance(step, Piece):
            continue
        if isinstance(step, Decide) and any(hands_on(step, name) for name in step.results):
            return True
        if any(has_merges(inner) for inner in _inside(step)):
            return True
    return False


def needed_behind(sequence: Sequence) -> list[frozenset[str]]:
    """For each step what those behind it read, and the results. A loop needs what it reads also behind each of its
    steps, for its next iteration."""
    needed = frozenset(sequence.results)
    found = []
    for step in reversed(sequence.steps):
        read = read_by_step(step)
        found.append(needed | read if isinstance(step, Repeat) else needed)
        needed |= read
    return found[::-1]


def read_by_step(step: Step) -> frozenset[str]:
    """The names of all values that a step reads, also those that it makes itself."""
    if isinstance(step, Piece):
        return frozenset(step.names[binding.name] for binding in step.region.inputs)
    names = {name for inner in _inside(step) for each in inner.steps for name in read_by_step(each)}
    names.update(*(inner.results for inner in _inside(step)))
    if isinstance(step, Decide):
        return frozenset({*names, step.comparison.reading.tensor})
    slices = (*step.slices, *(each for chosen in step.chosen for each in chosen.slices))
    names.update(step.initial, (each.source for each in slices), (each.value for each in step.collected))
    names.update(each.reading.tensor for each in (step.comparison, step.begins) if each is not None)
    names.update(each.reading.tensor for each in step.chosen)
    return frozenset(names).union(each.reading.tensor for each in step.collected if each.reading is not None)


def _inside(step: Decide | Repeat) -> tuple[Sequence, ...]:
    return (step.body,) if isinstance(step, Repeat) else (step.when_below, step.when_above)
