"""What every part of a joined program needs: instructions, places of tensors, registers, mailboxes and copies."""

from __future__ import annotations

from dataclasses import dataclass, replace

from weft.codegen.device_walks import made_in, regions_of
from weft.ir.device_control import Comparison, JoinRequest, Reading, Unjoinable
from weft_runtime.executable import REGISTER_COUNT, REGISTER_IO, REGISTER_WORKSPACE, Layout, TensorBinding
from weft_sim.isa import Instruction, Jump, Load, Store
from weft_sim.isa.architecture import MAILBOXES
from weft_sim.isa.control import Condition
from weft_sim.machine import MachineConfig

__all__ = ["NO_BASES", "Emission", "Place", "page", "unless", "where"]

PAGE = 4096
CHUNK = 16384
NO_BASES = (0,) * REGISTER_COUNT


@dataclass(frozen=True)
class Place:
    """A tensor in device memory: registers[register] + offset."""

    register: int
    offset: int


class Emission:
    """A program under construction. Raises Unjoinable where registers or mailboxes run out."""

    def __init__(self, request: JoinRequest, machine: MachineConfig) -> None:
        self._request = request
        self._machine = machine
        self._program: list[Instruction] = []
        self._sources: list[str] = []
        self._places: dict[tuple[str, Layout], Place] = {}
        self._wanted: dict[str, Place] = {}
        self._bindings: dict[str, TensorBinding] = {}
        self._inputs: list[TensorBinding] = []
        self._constants: dict[bytes, int] = {}
        self._constant_bytes = 0
        self._registers = REGISTER_IO + 1
        self._mailboxes = 0
        self._areas: dict[int, tuple[Place, int]] = {}
        """Registers that the program moves: where they begin, and bytes from there that they stay in."""
        self._shared_mailbox: int | None = None
        self._known: dict[Reading, int] = {}
        self._depth = 0
        """Loops around the step that is being emitted."""
        # At the far end of the scratchpad, where regions seldom are, so that decisions wait for less.
        self._own_vectors = machine.scratchpad_bytes // machine.lanes - 4
        self._made = made_in(request.sequence)
        self._workspace = max((page(each.workspace_bytes) for each in regions_of(request.sequence)), default=0)

    def _binding(self, name: str) -> TensorBinding:
        if name not in self._bindings:
            raise Unjoinable(f"{name!r} is handed on, and nothing in the program reads or makes it")
        return self._bindings[name]

    def _source(self, name: str, binding: TensorBinding) -> Place:
        place = self._places.get((name, binding.layout))
        if place is None:
            if name in self._made:
                raise Unjoinable(f"{name!r} is read in another layout than it is made in")
            place = Place(self._register(), 0)
            self._places[name, binding.layout] = place
            self._bindings.setdefault(name, binding)
            self._inputs.append(replace(binding, name=name, register=place.register, offset=0))
        return place

    def _target(self, name: str, binding: TensorBinding) -> Place:
        place = self._wanted.get(name) or self._room(binding.layout.nbytes)
        self._places[name, binding.layout] = place
        self._bindings[name] = binding
        return place

    def _copy(self, value: str, target: Place, source: str) -> None:
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

    def _room(self, size: int) -> Place:
        place = Place(REGISTER_WORKSPACE, self._workspace)
        self._workspace += page(size)
        return place

    def _register(self) -> int:
        if self._registers >= REGISTER_COUNT:
            raise Unjoinable(f"more than {REGISTER_COUNT - REGISTER_IO - 1} tensors enter or leave")
        self._registers += 1
        return self._registers - 1

    def _mailbox(self) -> int:
        """A mailbox for a reading: one of its own, from which the host learns the outcome; inside loops one for all,
        which the next reading takes."""
        if not self._depth:
            return self._own_mailbox()
        if self._shared_mailbox is None:
            self._shared_mailbox = self._own_mailbox()
        self._forget_shared()
        return self._shared_mailbox

    def _forget_shared(self) -> None:
        """Readings that may not be in the shared mailbox any more, or not on every way."""
        self._known = {reading: number for reading, number in self._known.items() if number != self._shared_mailbox}

    def _own_mailbox(self) -> int:
        if self._mailboxes >= MAILBOXES:
            raise Unjoinable(f"more than {MAILBOXES} decisions")
        self._mailboxes += 1
        return self._mailboxes - 1

    def _constant_place(self, content: bytes) -> int:
        if content not in self._constants:
            self._constants[content] = self._constant_bytes
            self._constant_bytes += page(len(content))
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

    def _land(self, source: str) -> int:
        """The next instruction as a target, which must stand right behind a JUMP."""
        position = self._hold(source)
        self._release(position, Jump(target=len(self._program)))
        return len(self._program)


def page(size: int) -> int:
    """Bytes that a buffer of this size takes."""
    return -(-size // PAGE) * PAGE


def where(comparison: Comparison) -> dict[str, int]:
    """A JUMP that is taken where a comparison holds."""
    condition = Condition.EQUAL if comparison.relation == "equal" else Condition.LESS
    return {"condition": condition, "value": comparison.value}


def unless(comparison: Comparison) -> dict[str, int]:
    """A JUMP that is taken where it does not hold."""
    condition = Condition.NOT_EQUAL if comparison.relation == "equal" else Condition.GREATER_EQUAL
    return {"condition": condition, "value": comparison.value}
