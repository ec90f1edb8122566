"""Loops in a joined program: state in one place, iterations counted down to 0, and a log of what is decided inside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace

from weft.codegen.device_counters import Counter
from weft.codegen.device_emission import NO_BASES, Place, unless, where
from weft.codegen.device_pointers import PointerEmission
from weft.codegen.device_walks import log_bytes, making_of, own_macs, reading_of
from weft.ir.device_control import JoinRequest, Piece, Reading, Repeat, Sequence, Slice, Unjoinable
from weft_runtime.executable import (
    IN_LOG,
    REGISTER_CONSTANTS,
    REGISTER_IO,
    REGISTER_WORKSPACE,
    UNCHANGING,
    RegionArea,
    RegionCount,
    RegionDecision,
    RegionNumber,
    TensorBinding,
)
from weft_sim.isa import Fill, Jump, Load, Register, Space, Store
from weft_sim.isa.control import Condition
from weft_sim.isa.program import decode_program
from weft_sim.isa.vector import Destination
from weft_sim.machine import MachineConfig

__all__ = ["LoopEmission"]

MAX_LOG_BYTES = 1 << 20


class LoopEmission(PointerEmission, ABC):
    """Instructions for loops, over whatever emits a sequence."""

    def __init__(self, request: JoinRequest, machine: MachineConfig, rows: Iterable[int], pointers: int) -> None:
        super().__init__(request, machine, rows, pointers)
        self._numbers: dict[tuple[str, int], RegionNumber] = {}
        self._log: RegionArea | None = None
        self._log_register = 0
        self._parts: dict[str, Place] = {}
        """Where an iteration's part of a collected result goes."""
        size = log_bytes(request.sequence)
        if size > MAX_LOG_BYTES:
            raise Unjoinable(f"{size} outcomes inside loops, more than the {MAX_LOG_BYTES} that are kept")
        if size:
            room = self._room(size)
            self._log = RegionArea(room.offset, size)
            self._log_register = self._register()
            self._areas[self._log_register] = room, size
            self._emit(Register(
                destination=self._log_register, source=REGISTER_WORKSPACE, offset=self._log.offset
            ), "")  # fmt: skip

    @abstractmethod
    def _sequence(self, sequence: Sequence) -> tuple[RegionDecision | RegionCount, ...]:
        """Emits the steps; what they decide."""

    @abstractmethod
    def _read(self, reading: Reading, name: str) -> int:
        """The mailbox that holds a reading's number."""

    def _note(self, outcome: int, source: str) -> None:
        """The outcome as the log's next byte, inside a loop."""
        if not self._depth:
            return
        at = self._number_vectors * self._machine.lanes
        self._emit(Fill(run_bytes=1, scratchpad=at, value=outcome), source)
        self._emit(Store(register=self._log_register, run_bytes=1, scratchpad=at), source)
        self._emit(Register(destination=self._log_register, source=self._log_register, offset=1), source)

    def _repeat(self, step: Repeat) -> RegionCount:
        """The state has one place. What an iteration makes goes there at once where the old state is not read any more,
        else it is copied there before the next iteration begins."""
        places = [self._first_state(step, index) for index in range(len(step.initial))]
        if not step.limit and not step.collected:
            return RegionCount(step.name, UNCHANGING, 0, 0, 0)
        in_place = [index for index in range(len(places)) if self._may_overwrite(step, index)]
        self._wanted.update({step.body.results[index]: places[index] for index in in_place})
        counter, left = self._counter(), self._own_mailbox()
        skips = self._begin(step, counter, left)
        self._forget_shared()
        moved = [*self._begin_slices(step), *self._begin_collection(step)]
        choices = self._begin_choices(step)
        head = self._land(step.name)
        if step.changes:
            self._note(1, step.name)
        self._count_down(counter, left, step.name)
        self._depth += 1
        mailboxes = dict(self._known)
        decisions = self._sequence(step.body)
        self._store_numbers(step)
        proceed = self._read(step.comparison.reading, step.name) if step.comparison else -1
        self._choose(step, choices)
        self._known = mailboxes
        self._forget_shared()
        self._depth -= 1
        self._collect(step)  # first, for it may be old state
        self._hand_on(step, [None if index in in_place else place for index, place in enumerate(places)])
        for register, size in moved:
            self._emit(Register(destination=register, source=register, offset=size), step.name)
        if step.comparison:
            ends = unless(step.comparison) if step.continues == "below" else where(step.comparison)
            skips.append((self._hold(step.name), Jump(**ends, mailbox=proceed)))
        self._emit(Jump(condition=Condition.GREATER_EQUAL, mailbox=left, value=1, target=head), step.name)
        for position, jump in skips:
            self._release(position, jump.replace(target=len(self._program)))
        if step.changes:
            self._note(0, step.name)
        kept = left if not self._depth else IN_LOG if step.changes else UNCHANGING
        return RegionCount(
            step.name, kept, own_macs(step.body), step.limit, step.most, step.count, decisions,
            "" if self._depth else step.tally, tuple(
                each.result for each in step.collected if step.changes and each.result in self._request.sequence.results
            ),
        )  # fmt: skip

    def _begin(self, step: Repeat, counter: Counter, left: int) -> list[tuple[int, Jump]]:
        """Sets the counter; JUMPs behind the loop, where there may be no iteration at all."""
        skips: list[Jump] = []
        if step.begins is not None:
            self._depth += 1  # its outcome is told by the count
            ends = unless(step.begins) if step.begins_as == "below" else where(step.begins)
            skips.append(Jump(**ends, mailbox=self._read(step.begins.reading, step.name)))
            self._depth -= 1
        elif step.allowed:
            self._load_number(counter.row, self._number(step.name, step.allowed, 1), step.name)
            self._depth += 1
            skips.append(Jump(condition=Condition.LESS, mailbox=self._mailbox(), value=1))
            self._depth -= 1
            self._tell(counter, int(skips[0].mailbox), step.name)
        start = self._number(step.name, step.count, step.limit) if step.count else step.limit
        self._set_counter(counter, start, step.name)
        if step.count or not step.limit:
            skips.append(Jump(condition=Condition.LESS, mailbox=left, value=1))
        if skips:
            if counter.place is not None:
                self._load_number(counter.row, counter.place, step.name)
            self._tell(counter, left, step.name)
        return [(self._hold(step.name), jump) for jump in skips]

    def _number(self, loop: str, name: str, most: int) -> Place:
        """Where the host leaves a number."""
        if name in self._made:
            raise Unjoinable(f"{loop!r}: {name!r} is computed in the program")
        key = name, most
        if key not in self._numbers:
            self._numbers[key] = RegionNumber(name, self._room(1).offset, most)
        return Place(REGISTER_WORKSPACE, self._numbers[key].offset)

    def _begin_slices(self, step: Repeat) -> list[tuple[int, int]]:
        """Registers at the first parts of what the iterations read, with the bytes to the next."""
        moved = []
        for each in step.slices:
            base = self._base(each)
            moved.append(self._begin_parts(step, each.binding, base, each.count))
            self._put(each.binding, Place(moved[-1][0], 0))
        return moved

    def _base(self, each: Slice) -> Place:
        """The first part of what iterations read."""
        if each.source:
            return self._source(each.source, stacked(each.binding, each.source, each.count))
        return Place(REGISTER_CONSTANTS, self._constant_place(each.table))

    def _put(self, binding: TensorBinding, place: Place) -> None:
        self._bindings[binding.name] = binding
        self._places[binding.name, binding.layout] = place

    def _begin_choices(self, step: Repeat) -> dict[str, int]:
        """Registers at the last parts of what the iterations read by a number, by name."""
        registers: dict[str, int] = {}
        for each in (each for chosen in step.chosen for each in chosen.slices):
            base, size = self._base(each), each.binding.layout.nbytes
            last = Place(base.register, base.offset + (each.count - 1) * size)
            register, _ = self._begin_parts(step, each.binding, last, 1)
            self._areas[register] = base, each.count * size
            self._put(each.binding, Place(register, 0))
            registers[each.binding.name] = register
        return registers

    def _choose(self, step: Repeat, registers: dict[str, int]) -> None:
        """The parts that the next iteration reads."""
        for chosen in step.chosen:
            mailbox = self._read(chosen.reading, step.name)
            for each in chosen.slices:
                base, size = self._base(each), each.binding.layout.nbytes
                self._emit(Register(
                    destination=registers[each.binding.name], source=base.register, offset=base.offset,
                    mailbox=mailbox, scale=size,
                ), step.name)  # fmt: skip

    def _store_numbers(self, step: Repeat) -> None:
        """Numbers that are collected, as bytes: the pass that gives one to a mailbox gives it to a vector, too."""
        lanes, at = self._machine.lanes, self._number_vectors
        for each in step.collected:
            if each.reading is None:
                continue
            self._known.pop(each.reading, None)
            self._read(each.reading, step.name)
            last = self._program[-1]
            self._emit(last.replace(destination=Destination.SCRATCHPAD_U8, d=at), step.name)
            part = self._parts[each.result]
            self._emit(Store(register=part.register, run_bytes=1, scratchpad=at * lanes), step.name)

    def _begin_collection(self, step: Repeat) -> list[tuple[int, int]]:
        """The same of what they write. A value that a region of the body makes is written there at once."""
        moved = []
        made = {each.names[binding.name] for each in step.body.steps if isinstance(each, Piece)
                for binding in each.region.outputs}  # fmt: skip
        for each in step.collected:
            whole = stacked(each.binding, each.result, step.limit)
            base = self._wanted.get(each.result) or self._room(whole.layout.nbytes)
            self._wanted[each.result] = base
            self._bindings[each.result] = whole
            self._places[each.result, whole.layout] = base
            moved.append(self._begin_parts(step, each.binding, base, step.limit))
            if each.value in made:
                self._wanted.setdefault(each.value, Place(moved[-1][0], 0))
            self._parts[each.result] = Place(moved[-1][0], 0)
        return moved

    def _begin_parts(self, step: Repeat, binding: TensorBinding, base: Place, count: int) -> tuple[int, int]:
        register, size = self._register(), binding.layout.nbytes
        self._emit(Register(destination=register, source=base.register, offset=base.offset), step.name)
        self._areas[register] = self._areas.get(base.register, (base, count * size))
        return register, size

    def _collect(self, step: Repeat) -> None:
        """Copies what is collected and was not made in its place."""
        for each in step.collected:
            if each.reading is not None:
                continue
            binding = self._binding(each.value)
            if (binding.layout, binding.dtype) != (each.binding.layout, each.binding.dtype):
                raise Unjoinable(f"{step.name!r}: a collected slice has another layout")
            if self._places[each.value, binding.layout] != self._parts[each.result]:
                self._copy(each.value, self._parts[each.result], step.name)

    def _first_state(self, step: Repeat, index: int) -> Place:
        initial, parameter, result = step.initial[index], step.parameters[index], step.results[index]
        if initial not in self._bindings:
            # A state that no iteration reads lies as the iterations make it.
            read = reading_of(step.body, parameter) or making_of(step.body, step.body.results[index])
            if read is None or initial in self._made:
                raise Unjoinable(f"{step.name!r}: nothing in the program reads its first state {initial!r}")
            self._source(initial, read)
        binding = self._bindings[initial]
        place = self._wanted.get(result) or self._room(binding.layout.nbytes)
        self._copy(initial, place, step.name)
        for name in (parameter, result):
            self._bindings[name] = binding
            self._places[name, binding.layout] = place
        self._wanted[result] = place
        return place

    def _may_overwrite(self, step: Repeat, index: int) -> bool:
        """Whether a state's successor may take its place: by then, every load of the old one has been emitted."""
        value, parameter = step.body.results[index], step.parameters[index]
        if value in self._wanted or step.body.results.count(value) > 1 or parameter in step.body.results:
            return False
        if step.comparison is not None and step.comparison.reading.tensor == parameter:
            return False
        pieces = [each for each in step.body.steps if isinstance(each, Piece)]
        if len(pieces) < len(step.body.steps):
            return False
        loads = [(n, at) for n, piece in enumerate(pieces) for at in self._uses(piece, parameter, Load)]
        stores = [(n, at) for n, piece in enumerate(pieces) for at in self._uses(piece, value, Store)]
        return bool(stores) and max(loads, default=(-1, 0)) < min(stores)

    def _uses(self, piece: Piece, name: str, kind: type[Load | Store]) -> list[int]:
        """Where a region's program loads, or stores, a value."""
        bindings = piece.region.inputs if kind is Load else piece.region.outputs
        spans = [(each.offset, each.offset + each.layout.nbytes) for each in bindings if piece.names[each.name] == name]
        found = []
        for position, instruction in enumerate(decode_program(piece.region.instructions)):
            if not isinstance(instruction, kind) or instruction.register != REGISTER_IO:
                continue
            streams = instruction.streams(self._machine, NO_BASES)
            lowest = next(each.lowest for each in streams if each.space == Space.DRAM)
            if any(start <= lowest < end for start, end in spans):
                found.append(position)
        return found

    def _hand_on(self, step: Repeat, places: list[Place | None]) -> None:
        """Copies the successors of the state to its places, None where they are there; old state that becomes another
        part of the new one leaves its place first."""
        moves = []
        for value, parameter, place in zip(step.body.results, step.parameters, places, strict=True):
            if value == parameter:
                continue
            made, state = self._binding(value), self._bindings[parameter]
            if (made.layout, made.dtype, made.shape) != (state.layout, state.dtype, state.shape):
                raise Unjoinable(f"{step.name!r}: a state has another layout before and after an iteration")
            if place is not None:
                moves.append((value, place))
        for value in dict.fromkeys(value for value, place in moves if self._is_old_state(step, value, place)):
            binding = self._bindings[value]
            aside = self._room(binding.layout.nbytes)
            self._copy(value, aside, step.name)
            key = f"{value}/{step.name}/aside"
            self._bindings[key], self._places[key, binding.layout] = binding, aside
            moves = [(key if each == value else each, place) for each, place in moves]
        for value, place in moves:
            self._copy(value, place, step.name)

    def _is_old_state(self, step: Repeat, value: str, place: Place) -> bool:
        """Whether a value is, or a pointer may show, old state other than what has this place."""
        if value in step.parameters:
            return True
        old = {self._places[name, self._bindings[name].layout] for name in step.parameters} - {place}
        shown = self._may_show(self._places[value, self._bindings[value].layout])
        return any(each in old for each, _ in shown)


def stacked(binding: TensorBinding, name: str, count: int) -> TensorBinding:
    """So many tensors of one layout one behind the other, as one with a new leading axis."""
    samples, channels, height, width = binding.layout.view
    layout = replace(binding.layout, view=(count * samples, channels, height, width))
    return replace(binding, name=name, shape=(count, *binding.shape), layout=layout)
