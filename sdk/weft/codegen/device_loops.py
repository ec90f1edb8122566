"""Loops in a joined program: state in one place, iterations counted down to 0, and a log of what is decided inside."""

from __future__ import annotations

from abc import ABC, abstractmethod

from weft.codegen.device_counters import Counter, CounterEmission
from weft.codegen.device_emission import NO_BASES, Place, unless, where
from weft.codegen.device_walks import log_bytes, own_macs, reading_of
from weft.ir.device_control import JoinRequest, Piece, Reading, Repeat, Sequence, Unjoinable
from weft_runtime.executable import (
    IN_LOG,
    REGISTER_IO,
    REGISTER_WORKSPACE,
    UNCHANGING,
    RegionCount,
    RegionDecision,
    RegionLog,
    RegionNumber,
)
from weft_sim.isa import Fill, Jump, Load, Register, Space, Store
from weft_sim.isa.control import Condition
from weft_sim.isa.program import decode_program
from weft_sim.machine import MachineConfig

__all__ = ["LoopEmission"]

MAX_LOG_BYTES = 1 << 20


class LoopEmission(CounterEmission, ABC):
    """Instructions for loops, over whatever emits a sequence."""

    def __init__(self, request: JoinRequest, machine: MachineConfig) -> None:
        super().__init__(request, machine)
        self._numbers: dict[tuple[str, int], RegionNumber] = {}
        self._log: RegionLog | None = None
        self._log_register = 0
        size = log_bytes(request.sequence)
        if size > MAX_LOG_BYTES:
            raise Unjoinable(f"{size} outcomes inside loops, more than the {MAX_LOG_BYTES} that are kept")
        if size:
            room = self._room(size)
            self._log = RegionLog(room.offset, size)
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
        if not step.limit:
            return RegionCount(step.name, UNCHANGING, 0, 0, 0)
        in_place = [index for index in range(len(places)) if self._may_overwrite(step, index)]
        self._wanted.update({step.body.results[index]: places[index] for index in in_place})
        counter, left = self._counter(), self._own_mailbox()
        start = self._number(step) if step.count else step.limit
        self._set_counter(counter, start, step.name)
        skips = self._skip_if_none(step, counter, left)
        changes = bool(step.count or step.comparison)
        head = self._land(step.name)
        if changes:
            self._note(1, step.name)
        self._count_down(counter, left, step.name)
        self._depth += 1
        mailboxes = dict(self._known)
        decisions = self._sequence(step.body)
        proceed = self._read(step.comparison.reading, step.name) if step.comparison else -1
        self._known = mailboxes
        self._depth -= 1
        self._hand_on(step, [None if index in in_place else place for index, place in enumerate(places)])
        if step.comparison:
            ends = unless(step.comparison) if step.continues == "below" else where(step.comparison)
            skips.append((self._hold(step.name), Jump(**ends, mailbox=proceed)))
        self._emit(Jump(condition=Condition.GREATER_EQUAL, mailbox=left, value=1, target=head), step.name)
        for position, jump in skips:
            self._release(position, jump.replace(target=len(self._program)))
        if changes:
            self._note(0, step.name)
        kept = left if not self._depth else IN_LOG if changes else UNCHANGING
        return RegionCount(step.name, kept, own_macs(step.body), step.limit, step.most, step.count, decisions)

    def _number(self, step: Repeat) -> Place:
        """Where the host leaves the count."""
        if step.count in self._made:
            raise Unjoinable(f"{step.name!r}: its count is computed in the program")
        key = step.count, step.limit
        if key not in self._numbers:
            self._numbers[key] = RegionNumber(step.count, self._room(1).offset, step.limit)
        return Place(REGISTER_WORKSPACE, self._numbers[key].offset)

    def _skip_if_none(self, step: Repeat, counter: Counter, left: int) -> list[tuple[int, Jump]]:
        """A JUMP behind the loop where there may be no iteration at all."""
        if not step.count:
            return []
        if counter.place is not None:
            self._load_number(counter.row, counter.place, step.name)
        self._tell(counter, left, step.name)
        return [(self._hold(step.name), Jump(condition=Condition.LESS, mailbox=left, value=1))]

    def _first_state(self, step: Repeat, index: int) -> Place:
        initial, parameter, result = step.initial[index], step.parameters[index], step.results[index]
        if initial not in self._bindings:
            read = reading_of(step.body, parameter)
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
        for value in dict.fromkeys(value for value, _ in moves if value in step.parameters):
            binding = self._bindings[value]
            aside = self._room(binding.layout.nbytes)
            self._copy(value, aside, step.name)
            key = f"{value}/{step.name}/aside"
            self._bindings[key], self._places[key, binding.layout] = binding, aside
            moves = [(key if each == value else each, place) for each, place in moves]
        for value, place in moves:
            self._copy(value, place, step.name)
