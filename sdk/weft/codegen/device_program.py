"""One program of several regions and the decisions between them: a scalar goes through the vector unit into a mailbox,
and FETCH jumps on it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from weft.codegen.device_conditions import StoredTensor, read_number
from weft.codegen.device_walks import made_in, most_cycles, most_macs, own_macs, reading_of, regions_of, result_bytes
from weft.ir.device_control import Comparison, Decide, JoinRequest, Piece, Reading, Repeat, Sequence, Unjoinable
from weft_runtime.executable import (
    REGISTER_CONSTANTS,
    REGISTER_COUNT,
    REGISTER_IO,
    REGISTER_WORKSPACE,
    Layout,
    Region,
    RegionCount,
    RegionDecision,
    TensorBinding,
)
from weft_sim.isa import Fill, Halt, Instruction, Jump, Load, Space, Store, Vector
from weft_sim.isa.architecture import MAILBOXES
from weft_sim.isa.control import Condition
from weft_sim.isa.program import decode_program, encode_program
from weft_sim.isa.vector import Destination, Operation, Source
from weft_sim.machine import MachineConfig
from weft_sim.synchronize import synchronize

__all__ = ["join_regions"]

PAGE = 4096
CHUNK = 16384
NO_BASES = (0,) * REGISTER_COUNT


@dataclass(frozen=True)
class _Place:
    """A tensor in device memory: registers[register] + offset."""

    register: int
    offset: int


def join_regions(request: JoinRequest, machine: MachineConfig) -> Region:
    """The region that does what the sequence says. Raises Unjoinable where tensors would have to change their layout,
    or where registers or mailboxes run out.

    A value has one place whichever way it is made, so that a merge costs nothing; only a branch that hands on a value
    from outside of it copies. Tokens are derived anew for the whole, where each JUMP waits for everything before it.
    """
    return _Joiner(request, machine).run()


class _Joiner:
    def __init__(self, request: JoinRequest, machine: MachineConfig) -> None:
        self._request = request
        self._machine = machine
        self._program: list[Instruction] = []
        self._sources: list[str] = []
        self._places: dict[tuple[str, Layout], _Place] = {}
        self._wanted: dict[str, _Place] = {}
        self._bindings: dict[str, TensorBinding] = {}
        self._inputs: list[TensorBinding] = []
        self._constants: dict[bytes, int] = {}
        self._constant_bytes = 0
        self._registers = REGISTER_IO + 1
        self._mailboxes = 0
        self._known: dict[Reading, int] = {}
        # At the far end of the scratchpad, where regions seldom are, so that decisions wait for less.
        self._own_vectors = machine.scratchpad_bytes // machine.lanes - 4
        self._made = made_in(request.sequence)
        self._workspace = max((_page(each.workspace_bytes) for each in regions_of(request.sequence)), default=0)

    def run(self) -> Region:
        sequence = self._request.sequence
        for name in sequence.results:
            self._wanted[name] = _Place(self._register(), 0)
        decisions = self._sequence(sequence)
        self._emit(Halt(), "")
        outputs = tuple(
            replace(self._bindings[name], name=name, register=self._wanted[name].register, offset=0)
            for name in sequence.results
        )
        plain = [each.with_tokens(0, 0) for each in self._program]
        ordered = synchronize(self._machine, plain, self._bases((*self._inputs, *outputs)))
        constants = b"".join(content.ljust(_page(len(content)), b"\0") for content in self._constants)
        return Region(
            name=self._request.name, instructions=encode_program(ordered), sources=tuple(self._sources),
            constants=constants, workspace_bytes=self._workspace, io_bytes=0, inputs=tuple(self._inputs),
            outputs=outputs, macs=most_macs(sequence), estimated_cycles=most_cycles(sequence),
            processor=regions_of(sequence)[0].processor, decisions=decisions,
        )  # fmt: skip

    def _bases(self, bindings: tuple[TensorBinding, ...]) -> list[int]:
        """Register values that keep everything apart, for the synchronizer."""
        constants, workspace = 0, self._constant_bytes
        values = [constants, workspace, 0] + [0] * (REGISTER_COUNT - 3)
        cursor = workspace + self._workspace
        for binding in bindings:
            values[binding.register] = cursor
            cursor += _page(binding.layout.nbytes)
        return values

    def _sequence(self, sequence: Sequence) -> tuple[RegionDecision | RegionCount, ...]:
        decisions: list[RegionDecision | RegionCount] = []
        for step in sequence.steps:
            match step:
                case Piece():
                    self._piece(step)
                case Decide():
                    decisions.append(self._decide(step))
                case Repeat():
                    decisions.append(self._repeat(step))
        return tuple(decisions)

    def _piece(self, piece: Piece) -> None:
        region = piece.region
        constants = self._constant_place(region.constants)
        places: dict[int, tuple[int, _Place]] = {}
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

    def _moved(self, instruction: Instruction, constants: int, places: dict[int, tuple[int, _Place]]) -> Instruction:
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
        for name in step.results:
            if name not in self._wanted:
                self._wanted[name] = self._room(result_bytes(step, name))
        jump = self._hold(step.name)
        below, ends = self._side(step, step.when_below), [self._hold(step.name)]
        self._release(
            jump,
            Jump(**_unless(step.comparison), mailbox=mailbox, target=len(self._program)),
        )
        above = self._side(step, step.when_above)
        ends.append(self._hold(step.name))  # a target must stand right behind a JUMP
        for position in ends:
            self._release(position, Jump(target=len(self._program)))
        return RegionDecision(
            step.name, mailbox, step.comparison.value, step.below, step.above, own_macs(step.when_below),
            own_macs(step.when_above), below, above, step.comparison.relation,
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
            for each in read_number(reading, stored, mailbox, self._machine, self._constant_place):
                self._emit(each, name)
            self._known[reading] = mailbox
        return self._known[reading]

    def _mailbox(self) -> int:
        if self._mailboxes >= MAILBOXES:
            raise Unjoinable(f"more than {MAILBOXES} decisions")
        self._mailboxes += 1
        return self._mailboxes - 1

    def _repeat(self, step: Repeat) -> RegionCount:
        """The state has one place. What an iteration makes goes there at once where the old state is not read any more,
        else it is copied there before the next iteration begins."""
        places = [self._first_state(step, index) for index in range(len(step.initial))]
        in_place = [index for index in range(len(places)) if self._may_overwrite(step, index)]
        self._wanted.update({step.body.results[index]: places[index] for index in in_place})
        counter = self._room(self._machine.lanes)
        lanes = self._machine.lanes
        self._emit(Fill(run_bytes=lanes), step.name)
        self._emit(Store(register=counter.register, offset=counter.offset, run_bytes=lanes), step.name)
        rounds = self._mailbox()
        position = self._hold(step.name)  # a target must stand right behind a JUMP
        head = len(self._program)
        self._release(position, Jump(target=head))
        self._count(counter, rounds, step.name)
        mailboxes = dict(self._known)
        if self._sequence(step.body):
            raise Unjoinable(f"{step.name!r}: what is decided in each iteration would not be known afterwards")
        proceed = -1 if step.comparison is None else self._read(step.comparison.reading, step.name)
        for index, (value, parameter) in enumerate(zip(step.body.results, step.parameters, strict=True)):
            self._hand_on(step, value, parameter, None if index in in_place else places[index])
        self._known = mailboxes
        end = -1 if step.comparison is None else self._hold(step.name)
        self._emit(Jump(condition=Condition.LESS, mailbox=rounds, value=step.limit, target=head), step.name)
        if step.comparison is not None:
            ends = _unless(step.comparison) if step.continues == "below" else _where(step.comparison)
            self._release(end, Jump(**ends, mailbox=proceed, target=len(self._program)))
        return RegionCount(step.name, rounds, own_macs(step.body))

    def _first_state(self, step: Repeat, index: int) -> _Place:
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
        if value in self._wanted or step.body.results.count(value) > 1:
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

    def _hand_on(self, step: Repeat, value: str, parameter: str, place: _Place | None) -> None:
        """Copies a state's successor to its place, None where it is there."""
        if value == parameter:
            return
        made, state = self._binding(value), self._bindings[parameter]
        if value in step.parameters:
            raise Unjoinable(f"{step.name!r} exchanges its states")
        if (made.layout, made.dtype, made.shape) != (state.layout, state.dtype, state.shape):
            raise Unjoinable(f"{step.name!r}: a state has another layout before and after an iteration")
        if place is not None:
            self._copy(value, place, step.name)

    def _count(self, counter: _Place, mailbox: int, source: str) -> None:
        """One more in the counter, a byte in device memory, and in its mailbox."""
        lanes, at = self._machine.lanes, self._own_vectors
        place = {"register": counter.register, "offset": counter.offset, "run_bytes": lanes}
        self._emit(Load(**place, scratchpad=at * lanes), source)
        stored = {"a_source": Source.SCRATCHPAD_U8, "b_source": Source.IMMEDIATE}
        more = Vector(**stored, a=at, operation=Operation.ADD, destination=Destination.SCRATCHPAD_U8, d=at + 1)
        self._emit(more, source)
        self._emit(Store(**place, scratchpad=(at + 1) * lanes), source)
        self._emit(Vector(**stored, a=at + 1, destination=Destination.MAILBOX, d=mailbox), source)

    def _side(self, step: Decide, sequence: Sequence) -> tuple[RegionDecision | RegionCount, ...]:
        """One branch: what it makes for a result goes to the result's place at once, anything else is copied there."""
        inside = made_in(sequence)
        copies = []
        for name, value in zip(step.results, sequence.results, strict=True):
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
            self._places[name, binding.layout] = self._wanted[name]
        return decisions

    def _copy(self, value: str, target: _Place, source: str) -> None:
        binding = self._binding(value)
        place, size = self._places[value, binding.layout], binding.layout.nbytes
        chunk = min(CHUNK, self._machine.scratchpad_bytes // 4)
        first = self._own_vectors * self._machine.lanes - 2 * chunk
        for index, start in enumerate(range(0, size, chunk)):
            count, at = min(chunk, size - start), first + index % 2 * chunk
            self._emit(
                Load(register=place.register, offset=place.offset + start, run_bytes=count, scratchpad=at), source
            )
            self._emit(
                Store(register=target.register, offset=target.offset + start, run_bytes=count, scratchpad=at), source
            )

    def _binding(self, name: str) -> TensorBinding:
        if name not in self._bindings:
            raise Unjoinable(f"{name!r} is handed on, and nothing in the program reads or makes it")
        return self._bindings[name]

    def _source(self, name: str, binding: TensorBinding) -> _Place:
        place = self._places.get((name, binding.layout))
        if place is None:
            if name in self._made:
                raise Unjoinable(f"{name!r} is read in another layout than it is made in")
            place = _Place(self._register(), 0)
            self._places[name, binding.layout] = place
            self._bindings.setdefault(name, binding)
            self._inputs.append(replace(binding, name=name, register=place.register, offset=0))
        return place

    def _target(self, name: str, binding: TensorBinding) -> _Place:
        place = self._wanted.get(name) or self._room(binding.layout.nbytes)
        self._places[name, binding.layout] = place
        self._bindings[name] = binding
        return place

    def _room(self, size: int) -> _Place:
        place = _Place(REGISTER_WORKSPACE, self._workspace)
        self._workspace += _page(size)
        return place

    def _register(self) -> int:
        if self._registers >= REGISTER_COUNT:
            raise Unjoinable(f"more than {REGISTER_COUNT - REGISTER_IO - 1} tensors enter or leave")
        self._registers += 1
        return self._registers - 1

    def _constant_place(self, content: bytes) -> int:
        if content not in self._constants:
            self._constants[content] = self._constant_bytes
            self._constant_bytes += _page(len(content))
        return self._constants[content]

    def _emit(self, instruction: Instruction, source: str) -> None:
        self._program.append(instruction)
        self._sources.append(source)

    def _hold(self, source: str) -> int:
        """Room for a JUMP whose target is not known yet."""
        self._emit(Jump(), source)
        return len(self._program) - 1

    def _release(self, position: int, jump: Jump) -> None:
        self._program[position] = jump


def _where(comparison: Comparison) -> dict[str, int]:
    """A JUMP that is taken where a comparison holds."""
    condition = Condition.EQUAL if comparison.relation == "equal" else Condition.LESS
    return {"condition": condition, "value": comparison.value}


def _unless(comparison: Comparison) -> dict[str, int]:
    """A JUMP that is taken where it does not hold."""
    condition = Condition.NOT_EQUAL if comparison.relation == "equal" else Condition.GREATER_EQUAL
    return {"condition": condition, "value": comparison.value}


def _page(size: int) -> int:
    return -(-size // PAGE) * PAGE
