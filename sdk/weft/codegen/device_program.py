"""One program of several regions and the decisions between them: a scalar goes through the vector unit into a mailbox,
and FETCH jumps on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from weft.codegen.device_conditions import StoredTensor, read_kept, read_number
from weft.codegen.device_counters import RowTakenError, free_rows
from weft.codegen.device_emission import NO_BASES, Place, page, unless
from weft.codegen.device_kept import kept_vector
from weft.codegen.device_loops import LoopEmission
from weft.codegen.device_pointers import has_merges, needed_behind
from weft.codegen.device_walks import has_loops, made_in, most_cycles, most_macs, own_macs, regions_of, result_bytes
from weft.ir.device_control import Decide, JoinRequest, Piece, Reading, Repeat, Sequence, Unjoinable
from weft_runtime.executable import (
    IN_LOG,
    REGISTER_CONSTANTS,
    REGISTER_COUNT,
    REGISTER_WORKSPACE,
    Region,
    RegionArea,
    RegionCount,
    RegionDecision,
    TensorBinding,
)
from weft_sim.isa import Halt, Instruction, Jump, Load, Space, Store
from weft_sim.isa.program import decode_program, encode_program
from weft_sim.machine import MachineConfig
from weft_sim.synchronize import synchronize

__all__ = ["join_regions"]


def join_regions(request: JoinRequest, machine: MachineConfig) -> Region:
    """The region that does what the sequence says. Raises Unjoinable where tensors would have to change their layout,
    or where registers or mailboxes run out.

    A value has one place whichever way it is made, so that a merge costs nothing; where a branch hands on a value from
    outside of it, the result is a pointer while registers last, else that branch copies. Tokens are derived anew for
    the whole, where each JUMP waits for everything before it.
    """
    rows = free_rows(regions_of(request.sequence), machine) if has_loops(request.sequence) else []
    try:
        return _joined(request, machine, rows)
    except RowTakenError:
        return _joined(request, machine, ())


def _joined(request: JoinRequest, machine: MachineConfig, rows: Iterable[int]) -> Region:
    """Pointers have the registers that nothing else in the program needs."""
    copying = _Joiner(request, machine, rows, 0)
    copying.emit()
    if not has_merges(request.sequence) or not copying.free_registers:
        return copying.region()
    pointing = _Joiner(request, machine, rows, copying.free_registers)
    pointing.emit()
    return pointing.region()


class _Joiner(LoopEmission):
    _decided: tuple[RegionDecision | RegionCount, ...] = ()

    def emit(self) -> None:
        """The program without tokens."""
        for name in self._request.sequence.results:
            self._wanted[name] = Place(self._register(), 0)
        self._decided = self._sequence(self._request.sequence)
        self._emit(Halt(), "")

    @property
    def free_registers(self) -> int:
        """How many the program leaves."""
        return REGISTER_COUNT - self._registers

    def region(self) -> Region:
        """The emitted program with its tokens."""
        sequence = self._request.sequence
        outputs = tuple(
            replace(self._bindings[name], name=name, register=self._wanted[name].register, offset=0)
            for name in sequence.results
        )
        plain = [each.with_tokens(0, 0) for each in self._program]
        bases = self._bases((*self._inputs, *outputs))
        starts = {number: bases[place.register] + place.offset for number, (place, _) in self._areas.items()}
        moved = {number: range(start, start + self._areas[number][1]) for number, start in starts.items()}
        ordered = synchronize(self._machine, plain, bases, areas={**moved, **self._shown_areas(bases, moved)})
        constants = b"".join(content.ljust(page(len(content)), b"\0") for content in self._constants)
        return Region(
            name=self._request.name, instructions=encode_program(ordered), sources=tuple(self._sources),
            constants=constants, workspace_bytes=self._workspace, io_bytes=0, inputs=tuple(self._inputs),
            outputs=outputs, macs=most_macs(sequence), estimated_cycles=most_cycles(sequence),
            processor=regions_of(sequence)[0].processor, decisions=self._decided, numbers=tuple(self._numbers.values()),
            log=self._log, areas=self._workspace_areas(),
        )  # fmt: skip

    def _workspace_areas(self) -> tuple[RegionArea, ...]:
        """Areas of the workspace, beside the log, in which the program moves registers."""
        places = [entry for entry in self._areas.values() if entry[0].register == REGISTER_WORKSPACE]
        moved = [RegionArea(place.offset, size) for place, size in places]
        areas = dict.fromkeys([*moved, *self._shown_workspace()])
        return tuple(area for area in areas if area != self._log)

    def _bases(self, bindings: tuple[TensorBinding, ...]) -> list[int]:
        """Register values that keep everything apart, for the synchronizer."""
        constants, workspace = 0, self._constant_bytes
        values = [constants, workspace, 0] + [0] * (REGISTER_COUNT - 3)
        cursor = workspace + self._workspace
        for binding in bindings:
            values[binding.register] = cursor
            cursor += page(binding.layout.nbytes)
        return values

    def _sequence(self, sequence: Sequence) -> tuple[RegionDecision | RegionCount, ...]:
        decisions: list[RegionDecision | RegionCount] = []
        outside = self._needed
        for step, behind in zip(sequence.steps, needed_behind(sequence), strict=True):
            self._needed = outside | behind
            match step:
                case Piece():
                    self._piece(step)
                case Decide():
                    decisions.append(self._decide(step))
                case Repeat():
                    decisions.append(self._repeat(step))
        self._needed = outside
        return tuple(decisions)

    def _piece(self, piece: Piece) -> None:
        region = piece.region
        constants = self._constant_place(region.constants)
        places: dict[int, tuple[int, Place]] = {}
        for binding in region.inputs:
            name = piece.names[binding.name]
            places[binding.offset] = (binding.layout.nbytes, self._source(name, binding))
        for binding in region.outputs:
            name = piece.names[binding.name]
            if binding.offset in places:
                raise Unjoinable(f"{binding.name!r} is a view of an input")
            places[binding.offset] = (binding.layout.nbytes, self._target(name, binding))
        *body, end = zip(decode_program(region.instructions), region.sources, strict=True)
        if not isinstance(end[0], Halt) or any(isinstance(each, Jump | Halt) for each, _ in body):
            raise Unjoinable(f"region {region.name!r} is no straight program")
        for instruction, source in body:
            self._emit(self._moved(instruction, constants, places), source)

    def _moved(self, instruction: Instruction, constants: int, places: dict[int, tuple[int, Place]]) -> Instruction:
        if not isinstance(instruction, Load | Store) or instruction.register == REGISTER_WORKSPACE:
            return instruction
        if instruction.register == REGISTER_CONSTANTS:
            return instruction.replace(offset=instruction.offset + constants)
        stream = next(each for each in instruction.streams(self._machine, NO_BASES) if each.space == Space.DRAM)
        for start, (size, place) in places.items():
            if start <= stream.lowest and stream.highest < start + size:
                return instruction.replace(register=place.register, offset=instruction.offset - start + place.offset)
        raise Unjoinable("a transfer touches two tensors")

    def _decide(self, step: Decide) -> RegionDecision:
        mailbox = self._read(step.comparison.reading, step.name)
        pointers: dict[str, Place] = {}
        for name in (name for name in step.results if name not in self._wanted):
            pointer = self._pointer(step, name)
            if pointer is None:
                self._wanted[name] = self._room(result_bytes(step, name))
            else:
                pointers[name] = pointer
        jump = self._hold(step.name)
        self._note(0, step.name)
        below, ends = self._side(step, step.when_below, pointers), [self._hold(step.name)]
        self._release(
            jump,
            Jump(**unless(step.comparison), mailbox=mailbox, target=len(self._program)),
        )
        self._note(1, step.name)
        above = self._side(step, step.when_above, pointers)
        self._forget_shared()
        ends.append(self._hold(step.name))  # a target must stand right behind a JUMP
        for position in ends:
            self._release(position, Jump(target=len(self._program)))
        return RegionDecision(
            step.name, IN_LOG if self._depth else mailbox, step.comparison.value, step.below, step.above,
            own_macs(step.when_below), own_macs(step.when_above), below, above, step.comparison.relation,
            *step.tallies,
        )  # fmt: skip

    def _read(self, reading: Reading, name: str) -> int:
        """The mailbox that holds a reading's number, which one decision after the other may ask for."""
        if reading not in self._known:
            binding = self._bindings.get(reading.tensor)
            if binding is None:
                raise Unjoinable(f"{name!r} is not decided by a stored tensor of the program")
            place = self._places[reading.tensor, binding.layout]
            stored = StoredTensor(place.register, place.offset, binding.layout, binding.dtype)
            mailbox = self._mailbox()
            for each in self._number_of(reading, stored, mailbox):
                self._emit(each, name)
            self._known[reading] = mailbox
        return self._known[reading]

    def _number_of(self, reading: Reading, stored: StoredTensor, mailbox: int) -> list[Instruction]:
        """What gives a mailbox a number; an element that a region has just stored need not be loaded."""
        if reading.kind == "element" and not reading.lookup:
            (address,) = stored.places(reading.elements)
            vector = kept_vector(self._program, stored.register, int(address), self._machine)
            if vector is not None:
                return read_kept(stored, vector, mailbox)
        return read_number(reading, stored, mailbox, self._machine, self._constant_place)

    def _side(
        self, step: Decide, sequence: Sequence, pointers: Mapping[str, Place]
    ) -> tuple[RegionDecision | RegionCount, ...]:
        """One branch: what it makes for a result goes to the result's place at once, anything else is copied there;
        pointers are set."""
        inside = made_in(sequence)
        copies = []
        for name, value in zip(step.results, sequence.results, strict=True):
            if name in pointers:
                continue
            if value in inside and value not in self._wanted:
                self._wanted[value] = self._wanted[name]
            else:
                copies.append((value, name))
        mailboxes = dict(self._known)
        decisions = self._sequence(sequence)
        self._known = mailboxes
        for value, name in copies:
            self._copy(value, self._wanted[name], step.name)
        for name, value in zip(step.results, sequence.results, strict=True):
            binding = self._binding(value)
            known = self._bindings.setdefault(name, binding)
            if (known.layout, known.dtype, known.shape) != (binding.layout, binding.dtype, binding.shape):
                raise Unjoinable(f"{name!r} has another layout in each branch")
            if name in pointers:
                self._point(pointers[name], value, step.name)
            self._places[name, binding.layout] = pointers.get(name) or self._wanted[name]
        return decisions
